"""The two forms of module A's step, each with its start, its rates and its step.

Both are used alike, by the compiled epochs and wherever a State is moved:

    state = form.init(means, precisions, priors, noise, schedule)
    rates = form.rates(schedule, k, steps, state.count)
    state, info = form.step(network, state, batch, rates)

`damp` derives them; at rest they are one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from emtdamp.messages import damp
from emtdamp.messages.damp import Batch, Info, Network, Rates, State


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
    width_start: float = 1.0  # window behind the posterior, geometric in f
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


class Form(Protocol):
    """What the epoch asks of a form."""

    @property
    def passes(self) -> int:
        """Of messages over a minibatch."""
        ...

    @property
    def averages(self) -> bool:
        """Whether the posterior's mean is an average over the last steps, not the iterate."""
        ...

    def init(
        self,
        means: Sequence[np.ndarray],
        precisions: Sequence[float],
        priors: Sequence[float],
        noise: float,
        schedule: Schedule,
    ) -> State:
        """The State to start from: see `damp.init`."""
        ...

    def rates(self, schedule: Schedule, k: tf.Tensor, steps: tf.Tensor, count: tf.Tensor) -> Rates:
        """Of the step after k; `steps` an epoch, `count` minibatches in the precision."""
        ...

    def width(self, rates: Rates, count: tf.Tensor) -> tf.Tensor:
        """kap: the posterior's precision is kap times the layers' precision, plus the prior's."""
        ...

    def step(
        self, network: Network, state: State, batch: Batch, rates: Rates
    ) -> tuple[State, Info]:
        """One minibatch."""
        ...


@dataclass(frozen=True)
class Window:
    """The paper's posterior-as-prior with a forgetting window, `damp.step_window`.

    passes: T >= 1 of messages over a minibatch; damping: in [0, 1), of the mean in all but the
    last of them.
    """

    passes: int = 1
    damping: float = 0.0
    averages = False

    def init(self, means, precisions, priors, noise: float, schedule: Schedule) -> State:
        return damp.init(means, precisions, priors, noise)

    def rates(self, schedule: Schedule, k: tf.Tensor, steps: tf.Tensor, count: tf.Tensor) -> Rates:
        forget = tf.minimum(1.0 / (schedule.window * steps), 1.0)
        on = k / schedule.total < schedule.settle
        retain = tf.where(on, 1.0 - forget, tf.ones_like(forget))
        return Rates(retain, temper=tf.minimum((k + 1.0) / schedule.warmup, 1.0))

    def width(self, rates: Rates, count: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(count)

    def step(
        self, network: Network, state: State, batch: Batch, rates: Rates
    ) -> tuple[State, Info]:
        return damp.step_window(network, state, batch, rates, self.passes, self.damping)


@dataclass(frozen=True)
class Decoupled:
    """Ours, with the step's size apart from the precision, `damp.step_decoupled`."""

    passes = 1
    averages = True

    def init(self, means, precisions, priors, noise: float, schedule: Schedule) -> State:
        return damp.init(means, precisions, priors, noise, schedule.prior_count)

    def rates(self, schedule: Schedule, k: tf.Tensor, steps: tf.Tensor, count: tf.Tensor) -> Rates:
        f = k / schedule.total
        warm = tf.minimum((k + 1.0) / schedule.warmup, 1.0)
        size = schedule.memory * steps
        retain = tf.where(count + 1.0 <= size, tf.ones_like(size), 1.0 - 1.0 / size)
        lr = schedule.lr * warm * tf.maximum(1.0 - f, 0.0)
        width = schedule.width_start * (schedule.width_end / schedule.width_start) ** f
        return Rates(
            retain=retain,
            gain=lr * (retain * count + 1.0),
            effective_minibatches=tf.minimum(k + 1.0 + schedule.prior_count, width * steps),
            momentum=schedule.momentum,
            clip=schedule.clip,
        )

    def width(self, rates: Rates, count: tf.Tensor) -> tf.Tensor:
        return rates.effective_minibatches / count

    def step(
        self, network: Network, state: State, batch: Batch, rates: Rates
    ) -> tuple[State, Info]:
        return damp.step_decoupled(network, state, batch, rates)
