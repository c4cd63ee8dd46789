"""Federated averaging (McMahan et al. 2017): clients follow gradients, a server averages weights.

    FedAvg(Adam(2e-3), passes=1).train(problem, parts)

The methods are those of `methods`, their plan spread over all rounds. Groups are dropped at the end
of a round, by the server, so that all clients have the same; within a round nobody drops any. A
client's Adam begins each round without moments, as clients keep nothing.

`GroupSNIP` drops before the first round. Its scores are means over rows, so that the server has
them from the clients' own by their shares of the rows: one number a group from each.

Of `BayesByBackprop` the server averages posteriors. A client's KL weighs as much as it does for all
rows, beside the mean loss of its own: it counts its rows n/n_k times, as EM-TDAMP's clients do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import tensorflow as tf

from emtdamp.baselines.compiled import Plan, Program
from emtdamp.baselines.methods import Adam, Problem, check_share
from emtdamp.baselines.variational import BayesByBackprop
from emtdamp.errors import EmtdampError, UsageError
from emtdamp.federated.aggregation import geometric_average
from emtdamp.messages.gaussian import Gaussian
from emtdamp.network import GaussianNetwork

Rule = Literal["mean", "geometric"]
STEPS = 20  # of a compiled call: clients of any number of rows share it


class Round(NamedTuple):
    """number: from 1; loss: mean of the clients', by rows; bytes: both ways, as `FedAvg` says."""

    number: int
    loss: float
    bytes: int


