"""The fixed point of module A on all data at once, and the posterior variance that it implies.

Minibatches, windows and momentum are ways towards a fixed point. `settle` goes there: one batch of
all rows, Onsager's terms on, passes until nothing moves. There, with (U, G) the data's message,
    U = P m - p,    s = 1/(c G + P)                                                  (equilibrium)
and each datum counts once in the mean, whose noise is v, not v + V: at a fixed point Onsager's term
has taken its own word out of what meets it. So the mean needs no independence of the columns
(for a linear layer it is ridge regression, whatever the design). The variances do: where columns
carry the same information, each weight's precision G knows nothing of what its neighbours could
make up for, and V = sum x^2 s counts one direction as many times as there are columns in it. The
count c divides that out. It is not free. In any model with Gaussian noise
    Var[z_b | data] = v d E[z_b | data] / d y_b                                         (response)
and the right side needs means only, which are right. `match_counts` finds the c at which the V of
the rows add up to the sum of these responses, v times the degrees of freedom. `response` gives
the right side itself, at any x. (Linear response: Giordano, Broderick and Jordan 2015, "Linear
response methods for accurate covariance estimates from mean field variational Bayes".)
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from emtdamp.errors import EmtdampError
from emtdamp.messages import damp
from emtdamp.messages.damp import Batch, Layer, Memory, Network, State

CLIP = 0.2  # largest change of a mean a pass, in units of the layer's He sd sqrt(2/fan_in)
STEP = 0.01  # of a probe, in units of sqrt(v): the response is linear there, rounding far below
PSEUDO = 1e-3  # weight of the row that `response` adds to the data
SETTLED = 1e-4  # largest change a pass that `match_counts` takes for a fixed point


class Settled(NamedTuple):
    """Where `settle` ended: the posterior of a weight is N(mean, 1/(precision + prior.precision)).

    log_partition (B,): of each row where its own word is taken out of the mean, so about its
    leave-one-out predictive density. change: largest change of a mean or sd in the last pass.
    """

    state: State
    memory: Memory
    log_partition: tf.Tensor
    change: tf.Tensor
    passes: tf.Tensor


class Mixture(NamedTuple):
    """What `mixture` found: c, the degrees of freedom, the fixed points and their shares."""

    counts: float
    freedom: float
    settled: list[Settled]
    share: np.ndarray


def draw(sizes: Sequence[int], slab: Sequence[float], noise: float, seed: int) -> State:
    """A start for `settle`, float64: means drawn from the prior N(0, slab) of each layer.

    `sizes` are inputs, hidden neurons and outputs. Variances are a fiftieth of the prior's:
    the passes overshoot where V is far above v.
    """
    rng, pairs = np.random.default_rng(seed), zip(pairwise(sizes), slab, strict=True)
    means = [rng.normal(size=(above + 1, below)) * var**0.5 for (above, below), var in pairs]
    state = damp.init(means, [49 / var for var in slab], [1 / var for var in slab], noise)
    return tf.nest.map_structure(tf.constant, state)


def settle(
    network: Network,
    start: State | Settled,
    batch: Batch,
    counts: float = 1.0,
    damping: float = 0.9,
    momentum: float = 0.9,
    tolerance: float = 1e-8,
    most: int = 20_000,
) -> Settled:
    """Passes over `batch` from `start` until no mean or sd changes by more than `tolerance`.

    `counts` c > 0. `damping` in [0, 1) keeps that share of the precision and of Onsager's terms
    and shortens the mean's step, `momentum` in [0, 1) lengthens it again along valleys. Where V
    is above v or columns are alike, more damping is needed. A `Settled` start goes on where it
    was, on the same number of rows. Nothing is raised at `most` passes: see `change`.
    """
    dtype = batch.x.dtype
    if isinstance(start, State):
        first = damp.message_pass(network, posterior(start), batch, start.noise)
        state, memory = start, first.memory
    else:
        state, memory = start.state, start.memory
    numbers = (tf.constant(v, dtype) for v in (counts, damping, momentum, tolerance))
    return _loop(network)(state, memory, batch, *numbers, tf.constant(most))


def posterior(state: State) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Mean and variance of each layer's weights."""
    return [(a.mean, 1.0 / (a.precision + a.prior.precision)) for a in state.layers]


@lru_cache(maxsize=32)
def _loop(network: Network) -> Callable[..., Settled]:
    @tf.function(jit_compile=True, autograph=False)
    def loop(state, memory, batch, counts, damping, momentum, tolerance, most):
        fresh = 1.0 - damping

        def message_pass(state, memory, _, __, passes):
            result = damp.message_pass(network, posterior(state), batch, state.noise, memory)
            moved, changes = [], []
            for old, (gradient, precision) in zip(state.layers, result.messages, strict=True):
                collected = damping * old.precision + fresh * counts * precision
                pull = old.prior.precision * old.mean - old.prior.shift
                step = fresh * (gradient - pull) / (collected + old.prior.precision)
                limit = CLIP * (2.0 / old.mean.shape[0]) ** 0.5
                velocity = tf.clip_by_value(momentum * old.velocity + step, -limit, limit)
                moved.append(Layer(old.mean + velocity, collected, velocity, old.prior))
                total = collected + old.prior.precision
                shrunk = tf.abs(collected - old.precision) * total**-1.5  # twice that of the sd
                changes += [tf.reduce_max(tf.abs(velocity)), tf.reduce_max(shrunk)]
            memory = tf.nest.map_structure(
                lambda old, new: damping * old + fresh * new, memory, result.memory
            )
            return Settled(
                state._replace(layers=tuple(moved)),
                memory,
                result.output.log_partition,
                tf.reduce_max(tf.stack(changes)),
                passes + 1,
            )

        zero, one = tf.zeros([], tf.int32), tf.ones([], batch.x.dtype)
        start = Settled(state, memory, tf.zeros_like(batch.weight), one, zero)
        return tf.while_loop(lambda *at: (at[4] < most) & (at[3] > tolerance), message_pass, start)

    return loop


