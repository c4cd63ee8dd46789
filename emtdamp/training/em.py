"""The EM loop: passes of module A over minibatches, exchanges with module B, M-steps, schedules.

With the estimators' defaults little of EM is in it: the number of groups is given, so that module B
keeps the largest Bayes factors, a hard choice; slabs are given; v is learnt by regressions only.

One compiled call for some epochs: every minibatch's step, and module B `exchanges` times an epoch.
The order of the rows is drawn before it, by NumPy, which sorts faster than XLA and needs no
compiling. A call takes as long as an epoch of a small table, so such epochs are called by the
dozen. Compiled functions are kept by their settings and shared; a new shape is traced once.
Compiling takes longer than many a fit, and its time goes by the number of operations: so module B
stands in one place of an epoch, and what goes into `Totals` is little.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from emtdamp.messages.damp import Batch, Layer, Network, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import PriorState, ramp
from emtdamp.training.forms import Form, Schedule


class Progress(NamedTuple):
    """The one state of a fit: what is trained, shrunk, continued and saved, padding included.

    Leaves are tensors while it is trained and NumPy arrays at rest, all of one float type but for
    module B's, which are float64. An epoch that starts from a saved one goes on as if nothing had
    come between.

    average: of each layer's mean over the last steps (`Schedule.average`), the mean of the
    posterior. Decoupled steps are as large as their noise allows: the iterate wanders about the
    fixed point by more than the posterior's width until the gain has fallen, its average does not
    (Polyak and Juditsky 1992). In the window form the gain falls as 1/n from the start and the
    average is the mean itself.
    """

    state: State
    average: tuple[tf.Tensor, ...]
    prior: PriorState
    k: tf.Tensor  # steps done
    width: tf.Tensor  # kap: the posterior's precision is width * precision + prior's


class Module(Protocol):
    """Module B: what becomes of its state and its messages to the layers, and its Info."""

    def step(
        self, state: Any, messages: Sequence[Gaussian], keep: Sequence[tf.Tensor]
    ) -> tuple[Any, Sequence[Gaussian], Any]:
        """As `GroupPrior.step`."""
        ...

    @property
    def repeats(self) -> bool:
        """As `GroupPrior.repeats`."""
        ...

    def groups(self, shapes: Sequence[tuple[int, int]]) -> Sequence[int]:
        """As `GroupPrior.groups`."""
        ...


class Totals(NamedTuple):
    """Sums over an epoch; change: the largest |change| of the posterior's mean in it.

    Of several epochs: (epochs,) each.
    """

    log_partition: tf.Tensor
    noise: tf.Tensor  # E[eps^2], of all samples
    rows: tf.Tensor  # their weights
    change: tf.Tensor
    failed: tf.Tensor  # number of the first minibatch with a message that is not finite, or more
    variance: tf.Tensor  # v at its end


def messages(state: State, kap: tf.Tensor) -> list[Gaussian]:
    """Module A's messages to module B, (kap Lam, h) a layer."""
    sent = []
    for layer in state.layers:
        precision = kap * layer.precision
        shift = layer.mean * (precision + layer.prior.precision) - layer.prior.shift
        sent.append(Gaussian(precision, shift))
    return sent


def exchange(
    progress: Progress, module: Module, keep: Sequence[tf.Tensor]
) -> tuple[Progress, tuple[tf.Tensor, ...]]:
    """Module B answers: its extrinsic messages become the layers' priors, the means move along.

    Returns also its log-odds of the groups, (n,) each.
    """
    state = progress.state
    sent = messages(state, progress.width)
    prior, back, info = module.step(progress.prior, sent, keep)
    new, averages = [], []
    for layer, average, message, answer in zip(
        state.layers, progress.average, sent, back, strict=True
    ):
        before = message.precision + layer.prior.precision
        total = message.precision + answer.precision
        mean = (message.shift + answer.shift) / total
        averages.append(mean + (average - layer.mean) * before / total)
        new.append(Layer(mean, layer.precision, layer.velocity, answer))
    state = state._replace(layers=tuple(new))
    progress = progress._replace(state=state, average=tuple(averages), prior=prior)
    return progress, tuple(info.log_odds)


