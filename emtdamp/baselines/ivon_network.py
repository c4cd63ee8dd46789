"""`IVON` as a method among the others: networks by `ivon`'s step, groups dropped at the end."""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from emtdamp.baselines import ivon, replicas
from emtdamp.baselines.methods import (
    Adam,
    Problem,
    Report,
    Row,
    check_positive,
    check_share,
)
from emtdamp.baselines.network import SampledNetwork, keep_largest
from emtdamp.errors import EmtdampError
from emtdamp.network import GaussianNetwork


@dataclass(frozen=True)
class IVON(Adam):
    """A Gaussian for every weight by IVON (Shen et al. 2024); predicts by drawing networks.

    Defaults were the best of those tried on 10,000 images (`choose`). The groups of lowest signal
    to noise are dropped after the last epoch. A regression's loss is half the squared error of the
    scaled target, as of Gaussian noise with variance 1.

    Args:
        rate: of the first step, above 0.
        first_curvature: h + delta at the start, above 0. Standard deviations begin at
            1 / sqrt(rows * first_curvature), and a step at rate / first_curvature times a gradient.
        beta2: in [0, 1), of the average of curvatures.
        precision: of the Gaussian prior, above 0.
    """

    rate: float = 0.1
    first_curvature: float = 0.1
    beta2: float = 0.999
    precision: float = 10.0

    def __post_init__(self):
        super().__post_init__()
        check_positive(self, "first_curvature")
        check_positive(self, "precision")
        check_share(self, "beta2")

    def train(
        self, problem: Problem, report: Report | None = None
    ) -> tuple[GaussianNetwork, list[Row]]:
        """The network, and a row an epoch; `report` gets each row and the network so far."""
        architecture = replicas.Dense((*problem.groups, problem.outputs), problem.activation)
        rng, rows = np.random.default_rng(problem.seed), float(len(problem.rows))
        start = tf.constant(replicas.start(architecture, 1, rng))
        state = ivon.init(start, (rows * self.first_curvature) ** -0.5, rows, self.precision)
        steps = -(-len(problem.x) // problem.batch_size)
        rates = tf.constant(self.rates(steps * problem.epochs), tf.float32)
        x = tf.constant(problem.x[None], tf.float32)
        y = tf.constant(problem.y, tf.int32 if problem.classes else tf.float32)
        settings = [tf.constant(v, tf.float32) for v in (rows, self.precision, self.beta2)]
        epoch_of = _epoch(architecture, problem.classes)
        history: list[Row] = []
        found: Any = None
        for epoch in range(problem.epochs):
            began = time.perf_counter()
            order = np.resize(rng.permutation(problem.rows), (steps, 1, problem.batch_size))
            noise = tf.constant(rng.standard_normal((steps, *start.shape), np.float32))
            now = slice(epoch * steps, (epoch + 1) * steps)
            index = tf.constant(order, tf.int32)
            state, loss = epoch_of(state, x, y, index, noise, rates[now], *settings)
            seconds = time.perf_counter() - began
            if not np.isfinite(float(loss)):
                raise EmtdampError(
                    f"the loss is {float(loss)} in epoch {epoch + 1}; use a rate below {self.rate}"
                )
            found = _network(architecture, state, rows, problem)
            if epoch + 1 == problem.epochs:
                found = keep_largest(found, problem.keep)
            active = {f"active_{n}": int(a.sum()) for n, a in enumerate(found.active)}
            row = {"iteration": epoch + 1, "loss": float(loss), **active, "seconds": seconds}
            history.append(row)
            if report is not None:
                report(row, found)
        return found, history


def _network(
    architecture: replicas.Dense, state: ivon.State, rows: float, problem: Problem
) -> SampledNetwork:
    """Dense so far; it draws networks of the problem's seed."""
    mean, var = (
        [part.numpy()[0] for part in replicas.unpacked(flat, architecture.shapes)]
        for flat in (state.mean, ivon.variance(state, rows))
    )
    active = tuple(np.ones(n, bool) for n in problem.groups)
    return SampledNetwork.of(
        mean, var, active, problem.activation, problem.classes, seed=problem.seed
    )


@lru_cache(maxsize=8)
def _epoch(architecture: replicas.Dense, classes: bool) -> Any:
    """The steps of an epoch as one compiled call: the state, and the mean loss."""

    @tf.function(jit_compile=True, autograph=False)
    def run(state, x, y, order, noises, rates, rows, precision, beta2):
        def body(k, state, total):
            theta = ivon.draw(state, noises[k], rows)
            with tf.GradientTape() as tape:
                tape.watch(theta)
                z = architecture.logits(theta, x, order[k])[0]
                target = tf.gather(y, order[k, 0])
                if classes:
                    each = tf.nn.sparse_softmax_cross_entropy_with_logits(target, z)
                else:
                    each = 0.5 * tf.reduce_sum((z - target) ** 2, axis=1)
                loss = tf.reduce_mean(each)
            gradient = tape.gradient(loss, theta)
            state = ivon.step(state, gradient, noises[k], rows, precision, rates[k], beta2=beta2)
            return k + 1, state, total + loss

        steps = order.shape[0]
        start = (tf.constant(0), state, tf.zeros([]))
        _, state, total = tf.while_loop(lambda k, *_: k < steps, body, start)
        return state, total / steps

    return run
