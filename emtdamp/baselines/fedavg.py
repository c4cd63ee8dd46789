"""Federated averaging (McMahan et al. 2017): clients follow gradients, a server averages weights.

    FedAvg(Adam(2e-3), passes=1).train(problem, parts)

The methods are those of `methods`, their plan spread over all rounds. Groups are dropped at the end
of a round, by the server, so that all clients have the same; within a round nobody drops any. A
client's Adam begins each round without moments, as clients keep nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.baselines.compiled import Plan, Program
from emtdamp.baselines.methods import Adam, Problem
from emtdamp.errors import EmtdampError, UsageError
from emtdamp.network import GaussianNetwork

STEPS = 20  # of a compiled call: clients of any number of rows share it


class Round(NamedTuple):
    """number: from 1; loss: mean of the clients', by rows; bytes: of float32 weights, both ways."""

    number: int
    loss: float
    bytes: int


@dataclass(frozen=True)
class FedAvg:
    """Federated averaging of a method's networks.

    Args:
        method: what a client follows, and how groups are dropped.
        passes: of a client over its rows in a round, at least 1.
    """

    method: Adam
    passes: int = 1

    def __post_init__(self):
        if not isinstance(self.passes, int) or self.passes < 1:
            raise UsageError(f"passes={self.passes!r}; give a whole number of at least 1")

    def train(
        self,
        problem: Problem,
        parts: Sequence[np.ndarray],
        report: Callable[[Round, GaussianNetwork], None] | None = None,
    ) -> GaussianNetwork:
        """The network after `problem.epochs`/`passes` rounds; `report` gets each round's.

        `parts`: numbers of each client's rows of `problem.x`. Raises UsageError where there is
        none, EmtdampError where the loss is no longer finite.
        """
        held = [part for part in parts if len(part)]
        if not held:
            raise UsageError("no client has a row; give at least one")
        groups, keep = np.array(problem.groups), np.array(problem.keep)
        network, rows = self.method.program(problem), sum(map(len, held))
        steps = -(-rows // (len(held) * problem.batch_size))
        rounds = max(1, problem.epochs // self.passes)
        plan = self.method.plan(steps * self.passes * rounds, groups, keep)
        data = tf.constant(problem.x, tf.float32), tf.constant(problem.y, tf.int32)
        rng = np.random.default_rng(problem.seed)
        network.compile(*data, *_padded(plan, np.zeros((0, problem.batch_size), int), []))
        network.start(rng)
        self.method.begin(network, problem, rng)
        weights = network.model.get_weights()
        for number in range(rounds):
            first, last = (steps * self.passes * n for n in (number, number + 1))
            now = Plan(*(part[first:last] for part in plan))
            left = np.array([int(tf.reduce_sum(mask)) for mask in network.masks])
            now = now._replace(keep=np.tile(left, (len(now.rate), 1)))
            found, loss = [np.zeros_like(w) for w in weights], 0.0
            for part in held:
                network.model.set_weights(weights)
                own, its_loss = self._client(network, problem.batch_size, data, part, now, rng)
                share = len(part) / rows
                found = [total + share * w for total, w in zip(found, own, strict=True)]
                loss += share * its_loss
            if not np.isfinite(loss):
                raise EmtdampError(f"the loss is {loss} in round {number + 1}; use a lower rate")
            sent = 2 * len(held) * 4 * _parameters(network)  # down and up, before the server drops
            network.model.set_weights(found)
            network.drop(tf.constant(plan.keep[last - 1], tf.int32))
            network.set_masks([mask.numpy() for mask in network.masks])
            weights = network.model.get_weights()
            if report is not None:
                report(Round(number + 1, loss, sent), self.method.found(network, problem))
        return self.method.found(network, problem)

    def _client(
        self,
        network: Program,
        batch: int,
        data: tuple[tf.Tensor, tf.Tensor],
        rows: np.ndarray,
        plan: Plan,
        rng: np.random.Generator,
    ) -> tuple[list[np.ndarray], float]:
        """A client's weights after the round, from those that the network has; its mean loss."""
        for variable, value in zip(network.optimizer.variables, network.fresh, strict=True):
            variable.assign(value)
        steps = -(-len(rows) // batch)
        # the last minibatch is filled up with the pass's first rows
        passes = [np.resize(rng.permutation(rows), (steps, batch)) for _ in range(self.passes)]
        order = np.concatenate(passes)
        place = np.arange(len(order)) * len(plan.rate) // len(order)
        total = 0.0
        for start in range(0, len(order), STEPS):
            some = slice(start, start + STEPS)
            loss = float(network.epoch(*data, *_padded(plan, order[some], place[some])))
            total += loss * min(STEPS, len(order) - start)
        return network.model.get_weights(), total / len(order)


def _padded(plan: Plan, order: np.ndarray, place: Sequence[int] | np.ndarray) -> list[tf.Tensor]:
    """What the epoch is called with for these minibatches; the steps added move nothing."""
    more = STEPS - len(order)
    index = np.pad(np.asarray(place, int), (0, more))
    real = np.arange(STEPS) < len(order)
    return [
        tf.constant(
            np.pad(order, [(0, more), (0, 0)], mode="edge" if len(order) else "constant"), tf.int32
        ),
        tf.constant(np.where(real, plan.rate[index], 0.0), tf.float32),
        tf.constant(plan.penalty[index], tf.float32),
        tf.constant(plan.keep[index], tf.int32),
    ]


def _parameters(network: Program) -> int:
    """Weights and biases that are left."""
    left = [int(tf.reduce_sum(mask)) for mask in network.masks] + [network.sizes[-1]]
    return sum((n + 1) * j for n, j in pairwise(left))