def averaged(
    average: tuple[tf.Tensor, ...], state: State, schedule: Schedule, k: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """The averages with the means after step k (from 0) taken in."""
    share = tf.maximum(1.0 / (k + 1.0), 1.0 / (schedule.average * steps))
    return tuple(
        old + share * (layer.mean - old) for old, layer in zip(average, state.layers, strict=True)
    )


def shuffled(weight: np.ndarray, batch_size: int, seed: Sequence[int]) -> np.ndarray:
    """Numbers of the rows of each minibatch, (most, batch_size) int32.

    Rows of weight 0 are padding: they come last in the order. A number that is no row fills the
    last minibatch up. `seed`: two integers of 32 bits.
    """
    rows, most = len(weight), -(-len(weight) // batch_size)
    bits = tf.raw_ops.StatelessRandomUniformFullInt(shape=[rows], seed=seed, dtype=tf.uint32)
    place = np.where(weight > 0, bits.numpy() >> 9, 1 << 24)  # 23 bits, as a uniform float has them
    order = np.full(most * batch_size, rows, np.int32)
    order[:rows] = np.argsort(place, kind="stable")
    return order.reshape(most, batch_size)


def gathered(data: Batch, index: tf.Tensor) -> Batch:
    """The rows of these numbers; those that are no row have weight 0."""
    rows = data.x.shape[0]
    here = index < rows
    index = tf.minimum(index, rows - 1)
    weight = tf.gather(data.weight, index)
    return Batch(
        tf.gather(data.x, index),
        tf.gather(data.y, index),
        tf.where(here, weight, tf.zeros_like(weight)),
    )


def keep_after(schedule: Schedule, k: tf.Tensor, groups: Sequence[int], keep: Sequence[tf.Tensor]):
    """How many of the groups are to be active after k steps, on the ramp to `keep` of them."""
    length = schedule.ramp_end - schedule.ramp_start
    progress = (k / schedule.total - schedule.ramp_start) / length
    return [ramp(int(n), part, progress) for n, part in zip(groups, keep, strict=True)]


def learnt_noise(
    noise: tf.Tensor,
    schedule: Schedule,
    totals: Totals,
    before: Totals,
    length: tf.Tensor,
    k: tf.Tensor,
    steps: tf.Tensor,
) -> tf.Tensor:
    """v after the M-step of an exchange, `length` minibatches after the last one."""
    rows = totals.rows - before.rows
    learn = (schedule.learn_noise > 0) & (rows > 0)
    mean = (totals.noise - before.noise) / tf.where(learn, rows, 1.0)
    share = tf.minimum(length / tf.minimum(schedule.noise_window * steps, k + 1.0), 1.0)
    moved = tf.maximum(noise + share * (mean - noise), schedule.noise_least)
    return tf.where(learn, moved, noise)


@lru_cache(maxsize=32)
def epochs_function(network: Network, module: Module, form: Form, exchanges: int):
    """The compiled epochs of these settings.

    run(progress, data, orders, steps, epochs, settings, keep) -> progress, log-odds, `Totals`:

    orders: of `shuffled`, (most, ...), an epoch each; steps: minibatches to take of each; epochs:
    how many of them to run; settings: a `Schedule` in one tensor, since tracing takes a third
    longer with its 18; keep: how many groups of the inputs and each hidden layer (of whatever
    module B groups) are to be left at the end. Log-odds of the groups, (most, n) each, and totals
    have a row an epoch, of 0 for those that were not run.
    """
    # Where module B learns, it is asked once more at the end of an epoch, without a minibatch and
    # without a consequence: for what it thinks then.
    rounds = exchanges if module.repeats else exchanges + 1

    @tf.function(jit_compile=True, reduce_retracing=False, autograph=False)
    def run(progress: Progress, data: Batch, orders, steps, epochs, settings, keep):
        schedule = Schedule(*tf.unstack(settings))
        groups = module.groups([tuple(layer.mean.shape) for layer in progress.state.layers])
        zero = tf.zeros([], data.x.dtype)
        steps_f = tf.cast(steps, zero.dtype)
        nothing = Totals(zero, zero, zero, zero, tf.constant(orders.shape[1]), zero)
        none = tuple(tf.zeros([n], tf.float64) for n in groups)

        def minibatch(epoch, i, state, average, k, totals):
            batch = gathered(data, orders[epoch, i])
            rates = form.rates(schedule, k, steps_f, state.count)
            state, seen = form.step(network, state, batch, rates)
            if form.averages:
                average = averaged(average, state, schedule, k, steps_f)
            learnt = k >= schedule.new_until
            totals = totals._replace(
                log_partition=totals.log_partition + seen.log_partition,
                noise=totals.noise + tf.where(learnt, seen.noise_learnt, seen.noise),
                rows=totals.rows + seen.rows,
                failed=tf.minimum(totals.failed, tf.where(seen.healthy, nothing.failed, i)),
            )
            return epoch, i + 1, state, average, k + 1.0, totals

        def part(epoch, number, progress, before, _):
            state, average, prior, k, _ = progress
            i, last = number * steps // exchanges, (number + 1) * steps // exchanges
            last = tf.minimum(last, steps)
            length = tf.cast(last - i, zero.dtype)
            _, _, state, average, k, totals = tf.while_loop(
                lambda _, i, *__: i < last, minibatch, (epoch, i, state, average, k, before)
            )
            if not form.averages:
                average = tuple(layer.mean for layer in state.layers)
            noise = learnt_noise(state.noise, schedule, totals, before, length, k, steps_f)
            rates = form.rates(schedule, k, steps_f, state.count)
            width = form.width(rates, state.count)
            asking = Progress(state._replace(noise=noise), average, prior, k, width)
            after, odds = exchange(asking, module, keep_after(schedule, k, groups, keep))
            if not module.repeats:
                follow = number < exchanges
                after = tf.nest.map_structure(lambda a, b: tf.where(follow, a, b), after, asking)
            return epoch, number + 1, after, totals, odds

        def whole(epoch, progress, told):
            started = progress.average
            _, _, progress, totals, odds = tf.while_loop(
                lambda _, number, *__: number < rounds,
                part,
                (epoch, tf.constant(0), progress, nothing, none),
            )
            moved = [
                tf.reduce_max(tf.abs(a - b)) for a, b in zip(progress.average, started, strict=True)
            ]
            change, v = tf.reduce_max(tf.stack(moved)), progress.state.noise
            tell = odds, totals._replace(change=change, variance=v)
            told = tf.nest.map_structure(lambda rows, row: rows.write(epoch, row), told, tell)
            return epoch + 1, progress, told

        told = tf.nest.map_structure(
            lambda row: tf.TensorArray(row.dtype, orders.shape[0], element_shape=row.shape),
            (none, nothing),
        )
        _, progress, told = tf.while_loop(
            lambda epoch, *_: epoch < epochs, whole, (tf.constant(0), progress, told)
        )
        return progress, *tf.nest.map_structure(lambda rows: rows.stack(), told)

    return run
