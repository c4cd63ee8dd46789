"""Module A (DAMP): Gaussian messages through a stack of dense layers, one minibatch at a time.

A layer's posterior is q(W) ∝ data(W) prior(W), both Gaussian: `precision` (Lam) and mean m stand
for the data's accumulated message, `prior` (P, p) is module B's. The shift of the data's message
is not stored: it is h = m (kap Lam + P) - p, kap the width factor below, 1 in the window form.

`step_window`: the paper's posterior-as-prior. Of the accumulated message the share gamma is kept,
    s = 1/(gamma Lam + P),  m <- s (gamma h + p) = m - (1 - gamma) s (P m - p),
the minibatch's message (G, H), tempered by alpha, is multiplied in,
    s' = 1/(gamma Lam + P + alpha G),
    m' = s' (gamma h + p + alpha H) = m + alpha s' U,  U = H - m G,
and with T > 1 the messages are computed again at the new posterior, damped. At gamma = alpha = 1
each datum is counted once, exactly so where the model is linear and Gaussian.

`step_decoupled`: let m0 = s (gamma h + p) be the window form's mean before a minibatch. If m is to
come back, alpha s' U = (1 - gamma) s (P m - p), and P m0 - p = (P m - p) gamma s/s' at alpha = 1,
    U(m0) = (P m0 - p)/Ne,   Ne = gamma/(1 - gamma),                                    (balance)
averaged over minibatches: an equation for m0 in which Lam appears only inside U's messages, by the
variances. Ne is the number of minibatches behind the posterior (the sum of the weights gamma^k). So
the mean may be moved to the root by any step, and Lam be counted for the width alone:
    d <- beta d + (1 - beta) (U - (P m - p)/Ne),
    m <- m + clip(d / ((gamma Lam + P/kap)/eta + G))
with momentum beta and gain eta. Lam counts n minibatches, kap = Ne/n scales it to Ne, and the
posterior's variance is 1/(kap Lam + P). The fixed points are those of the window form whatever
beta, eta and the clip are; with beta = 0, eta = kap = 1 and no clip, so is the path, up to the
order of forgetting and learning.

At rest the two are one, on the way they are not, and no fit is long: the decoupled form is a
variational optimiser by natural gradients, as VOGN and IVON are, with these messages for gradient
and curvature. It is ours, and the estimators' default; the window form is the paper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import tensorflow as tf

from emtdamp.messages import layers
from emtdamp.messages.activations import Activation
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.layers import Trace, WeightMessage
from emtdamp.messages.likelihoods import Likelihood, Output


class Layer(NamedTuple):
    """A layer's state, (N, J) each, N counting the bias (last row)."""

    mean: tf.Tensor
    precision: tf.Tensor
    velocity: tf.Tensor
    prior: Gaussian


class State(NamedTuple):
    """What the next step needs; scalars are tensors of the layers' dtype."""

    layers: tuple[Layer, ...]
    noise: tf.Tensor  # v
    count: tf.Tensor  # n, minibatches counted in precision, forgetting included


def init(
    means: Sequence[np.ndarray],
    precisions: Sequence[float],
    priors: Sequence[float],
    noise: float,
    count: float = 0.0,
) -> State:
    """A State at rest: of each layer messages of one precision with these means (N+1, J), and one
    prior N(0, 1/prior); `noise` is v, `count` the minibatches that the precisions stand for."""
    layers = []
    for mean, precision, prior in zip(means, precisions, priors, strict=True):
        zero = np.zeros_like(mean)
        layers.append(Layer(mean, zero + precision, zero, Gaussian(zero + prior, zero)))
    one = np.ones([], means[0].dtype)
    return State(tuple(layers), noise * one, count * one)


class Batch(NamedTuple):
    """x (B, N) with the ones of the bias in the last column; y as the likelihood wants it;
    weight (B,), how often a sample counts (0: padding)."""

    x: tf.Tensor
    y: tf.Tensor
    weight: tf.Tensor


class Rates(NamedTuple):
    """A step's scalars; `step_window` reads the first two, `step_decoupled` all but temper.

    retain: gamma in [0, 1], the share of the accumulated precision that is kept; temper: alpha in
    (0, 1]; gain: eta > 0; effective_minibatches: Ne > 0 behind the posterior; momentum: beta in
    [0, 1); clip: largest change of a mean a step, in units of the layer's He standard deviation
    sqrt(2/fan_in).
    """

    retain: tf.Tensor | float
    temper: tf.Tensor | float = 1.0
    gain: tf.Tensor | float = 1.0
    effective_minibatches: tf.Tensor | float = 1.0
    momentum: tf.Tensor | float = 0.0
    clip: tf.Tensor | float = 1e30


