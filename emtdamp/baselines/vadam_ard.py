"""Variational Adam with an ARD prior: Vadam's step, and the precisions' factor in closed form.

The model of Kulicka's slides (2022). Every weight has a prior of its own::

    theta_j | psi_j ~ N(0, 1/psi_j),    psi_j ~ Gamma(a, b)  (shape, rate),

so that theta_j is Student-t a priori, with 2a degrees of freedom. q(theta) q(psi) approximates the
posterior. For q(psi), all else fixed, the evidence lower bound has its maximum in closed form
(`ard_factor`); q(theta) is a Gaussian that moves by Vadam (Khan et al. 2018), for which psi_j's
mean is the weight's prior precision::

    state = init(start, 0.1, rows, precision)
    theta = draw(state, noise, rows, precision)
    state = step(state, gradient(theta), rows, precision, rate)
    precision = ard_factor(state.mean, variance(state, rows, precision), a, b).mean

All arrays are of one shape, or broadcast to it; leading axes may hold many networks side by side.
`ivon` has the same four functions.
"""

from typing import Any, NamedTuple

import tensorflow as tf


class Gamma(NamedTuple):
    """q(psi): shapes gamma and rates delta, both above 0."""

    shape: tf.Tensor
    rate: tf.Tensor

    @property
    def mean(self) -> tf.Tensor:
        """E psi = gamma / delta, which is what the Gaussian factor sees of it."""
        return self.shape / self.rate


def ard_factor(mean: tf.Tensor, var: tf.Tensor, shape: Any, rate: Any) -> Gamma:
    """The best q(psi) beside a Gaussian q(theta): gamma = a + 1/2, delta = b + (m^2 + s) / 2.

    Of the bound, psi appears in E log N(theta; 0, 1/psi) + log Gamma(psi; a, b), whose mean under
    q(theta) is (a + 1/2 - 1) log psi - (b + E theta^2 / 2) psi: a Gamma's logarithm, and
    E theta^2 = m^2 + s.

    Args:
        mean, var: m and s > 0 of each weight.
        shape, rate: a >= 0 and b > 0 of the hyper-prior. Weights that the data do not need come
            to rest at psi = a / b: the larger a, the sparser.

    >>> factor = ard_factor(tf.constant([0.0, 2.0]), tf.constant([0.02, 0.02]), 0.5, 0.01)
    >>> factor.mean.numpy().round(2).tolist()
    [50.0, 0.5]
    """
    rate = rate + (mean**2 + var) / 2
    return Gamma((shape + 0.5) * tf.ones_like(rate), rate)


class State(NamedTuple):
    """Vadam's: means, averaged gradient, averaged squared gradient, steps done (a float)."""

    mean: tf.Tensor
    momentum: tf.Tensor
    square: tf.Tensor
    count: tf.Tensor


def init(mean: tf.Tensor, std: float, rows: Any, precision: Any) -> State:
    """Begin at `mean` with standard deviations `std`, or the prior's where that is narrower.

    The average of squares starts at the value that gives `std`, and so needs no correction for a
    start at zero.
    """
    square = tf.nn.relu(tf.ones_like(mean) / std**2 - precision) / rows
    return State(mean, tf.zeros_like(mean), square, tf.zeros([], mean.dtype))


def variance(state: State, rows: Any, precision: Any) -> tf.Tensor:
    """Of each weight: 1 / (N s + lambda), Khan et al.'s line 1 of Vadam."""
    return 1 / (rows * state.square + precision)


def draw(state: State, noise: tf.Tensor, rows: Any, precision: Any) -> tf.Tensor:
    """Weights drawn from q(theta), `noise` being standard normal."""
    return state.mean + tf.sqrt(variance(state, rows, precision)) * noise


def step(
    state: State,
    gradient: tf.Tensor,
    rows: Any,
    precision: Any,
    rate: Any,
    beta1: float = 0.9,
    beta2: float = 0.99,
) -> State:
    """One step of Vadam (Khan et al. 2018, figure 1):

        v <- beta1 v + (1 - beta1) (g + lambda m / N)
        s <- beta2 s + (1 - beta2) g^2
        m <- m - rate v' / (sqrt(s) + lambda / N),    v' = v / (1 - beta1^t).

    The prior's part is lambda m / N since g is of the mean loss a row: N rows share one prior. The
    slides' objective lacks this 1/N. s is the square of a minibatch's gradient, and estimates the
    curvature a row only for minibatches of one row; of B rows it is about B times too small.

    Args:
        state: before.
        gradient: g, of the minibatch's mean negative log-likelihood at weights from `draw`.
        rows: N > 0, of the training data.
        precision: lambda > 0, of the Gaussian prior.
        rate: above 0.
        beta1, beta2: in [0, 1), of the averages of gradients and squares.
    """
    count = state.count + 1
    momentum = beta1 * state.momentum + (1 - beta1) * (gradient + precision * state.mean / rows)
    square = beta2 * state.square + (1 - beta2) * gradient**2
    move = momentum / (1 - beta1**count) / (tf.sqrt(square) + precision / rows)
    return State(state.mean - rate * move, momentum, square, count)