@dataclass(frozen=True)
class FedAvg:
    """Federated averaging of a method's networks.

    What travels is the weights that are left, down and up, as 32-bit floats; of Bayes by Backprop
    a mean and a rho each, 64 bits. Where groups are dropped before the first round, the first
    round's bytes have the whole network down and a score a group up besides.

    Args:
        method: what a client follows, and how groups are dropped.
        passes: of a client over its rows in a round, at least 1.
        rule: of averaging numbers by shares of the rows. "mean": each by itself (of Bayes by
            Backprop means and rhos). "geometric": Gaussians q_k^(a_k) multiplied, means weighted
            by precision (`federated.aggregation`); of Bayes by Backprop only.
        momentum: in [0, 1), share of the last round's step that the server goes again (Hsu et al.
            2019).

    Raises UsageError for other settings.
    """

    method: Adam
    passes: int = 1
    rule: Rule = "mean"
    momentum: float = 0.0

    def __post_init__(self):
        check_share(self, "momentum")
        if not isinstance(self.passes, int) or self.passes < 1:
            raise UsageError(f"passes={self.passes!r}; give a whole number of at least 1")
        if self.rule not in get_args(Rule):
            raise UsageError(f"rule={self.rule!r}; use one of {', '.join(get_args(Rule))}")
        if self.rule == "geometric" and not isinstance(self.method, BayesByBackprop):
            raise UsageError(f"rule='geometric' is of Gaussians; use mean with {self.method}")

    def train(
        self,
        problem: Problem,
        parts: Sequence[np.ndarray],
        report: Callable[[Round, GaussianNetwork], None] | None = None,
    ) -> GaussianNetwork:
        """The network after `problem.epochs`/`passes` rounds; `report` gets each round's.

        `parts`: numbers of each client's rows of `problem.x`; they take the place of
        `problem.rows`. Raises UsageError where there is none, and for targets with Bayes by
        Backprop, EmtdampError where the loss is no longer finite.
        """
        held = [part for part in parts if len(part)]
        if not held:
            raise UsageError("no client has a row; give at least one")
        gaussians = isinstance(self.method, BayesByBackprop)
        if gaussians and not problem.classes:
            raise UsageError("Bayes by Backprop is averaged for classes only: a noise is not")
        problem = problem._replace(rows=np.sort(np.concatenate(held)))
        groups, keep = np.array(problem.groups), np.array(problem.keep)
        network, rows = self.method.program(problem), sum(map(len, held))
        steps = -(-rows // (len(held) * problem.batch_size))
        rounds = max(1, problem.epochs // self.passes)
        plan = self.method.plan(steps * self.passes * rounds, groups, keep)
        kind = tf.int32 if problem.classes else tf.float32
        data = tf.constant(problem.x, tf.float32), tf.constant(problem.y, kind)
        rng = np.random.default_rng(problem.seed)
        network.compile(*data, *_padded(plan, np.zeros((0, problem.batch_size), int), []))
        network.start(rng)
        whole = _parameters(network)
        self.method.begin(network, problem, rng)
        weights, scored = network.model.get_weights(), 0
        moved = [np.zeros_like(w) for w in weights]
        if _parameters(network) < whole:
            scored = 4 * len(held) * (whole + int(groups[keep < groups].sum()))
        for number in range(rounds):
            first, last = (steps * self.passes * n for n in (number, number + 1))
            now = Plan(*(part[first:last] for part in plan))
            left = np.array([int(tf.reduce_sum(mask)) for mask in network.masks])
            now = now._replace(keep=np.tile(left, (len(now.rate), 1)))
            sent, found, loss = [tf.constant(w, tf.float32) for w in weights], [], 0.0
            for part in held:
                network.resume(sent)
                own, its_loss = self._client(network, problem.batch_size, data, part, now, rng)
                found.append(own)
                loss += len(part) / rows * its_loss
            if not np.isfinite(loss):
                raise EmtdampError(f"the loss is {loss} in round {number + 1}; use a lower rate")
            # down and up, before the server drops
            size = 2 * len(held) * 4 * (1 + gaussians) * _parameters(network)
            size += scored * (number == 0)
            middle = average(self.rule, _names(network), found, [len(part) for part in held])
            moved = [
                new - old + self.momentum * last
                for new, old, last in zip(middle, weights, moved, strict=True)
            ]
            network.model.set_weights([w + step for w, step in zip(weights, moved, strict=True)])
            network.drop(tf.constant(plan.keep[last - 1], tf.int32))
            network.set_masks([mask.numpy() for mask in network.masks])
            weights = network.model.get_weights()
            if report is not None:
                report(Round(number + 1, loss, size), self.method.found(network, problem))
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


def average(
    rule: Rule, names: Sequence[str], answers: Sequence[list[np.ndarray]], shares: Sequence[int]
) -> list[np.ndarray]:
    """The clients' arrays (K lists) in one list, by `FedAvg.rule`; `names` tells what they are.

    "geometric": what ends in _mean and _rho is the mean m and the spread of N(m, sd^2), with
    sd = log(1 + exp(rho)); precision sum_k a_k/sd_k^2, mean sum_k a_k m_k/sd_k^2 over it.

    >>> names, one, two = ["w_mean", "w_rho"], [0.0, 0.0], [1.0, 0.0]
    >>> mean, rho = average("geometric", names, [[*map(np.array, q)] for q in (one, two)], [1, 3])
    >>> float(mean), bool(abs(rho) < 1e-12)
    (0.75, True)
    """
    a = np.asarray(shares, np.float64) / np.sum(shares)
    found = [np.tensordot(a, np.array(arrays), 1) for arrays in zip(*answers, strict=True)]
    if rule == "mean":
        return found
    for place, name in enumerate(names):
        if not name.endswith("_mean"):
            continue
        other = names.index(name.removesuffix("_mean") + "_rho")
        posteriors = []
        for answer in answers:
            precision = np.logaddexp(0.0, np.asarray(answer[other], np.float64)) ** -2.0
            posteriors.append(Gaussian(precision, precision * answer[place]))
        q = geometric_average(posteriors, list(shares))
        found[place] = q.shift / q.precision
        found[other] = np.log(np.expm1(q.precision**-0.5))
    return found


def _names(network: Program) -> list[str]:
    """Of the arrays of `get_weights`, each another."""
    return [variable.path for variable in network.model.weights]


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