class Info(NamedTuple):
    """log_partition: mean over the minibatch's samples, before it was learnt; noise and
    noise_learnt: of `Output`, summed over the samples, whose weights are summed in rows;
    healthy: () bool, the messages to all biases are finite. What is not finite in a layer spreads
    to those above it, and from the top to all biases.
    """

    log_partition: tf.Tensor
    noise: tf.Tensor
    noise_learnt: tf.Tensor
    rows: tf.Tensor
    healthy: tf.Tensor


@dataclass(frozen=True)
class Network:
    """Settings of module A: the hidden layers' nonlinearity and the output factor.

    fan_in: rows of each layer that `Rates.clip` is relative to, where some have been dropped.
    """

    activation: Activation
    likelihood: Likelihood
    fan_in: tuple[int, ...] = ()

    def sized(self, x: np.ndarray) -> Self:
        """The one for these x, where something depends on their number."""
        return self

    def message_pass(
        self, weights: Sequence[tuple[tf.Tensor, tf.Tensor]], batch: Batch, noise: tf.Tensor
    ) -> "MessagePass":
        """The first pass over a minibatch; networks that are no stack of layers have their own."""
        return message_pass(self, weights, batch, noise)

    def propagate(
        self, weights: Sequence[tuple[tf.Tensor, tf.Tensor]], x: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of the last layer's z, (B, J): prediction."""
        return propagate(self, weights, x)


class Memory(NamedTuple):
    """What a pass leaves for the next one's cavities on the same samples."""

    traces: list[Trace]  # of each layer
    above: list[Gaussian]  # to the activations that leave each layer but the last


class MessagePass(NamedTuple):
    """One pass up and down: the messages to each layer's weights, and what else it found."""

    messages: list[WeightMessage]
    memory: Memory
    output: Output
    inputs: tuple[Gaussian, ...] = ()  # where x has a variance one, the message to x, (B, N-1)


def propagate(
    network: Network,
    weights: Sequence[tuple[tf.Tensor, tf.Tensor]],
    x: tf.Tensor,
    var: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of the last layer's z, (B, J), from (m, s) of each layer: prediction.

    var: of x, (B, N), None where x is known.
    """
    w, spread, *_ = _upward(network, weights, x, var, None)
    return w[-1], spread[-1]


def _upward(
    network: Network,
    weights: Sequence[tuple[tf.Tensor, tf.Tensor]],
    x: tf.Tensor,
    d: tf.Tensor | None,
    previous: Memory | None,
) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor], list[tf.Tensor | None]]:
    """w and V of each layer, and the mean x and variance D of its inputs."""
    ws, vs, xs, ds = [], [], [x], [d]
    for number, (m, s) in enumerate(weights):
        old = None if previous is None else previous.traces[number]
        w, var = layers.forward(xs[-1], ds[-1], m, s, old)
        ws.append(w)
        vs.append(var)
        if number + 1 < len(weights):
            message = None if previous is None else previous.above[number]
            unit = network.activation(w, var, message)
            xs.append(tf.pad(unit.mean, [[0, 0], [0, 1]], constant_values=1.0))
            ds.append(tf.pad(unit.var, [[0, 0], [0, 1]]))
    return ws, vs, xs, ds


def message_pass(
    network: Network,
    weights: Sequence[tuple[tf.Tensor, tf.Tensor]],
    batch: Batch,
    noise: tf.Tensor,
    previous: Memory | None = None,
    var: tf.Tensor | None = None,
) -> MessagePass:
    """Messages forward, then backward; `previous` is what the pass before left, `var` (B, N) the
    variance of x, None where x is known."""
    ws, vs, xs, ds = _upward(network, weights, batch.x, var, previous)
    output = network.likelihood(ws[-1], vs[-1], batch.y, noise)
    g, gam = output.gradient, output.curvature
    weight = batch.weight[:, None]
    messages, traces = [], []
    above: list[Gaussian] = []
    for number in reversed(range(len(weights))):
        m, s = weights[number]
        old = None if previous is None else previous.traces[number]
        messages.append(layers.to_weights(xs[number], ds[number], m, g, gam, weight, old))
        traces.append(Trace(xs[number], m, g))
        if number > 0:
            above.append(layers.to_inputs(xs[number], m, s, g, gam, old))
            unit = network.activation(ws[number - 1], vs[number - 1], above[-1])
            g, gam = unit.gradient, unit.curvature
    memory = Memory(traces[::-1], above[::-1])
    inputs = () if var is None else (layers.to_inputs(xs[0], *weights[0], g, gam, None),)
    return MessagePass(messages[::-1], memory, output, inputs)


def step_window(
    network: Network,
    state: State,
    batch: Batch,
    rates: Rates,
    passes: int = 1,
    damping: float = 0.0,
) -> tuple[State, Info]:
    """Posterior-as-prior with a forgetting window; `passes` T >= 1, `damping` in [0, 1).

    The mean is damped in every pass but the last, m <- damping m + (1 - damping) m'; the
    variance is not. T = 2 wants about 0.5, T = 3 0.7.
    """
    starts = []
    for mean, precision, _, prior in state.layers:
        total = rates.retain * precision + prior.precision
        pull = (1.0 - rates.retain) * (prior.precision * mean - prior.shift)
        starts.append((mean - pull / total, 1.0 / total))

    def move(weights: list, messages: list[WeightMessage], share: tf.Tensor | float | None) -> list:
        moved = []
        for (start, s), (mean, _), message in zip(starts, weights, messages, strict=True):
            # H = U + m G was expanded at the current mean: the shift relative to the start is
            # U + (m - start) G
            var = 1.0 / (1.0 / s + rates.temper * message.precision)
            push = message.gradient + (mean - start) * message.precision
            new = start + rates.temper * var * push
            moved.append((new if share is None else share * mean + (1.0 - share) * new, var))
        return moved

    def again(
        number: tf.Tensor, weights: list, result: MessagePass
    ) -> tuple[tf.Tensor, list, MessagePass]:
        result = message_pass(network, weights, batch, state.noise, result.memory)
        share = tf.cast(tf.where(number < passes - 1, damping, 0.0), state.noise.dtype)
        return number + 1, move(weights, result.messages, share), result

    result = first = message_pass(network, starts, batch, state.noise, None)
    weights = move(starts, result.messages, damping if passes > 1 else None)
    if passes > 1:  # a loop: unrolled, each pass would be compiled anew
        _, weights, result = tf.while_loop(
            lambda number, *_: number < passes, again, (tf.constant(1), weights, result)
        )
    new_layers = tuple(
        Layer(
            mean,
            rates.retain * old.precision + rates.temper * message.precision,
            old.velocity,
            old.prior,
        )
        for old, (mean, _), message in zip(state.layers, weights, result.messages, strict=True)
    )
    return _finish(state, new_layers, rates, batch, first.output, result)


def step_decoupled(
    network: Network, state: State, batch: Batch, rates: Rates
) -> tuple[State, Info]:
    """One damped, momentum-accelerated iteration towards the window form's fixed point."""
    kap = rates.effective_minibatches / tf.maximum(state.count, 1.0)
    weights = [
        (old.mean, 1.0 / (kap * old.precision + old.prior.precision)) for old in state.layers
    ]
    result = network.message_pass(weights, batch, state.noise)
    new_layers = []
    fan_in = network.fan_in or [old.mean.shape[0] for old in state.layers]
    for old, (gradient, precision), rows in zip(state.layers, result.messages, fan_in, strict=True):
        pull = (old.prior.precision * old.mean - old.prior.shift) / rates.effective_minibatches
        velocity = rates.momentum * old.velocity + (1.0 - rates.momentum) * (gradient - pull)
        retained = rates.retain * old.precision
        stiffness = (retained + old.prior.precision / kap) / rates.gain + precision
        limit = rates.clip * (2.0 / rows) ** 0.5
        change = tf.clip_by_value(velocity / stiffness, -limit, limit)
        new_layers.append(Layer(old.mean + change, retained + precision, velocity, old.prior))
    return _finish(state, tuple(new_layers), rates, batch, result.output, result)


def _finish(
    state: State,
    new_layers: tuple[Layer, ...],
    rates: Rates,
    batch: Batch,
    output: Output,
    result: MessagePass,
) -> tuple[State, Info]:
    total = tf.reduce_sum(batch.weight)
    biases = tf.concat([gradient[-1] + sharp[-1] for gradient, sharp in result.messages], 0)
    info = Info(
        tf.reduce_sum(batch.weight * output.log_partition) / total,
        tf.reduce_sum(batch.weight * output.noise),
        tf.reduce_sum(batch.weight * output.noise_learnt),
        total,
        tf.reduce_all(tf.math.is_finite(biases)),
    )
    return State(new_layers, state.noise, rates.retain * state.count + 1.0), info
