"""IVON's step (Shen et al. 2024): Vadam's successor, with a Hessian estimated by perturbation.

Where Vadam squares a minibatch's gradient, IVON multiplies it with the perturbation under which it
was found, h' = g (theta - m) / sigma^2. Its mean over q(theta) is that of the Hessian's diagonal
(Stein's identity), whatever the minibatch's size; and the step divides by the curvature itself,
not by its root. The functions have the arguments of `vadam_ard`'s.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class State(NamedTuple):
    """Means, averaged gradient, averaged curvature h + delta > 0, steps done (a float)."""

    mean: tf.Tensor
    momentum: tf.Tensor
    curvature: tf.Tensor
    count: tf.Tensor


def init(mean: tf.Tensor, std: float, rows: Any, precision: Any) -> State:
    """Begin at `mean` with standard deviations `std`, or the prior's where that is narrower."""
    curvature = tf.maximum(tf.ones_like(mean) / std**2, precision) / rows
    return State(mean, tf.zeros_like(mean), curvature, tf.zeros([], mean.dtype))


def variance(state: State, rows: Any, precision: Any = None) -> tf.Tensor:
    """Of each weight: 1 / (N (h + delta)); the curvature contains the prior's precision."""
    return 1 / (rows * state.curvature)


def draw(state: State, noise: tf.Tensor, rows: Any, precision: Any = None) -> tf.Tensor:
    """Weights drawn from q(theta), `noise` being standard normal."""
    return state.mean + tf.sqrt(variance(state, rows)) * noise


def step(
    state: State,
    gradient: tf.Tensor,
    noise: tf.Tensor,
    rows: Any,
    precision: Any,
    rate: Any,
    beta1: float = 0.9,
    beta2: float = 0.99,
) -> State:
    """One step of IVON (Shen et al. 2024, algorithm 1), written in c = h + delta.

    With delta = lambda / N, h' = g noise / sigma, rho = 1 - beta2 and d = h' + delta - c,

        v <- beta1 v + (1 - beta1) g
        c <- c + rho d + (rho d)^2 / (2 c)
        m <- m - rate (v' + delta m) / c,    v' = v / (1 - beta1^t).

    The last term of c is the Riemannian correction. It makes c <- (c / 2) (1 + (1 + rho d / c)^2),
    at least half of what it was: positive whatever h', and also where ARD changes delta. For a
    constant delta this is the published step of h.

    Args:
        state: before.
        gradient: g, of the minibatch's mean negative log-likelihood at weights from `draw`.
        noise: what was given to `draw`.
        rows: N > 0, of the training data.
        precision: lambda >= 0, of the Gaussian prior.
        rate: above 0.
        beta1, beta2: in [0, 1), of the averages of gradients and curvatures.
    """
    count, delta, before = state.count + 1, precision / rows, state.curvature
    hessian = gradient * noise * tf.sqrt(rows * before)
    change = (1 - beta2) * (hessian + delta - before)
    momentum = beta1 * state.momentum + (1 - beta1) * gradient
    curvature = before + change + change**2 / (2 * before)
    move = (momentum / (1 - beta1**count) + delta * state.mean) / curvature
    return State(state.mean - rate * move, momentum, curvature, count)
