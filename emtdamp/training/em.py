"""The EM loop: sweeps of module A over minibatches, exchanges with module B, M-steps, schedules.

With the estimators' defaults little of EM is in it: the number of groups is given, so that module B
keeps the largest Bayes factors, a hard choice; slabs are given; v is learnt by regressions only.

One compiled call an epoch: the shuffle (a permutation gather), every minibatch's step, and module B
`exchanges` times in between. Compiled functions are kept by their settings and shared; a new shape
is traced once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import tensorflow as tf

from emtdamp.messages import damp
from emtdamp.messages.damp import Batch, Layer, Network, Rates, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GroupPrior, PriorState, ramp

Update = Literal["window", "decoupled"]


class Schedule(NamedTuple):
    """Everything that changes with the step number k; all floats, so that no value is compiled in.

    f = k/total is progress. Windows are in epochs.
    """

    total: float  # minibatches in the whole fit
    warmup: float = 100.0  # steps over which the gain rises to its value
    lr: float = 0.03  # the gain in units of 1/n at f = 0; falls linearly to 0
    momentum: float = 0.8
    clip: float = 0.1
    memory: float = 2.0  # window of the precision
    average: float = 0.5  # window of the average of the means
    width_start: float = 1.0  # window of evidence behind the posterior, geometric in f
    width_end: float = 4.0
    ramp_start: float = 0.05  # pruning, in f
    ramp_end: float = 0.7
    prior_count: float = 50.0  # minibatches the starting precision stands for
    window: float = 4.0  # window form
    settle: float = 0.7  # window form: from this f on nothing is forgotten
    learn_noise: float = 0.0  # 1: EM for v
    noise_window: float = 0.1  # epochs over which v averages E[eps^2]
    noise_least: float = 0.0  # of a v that is learnt
    new_until: float = 0.0  # up to this step a sample comes for the first time


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


class Totals(NamedTuple):
    """Sums over an epoch; change: the largest |change| of the posterior's mean in it."""

    log_partition: tf.Tensor
    noise: tf.Tensor  # E[eps^2], of all samples
    rows: tf.Tensor  # their weights
    change: tf.Tensor
    failed: tf.Tensor  # (L, 4) first step at which `damp.QUANTITIES` was not finite


def rates(schedule: Schedule, update: Update, k: tf.Tensor, steps: tf.Tensor, count: tf.Tensor):
    """The step's `Rates`: k steps done, `steps` an epoch, `count` minibatches in the precision."""
    f = k / schedule.total
    warm = tf.minimum((k + 1.0) / schedule.warmup, 1.0)
    if update == "window":
        forget = 1.0 / (schedule.window * steps)
        return Rates(tf.where(f < schedule.settle, 1.0 - forget, tf.ones_like(forget)), temper=warm)
    size = schedule.memory * steps
    keep = tf.where(count + 1.0 <= size, tf.ones_like(size), 1.0 - 1.0 / size)
    lr = schedule.lr * warm * tf.maximum(1.0 - f, 0.0)
    width = schedule.width_start * (schedule.width_end / schedule.width_start) ** f
    return Rates(
        keep=keep,
        gain=lr * (keep * count + 1.0),
        evidence=tf.minimum(k + 1.0 + schedule.prior_count, width * steps),
        momentum=schedule.momentum,
        clip=schedule.clip,
    )


def messages(state: State, kap: tf.Tensor) -> list[Gaussian]:
    """Module A's messages to module B, (kap Lam, h) a layer."""
    sent = []
    for layer in state.layers:
        precision = kap * layer.precision
        shift = layer.mean * (precision + layer.prior.precision) - layer.prior.shift
        sent.append(Gaussian(precision, shift))
    return sent


def exchange(
    progress: Progress, kap: tf.Tensor, module: GroupPrior, keep: Sequence[tf.Tensor]
) -> Progress:
    """Module B answers: its extrinsic messages become the layers' priors, the means move along."""
    state = progress.state
    sent = messages(state, kap)
    prior, back, _ = module.step(progress.prior, sent, keep)
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
    return progress._replace(state=state, average=tuple(averages), prior=prior)


