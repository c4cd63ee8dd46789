"""Random teachers: data whose noiseless outputs are known, and module A by itself on them.

A teacher is a network drawn from the student's own prior. So the exact posterior is calibrated on
average over teachers: its variance of the output equals the squared error of its mean. How far
module A's is from that is the ratio of the two; the noise of y is in neither.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages import damp, equilibrium
from emtdamp.messages.activations import relu
from emtdamp.messages.damp import Batch, Network, Rates, State
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.training.forms import Decoupled, Form, Schedule, Window

NETWORK = Network(relu, GaussianNoise())
F64 = tf.float64
MOST_ROWS = 1000  # arrays are padded to this, so that sample sizes share a compiled function
TESTED = 500  # new inputs on which a student meets its teacher
BATCH = 20
MEMORY = 4.0  # epochs that the window form remembers
DAMPING = {1: 0.0, 2: 0.5, 3: 0.7}  # by passes, the last of so many and more
PROBE = 0.1  # what a probe moves y by, in units of sqrt(v)


class Lesson(NamedTuple):
    """x (B, N+1) with ones, y (B, 1); at new inputs new_x the noiseless outputs are new_z."""

    x: np.ndarray
    y: np.ndarray
    new_x: np.ndarray
    new_z: np.ndarray
    sizes: tuple[int, int, int]
    slab: tuple[float, float]
    noise: float


class Student(NamedTuple):
    """The posterior's precision is `width` times the state's, plus the prior's; `counts` is how
    often that counts each datum."""

    state: State
    width: float
    counts: float

    def counting(self, counts: float) -> "Student":
        """The same means and messages, the variances counting each datum `counts` times."""
        return Student(self.state, self.width * counts / self.counts, counts)


def draw(rows: int, inputs: int, hidden: int, noise: float, seed: int) -> Lesson:
    """`rows` samples (at most 1000) of a network of weights ~ N(0, 1/fan_in); inputs ~ N(0, 1)."""
    if rows > MOST_ROWS:
        raise UsageError(f"rows={rows}; give at most {MOST_ROWS}")
    rng, slab = np.random.default_rng(seed), (1 / inputs, 1 / hidden)
    first = rng.normal(size=(inputs + 1, hidden)) * slab[0] ** 0.5
    last = rng.normal(size=(hidden + 1, 1)) * slab[1] ** 0.5
    x = np.pad(rng.normal(size=(rows + TESTED, inputs)), [(0, 0), (0, 1)], constant_values=1.0)
    z = np.pad(np.maximum(x @ first, 0), [(0, 0), (0, 1)], constant_values=1.0) @ last
    y = z[:rows] + noise**0.5 * rng.normal(size=(rows, 1))
    return Lesson(x[:rows], y, x[rows:], z[rows:], (inputs, hidden, 1), slab, noise)


def learn(
    lesson: Lesson,
    update: str,
    passes: int = 1,
    counts: float = 1.0,
    steps: int = 4000,
    seed: int = 0,
) -> Student:
    """What `steps` minibatches of 20 teach.

    "window": 4 epochs are remembered, all in the last 30 % of the steps, T = `passes` with damping
    0, .5, .7; the student counts each datum as often as that comes to. "decoupled": `counts`
    epochs are behind the posterior, the gain falls from steps^(-1/2) n to 0 as a cosine.
    """
    rows, rng = len(lesson.x), np.random.default_rng(seed)
    order = [rng.permutation(rows) for _ in range(-(-steps * BATCH // rows))]
    order = np.concatenate(order)[: steps * BATCH].reshape(steps, BATCH).astype(np.int32)
    start = equilibrium.draw(lesson.sizes, lesson.slab, lesson.noise, seed)
    form = Window(passes, DAMPING[min(passes, 3)]) if update == "window" else Patient()
    if update == "decoupled":  # the starting precision stands for so many minibatches
        start = start._replace(count=start.count + 50.0)
    more = [(0, MOST_ROWS - rows), (0, 0)]
    data = np.pad(lesson.x, more), np.pad(lesson.y, more), order
    epoch = rows / BATCH
    state = _run(form)(start, *data, *(tf.constant(v, F64) for v in (epoch, counts)))
    counted = float(state.count) / epoch
    if update == "window":
        return Student(state, 1.0, counted)
    return Student(state, counts / counted, counts)


def predict(student: Student, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of z at x (B, N+1), (B,) each."""
    layers = student.state.layers
    weights = [(a.mean, 1 / (student.width * a.precision + a.prior.precision)) for a in layers]
    mean, var = damp.propagate(NETWORK, weights, tf.constant(x))
    return mean.numpy()[:, 0], var.numpy()[:, 0]


def calibration(lesson: Lesson, student: Student) -> tuple[float, float]:
    """Mean variance of z at the new inputs, and mean squared error of its mean."""
    mean, var = predict(student, lesson.new_x)
    return float(var.mean()), float(np.mean((mean - lesson.new_z[:, 0]) ** 2))


def degrees_of_freedom(
    lesson: Lesson, student: Student, seed: int, steps: int = 4000
) -> tuple[float, float]:
    """Of a decoupled student: as its variances have them, sum V/v, and as its means respond.

    The second is sum_b dE[z_b]/dy_b, from learning again, with the same seed and steps, what y
    moved by random signs teaches. Where a posterior is right both are equal (`equilibrium`).
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(lesson.x))
    step = PROBE * lesson.noise**0.5
    moved = lesson._replace(y=lesson.y + step * signs[:, None])
    other = learn(moved, "decoupled", 1, student.counts, steps, seed)
    mean, var = predict(student, lesson.x)
    slope = (predict(other, lesson.x)[0] - mean) / step
    return float(var.sum() / lesson.noise), float(signs @ slope)


@dataclass(frozen=True)
class Patient(Decoupled):
    """The decoupled form with a gain that falls as a cosine, and counts that stay."""

    def rates(self, schedule: Schedule, k, steps, count) -> Rates:
        warm = tf.minimum((k + 1.0) / schedule.warmup, 1.0)
        memory = tf.maximum(1.5 * steps, 10.0)  # of the precision
        retain = tf.where(count < memory, tf.ones_like(count), 1.0 - 1.0 / memory)
        falling = 0.5 * (1.0 + tf.cos(np.pi * k / schedule.total))
        gain = tf.math.rsqrt(schedule.total) * warm * falling * (retain * count + 1.0)
        effective = schedule.width_end * steps
        return Rates(retain, 1.0, gain, effective, schedule.momentum, schedule.clip)


@lru_cache(maxsize=8)
def _run(form: Form):
    @tf.function(jit_compile=True, reduce_retracing=False, autograph=False)
    def run(state, x, y, order, epoch, counts):
        total = tf.cast(tf.shape(order)[0], F64)
        schedule = Schedule(total, window=MEMORY, width_end=counts)  # pyright: ignore
        one = tf.ones([BATCH], F64)

        def step(k, state):
            batch = Batch(tf.gather(x, order[k]), tf.gather(y, order[k]), one)
            rates = form.rates(schedule, tf.cast(k, F64), epoch, state.count)
            return k + 1, form.step(NETWORK, state, batch, rates)[0]

        return tf.while_loop(lambda k, _: k < tf.shape(order)[0], step, (tf.constant(0), state))[1]

    return run