def degrees_of_freedom(
    network: Network, at: Settled, batch: Batch, counts: float, probes: np.ndarray, **how: Any
) -> float:
    """sum_b dE[z_b]/dy_b, for one output: the mean over probes r of r' dE[z]/dy r, times B/r'r.

    `probes` (K, B): the rows of the unit matrix give the exact sum, random signs an unbiased one.
    `how` goes to `settle`.
    """
    z = _outputs(network, at.state, batch.x)
    step = STEP * float(at.state.noise) ** 0.5
    total = 0.0
    for probe in probes:
        moved = batch._replace(y=batch.y + step * tf.constant(probe[:, None], batch.y.dtype))
        there = settle(network, at, moved, counts, **how)
        slope = (_outputs(network, there.state, batch.x) - z) / step
        total += float(probe @ slope) * len(probe) / float(probe @ probe)
    return total / len(probes)


def match_counts(
    network: Network,
    start: State | Settled,
    batch: Batch,
    probes: np.ndarray,
    counts: float = 4.0,
    rounds: int = 2,
    **how: Any,
) -> tuple[float, Settled, float]:
    """The c at which the rows' V add up to v times the degrees of freedom; with both.

    Starts from above, because few counts make V large and the passes unstable; `rounds` of
    c <- c (sum V / (v degrees))^0.7 (V falls a little faster than 1/c). Raises EmtdampError where
    the passes do not settle or the degrees of freedom are not positive.
    """
    at, freedom = start, 0.0
    for _ in range(rounds):
        at = settle(network, at, batch, counts, **how)
        _check(at, counts)
        freedom = degrees_of_freedom(network, at, batch, counts, probes, **how)
        if not freedom > 0.0:
            raise EmtdampError(
                f"the rows have {freedom:.3g} degrees of freedom: the fixed point is not stable; "
                "use another start, or more damping"
            )
        _, var = damp.propagate(network, posterior(at.state), batch.x)
        counts *= float(tf.reduce_sum(var) / at.state.noise / freedom) ** 0.7
    at = settle(network, at, batch, counts, **how)
    _check(at, counts)
    return counts, at, freedom


def mixture(
    network: Network, starts: Sequence[State], batch: Batch, counts: float = 4.0, **how: Any
) -> Mixture:
    """Several starts settled at one matched c, weighted by their leave-one-out densities.

    c is matched on the best of them at `counts`, with all rows as probes, so this is for few rows.
    Starts that do not settle are left out; EmtdampError where none does.
    """
    found = [settle(network, start, batch, counts, **how) for start in starts]
    found = [each for each in found if float(each.change) < SETTLED] or found[:1]
    best = max(found, key=lambda each: float(tf.reduce_sum(each.log_partition)))
    probes = np.eye(batch.x.shape[0])
    counts, _, freedom = match_counts(network, best, batch, probes, counts, **how)
    found = [settle(network, each, batch, counts, **how) for each in found]
    found = [each for each in found if float(each.change) < SETTLED]
    share = softmax([float(tf.reduce_sum(each.log_partition)) for each in found])
    return Mixture(counts, freedom, found, share)


def mixture_moments(
    network: Network, parts: Mixture, x: tf.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of z at x under a mixture, (B, J) each."""
    each = [damp.propagate(network, posterior(part.state), x) for part in parts.settled]
    mean, var = (np.array([pair[n] for pair in each]) for n in (0, 1))
    total = np.tensordot(parts.share, mean, 1)
    return total, np.tensordot(parts.share, var + (mean - total) ** 2, 1)


def response(
    network: Network, at: Settled, batch: Batch, counts: float, x: tf.Tensor, **how: Any
) -> np.ndarray:
    """Var[z] at the rows of x (M, N) by linear response, for one output: (M,).

    A row of weight `PSEUDO` at x observes z with noise v/PSEUDO; moving its y up and down moves
    the mean of z by Var[z] times that, over the noise.
    """
    v = float(at.state.noise)
    step = STEP * (v / PSEUDO) ** 0.5
    found = []
    for row in x:
        z = damp.propagate(network, posterior(at.state), row[None])[0]
        weight = tf.constant([PSEUDO], batch.x.dtype)
        ends = []
        for sign in (1.0, -1.0):
            more = (row[None], z + sign * step, weight)
            data = Batch(*(tf.concat(pair, 0) for pair in zip(batch, more, strict=True)))
            there = settle(network, at.state, data, counts, **how)
            ends.append(_outputs(network, there.state, row[None])[0])
        found.append((ends[0] - ends[1]) / (2 * step) * v / PSEUDO)
    return np.array(found)


def _outputs(network: Network, state: State, x: tf.Tensor) -> np.ndarray:
    return damp.propagate(network, posterior(state), x)[0].numpy()[:, 0]


def _check(at: Settled, counts: float) -> None:
    if not float(at.change) < SETTLED:
        raise EmtdampError(
            f"the passes have not settled at counts={counts:.3g} after {int(at.passes)}, the last "
            f"change is {float(at.change):.1e}; use more damping, or more counts"
        )