def averaged(
    average: tuple[tf.Tensor, ...], state: State, schedule: Schedule, k: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """The averages with the means after step k (from 0) taken in."""
    share = tf.maximum(1.0 / (k + 1.0), 1.0 / (schedule.average * steps))
    return tuple(
        old + share * (layer.mean - old) for old, layer in zip(average, state.layers, strict=True)
    )


@lru_cache(maxsize=32)
def epoch_function(
    network: Network,
    module: GroupPrior,
    update: Update,
    batch_size: int,
    exchanges: int,
    passes: int,
    damping: float,
):
    """The compiled epoch of these settings.

    epoch(progress, data, seed, schedule, keep) -> progress, Module B's Info, `Totals`; keep: how
    many groups of the inputs and each hidden layer are to be left at the end.
    """

    @tf.function(jit_compile=True, reduce_retracing=False)
    def epoch(progress: Progress, data: Batch, seed, schedule: Schedule, keep):
        state, average, prior, k, _ = progress
        groups = [layer.mean.shape[0] - 1 for layer in state.layers]
        # Rows of weight 0 are padding: they come last in the shuffled order and make no steps.
        rows, dtype = data.x.shape[0], data.x.dtype
        most = -(-rows // batch_size)
        real = data.weight > 0
        steps = (tf.math.count_nonzero(real, dtype=tf.int32) + batch_size - 1) // batch_size
        steps_f = tf.cast(steps, dtype)
        place = tf.random.stateless_uniform([rows], seed, alg="philox")  # "auto": 60 times slower
        order = tf.argsort(tf.where(real, place, tf.fill([rows], 2.0)))
        order = tf.pad(order, [[0, most * batch_size - rows]], constant_values=rows)
        order = tf.reshape(order, [most, batch_size])
        layers, started = len(state.layers), average
        totals = Totals(
            tf.zeros([], dtype),
            tf.zeros([], dtype),
            tf.zeros([], dtype),
            tf.zeros([], dtype),
            tf.fill([layers, 4], most),
        )

        def kept(k):
            progress = (k / schedule.total - schedule.ramp_start) / (
                schedule.ramp_end - schedule.ramp_start
            )
            return [ramp(int(n), part, progress) for n, part in zip(groups, keep, strict=True)]

        def width_of(k, state):
            if update == "window":
                return tf.ones([], dtype)
            return rates(schedule, update, k, steps_f, state.count).evidence / state.count

        for part in tf.range(exchanges):
            i, last = part * steps // exchanges, (part + 1) * steps // exchanges
            length = tf.cast(last - i, dtype)
            before = totals
            while i < last:
                index = order[i]
                here = index < rows
                index = tf.minimum(index, rows - 1)
                batch = Batch(
                    tf.gather(data.x, index),
                    tf.gather(data.y, index),
                    tf.where(here, tf.gather(data.weight, index), tf.zeros([], dtype)),
                )
                r = rates(schedule, update, k, steps_f, state.count)
                if update == "window":
                    state, seen = damp.step_window(network, state, batch, r, passes, damping)
                else:
                    state, seen = damp.step_decoupled(network, state, batch, r)
                    average = averaged(average, state, schedule, k, steps_f)
                learnt = k >= schedule.new_until
                k += 1.0
                i += 1
                totals = Totals(
                    totals.log_partition + seen.log_partition,
                    totals.noise + tf.where(learnt, seen.noise_learnt, seen.noise),
                    totals.rows + seen.rows,
                    totals.change,
                    tf.minimum(totals.failed, tf.where(seen.healthy, most, i - 1)),
                )
            if update == "window":
                average = tuple(layer.mean for layer in state.layers)
            width = width_of(k, state)
            state, average, prior, *_ = exchange(
                Progress(state, average, prior, k, width), width, module, kept(k)
            )
            rows_now = totals.rows - before.rows
            learn = (schedule.learn_noise > 0) & (rows_now > 0)
            mean_noise = (totals.noise - before.noise) / tf.where(learn, rows_now, 1.0)
            share = tf.minimum(length / tf.minimum(schedule.noise_window * steps_f, k + 1.0), 1.0)
            moved_noise = state.noise + share * (mean_noise - state.noise)
            moved_noise = tf.maximum(moved_noise, schedule.noise_least)
            state = state._replace(noise=tf.where(learn, moved_noise, state.noise))
        moved = [tf.reduce_max(tf.abs(a - b)) for a, b in zip(average, started, strict=True)]
        totals = totals._replace(change=tf.reduce_max(tf.stack(moved)))
        width = width_of(k, state)
        info = module.step(prior, messages(state, width), kept(k))[2]
        return Progress(state, average, prior, k, width), info, totals

    return epoch
