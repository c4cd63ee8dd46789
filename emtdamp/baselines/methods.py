"""The baselines' trainings, each a few settings and a `Plan`: what is pruned, when, and how fast.

`Adam`, `Magnitude`, `GroupLasso`, `GroupSNIP` and `Gradual` follow gradients, `AMP` passes
messages; all have the same budget of epochs. A group is all weights out of a hidden neuron or, with
input_sparsity, out of an input.

Defaults had the lowest score on MNIST's training images 50,000 to 59,999, networks 784-128-10
trained on the first 10,000 for 10 epochs, inputs standardized (Adam: a tie): `choose` tells how,
and settings.csv beside this file has all that were tried. AMP has the defaults of EM-TDAMP.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from emtdamp.baselines.compiled import Plan, Program, program
from emtdamp.baselines.network import PointNetwork, keep_largest
from emtdamp.errors import EmtdampError, UsageError
from emtdamp.network import GaussianNetwork
from emtdamp.training import fitting, recipes

Row = dict[str, float]
Report = Callable[[Row, GaussianNetwork], None]
Trained = tuple[GaussianNetwork, list[Row]]


class Problem(NamedTuple):
    """What a method is given.

    x: (rows, I) centred and scaled. y: (rows,) int32 classes or (rows, 1) scaled targets.
    rows: which of them to train on. outputs: width of the last layer. keep: groups to leave, of
    the inputs and each hidden layer. params: as `EMTDAMPClassifier`'s, for AMP.
    """

    x: np.ndarray
    y: np.ndarray
    rows: np.ndarray
    outputs: int
    hidden: tuple[int, ...]
    activation: str
    keep: tuple[int, ...]
    epochs: int
    batch_size: int
    seed: int
    params: dict[str, Any]

    @property
    def classes(self) -> bool:
        return self.y.ndim == 1

    @property
    def groups(self) -> tuple[int, ...]:
        return (self.x.shape[1], *self.hidden)


@runtime_checkable
class Method(Protocol):
    """How a network learns and is pruned: settings that can train, a frozen dataclass each."""

    def train(self, problem: Problem, report: Report | None = None) -> Trained:
        """The network, and a row an epoch; `report` gets each row and the network so far."""
        ...


@dataclass(frozen=True)
class Adam:
    """A dense network by Adam (Kingma and Ba 2015); the smallest groups are dropped at the end.

    Args:
        rate: learning rate > 0; 1e-3 with a "constant" schedule is Keras's default.
        schedule: "constant", or "cosine": half a cosine from `rate` to 0 over all steps.
    """

    rate: float = 3e-3
    schedule: Literal["constant", "cosine"] = "cosine"

    def __post_init__(self):
        check_positive(self, "rate")
        if self.schedule not in ("constant", "cosine"):
            raise UsageError(f"schedule={self.schedule!r}; use constant or cosine")

    def rates(self, steps: int) -> np.ndarray:
        """(S,) learning rates."""
        if self.schedule == "constant":
            return np.full(steps, self.rate)
        return self.rate * 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps))

    def plan(self, steps: int, groups: np.ndarray, keep: np.ndarray) -> Plan:
        """Of `steps` steps on layers of `groups` (G,), of which `keep` (G,) are to be left."""
        left = np.tile(groups, (steps, 1))
        left[-1] = keep
        return Plan(self.rates(steps), np.zeros(left.shape), left)

    def program(self, problem: Problem) -> Program:
        """The network that learns, compiled once for all fits of the same shapes."""
        return program(*shapes(problem))

    def begin(self, network: Program, problem: Problem, rng: np.random.Generator) -> None:
        """What happens before the first step, to the weights drawn."""

    def found(self, network: Program, problem: Problem) -> GaussianNetwork:
        """What has been learnt so far."""
        active = tuple(mask.numpy() > 0 for mask in network.masks)
        return PointNetwork.of(network.weights(), active, problem.activation, problem.classes)

    def train(self, problem: Problem, report: Report | None = None) -> Trained:
        """The network, and a row an epoch; `report` gets each row and the network so far."""
        groups, keep = np.array(problem.groups), np.array(problem.keep)
        network = self.program(problem)
        steps = -(-len(problem.x) // problem.batch_size)
        plan = self.plan(steps * problem.epochs, groups, keep)
        rate, penalty = (tf.constant(part, tf.float32) for part in plan[:2])
        left = tf.constant(plan.keep, tf.int32)
        x = tf.constant(problem.x, tf.float32)
        y = tf.constant(problem.y, tf.int32 if problem.classes else tf.float32)
        first = tf.zeros([steps, problem.batch_size], tf.int32)
        network.compile(x, y, first, rate[:steps], penalty[:steps], left[:steps])
        rng = np.random.default_rng(problem.seed)
        network.start(rng)
        self.begin(network, problem, rng)
        history: list[Row] = []
        found = None
        for epoch in range(problem.epochs):
            began = time.perf_counter()
            # the last minibatch is filled up with the epoch's first rows
            order = np.resize(rng.permutation(problem.rows), (steps, problem.batch_size))
            now = slice(epoch * steps, (epoch + 1) * steps)
            index = tf.constant(order, tf.int32)
            loss = float(network.epoch(x, y, index, rate[now], penalty[now], left[now]))
            seconds = time.perf_counter() - began
            if not np.isfinite(loss):
                raise EmtdampError(
                    f"the loss is {loss} in epoch {epoch + 1}; use a rate below {self.rate}"
                )
            found = self.found(network, problem)
            row = {"iteration": epoch + 1, "loss": loss, **_active(found), "seconds": seconds}
            history.append(row)
            if report is not None:
                report(row, found)
        assert found is not None  # epochs >= 1
        return found, history


@dataclass(frozen=True)
class Magnitude(Adam):
    """As `Adam`, the smallest groups dropped earlier, all at once, and the rest trained on.

    Args:
        fine_tune: share of the steps after pruning, in [0, 1).
    """

    rate: float = 5e-3
    fine_tune: float = 0.6

    def __post_init__(self):
        super().__post_init__()
        check_share(self, "fine_tune")

    def plan(self, steps: int, groups: np.ndarray, keep: np.ndarray) -> Plan:
        plan = super().plan(steps, groups, keep)
        dense = np.arange(1, steps + 1)[:, None] < max(1, round(steps * (1 - self.fine_tune)))
        return plan._replace(keep=np.where(dense, groups, keep))


@dataclass(frozen=True)
class GroupLasso(Magnitude):
    """Loss + penalty * sum over groups of sqrt(weights) norm(w), by proximal steps.

    The penalty of Yuan and Lin (2006). After each step of Adam the groups' norms shrink; then the
    smallest are dropped and the rest is trained on without the penalty.
    """

    penalty: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        check_positive(self, "penalty")

    def plan(self, steps: int, groups: np.ndarray, keep: np.ndarray) -> Plan:
        plan = super().plan(steps, groups, keep)
        return plan._replace(penalty=self.penalty * (plan.keep > keep))


@dataclass(frozen=True)
class GroupSNIP(Adam):
    """Pruned before training by the sums over groups of gradient times weight, their sizes.

    As Lee et al. (2019) have it for weights: that is the loss's sensitivity to a factor on the
    group, at the weights drawn, on `batches` minibatches.
    """

    rate: float = 5e-3
    batches: int = 10

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.batches, int) or self.batches < 1:
            raise UsageError(f"batches={self.batches!r}; give an integer of at least 1")

    def plan(self, steps: int, groups: np.ndarray, keep: np.ndarray) -> Plan:
        return super().plan(steps, keep, keep)

    def begin(self, network: Program, problem: Problem, rng: np.random.Generator) -> None:
        rows = rng.permutation(problem.rows)[: self.batches * problem.batch_size]
        y = problem.y[rows].astype(np.int32 if problem.classes else np.float32)
        scores = network.sensitivities(tf.constant(problem.x[rows], tf.float32), tf.constant(y))
        masks = []
        for score, keep in zip(scores, problem.keep, strict=True):
            rank = np.argsort(np.argsort(-np.abs(score.numpy()), kind="stable"))
            masks.append((rank < keep).astype(float))
        network.set_masks(masks)


@dataclass(frozen=True)
class Gradual(Adam):
    """The smallest groups dropped bit by bit, by the cubic ramp of Zhu and Gupta (2017).

    Groups left at t in [0, 1] of the ramp: keep + (all - keep) (1 - t)^3.

    Args:
        begin_at, end_at: share of the steps where the ramp begins and ends, 0 <= begin < end <= 1.
    """

    rate: float = 5e-3
    begin_at: float = 0.2
    end_at: float = 0.4

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.begin_at < self.end_at <= 1:
            raise UsageError(
                f"begin_at={self.begin_at!r}, end_at={self.end_at!r}; give 0 <= begin < end <= 1"
            )

    def plan(self, steps: int, groups: np.ndarray, keep: np.ndarray) -> Plan:
        plan = super().plan(steps, groups, keep)
        share = np.arange(1, steps + 1) / steps
        ramp = np.clip((share - self.begin_at) / (self.end_at - self.begin_at), 0, 1)
        left = keep + np.ceil((groups - keep) * (1 - ramp[:, None]) ** 3)
        return plan._replace(keep=left.astype(int))


@dataclass(frozen=True)
class AMP:
    """Message passing without a structured prior (Lucibello et al. 2022).

    Module A alone: every weight has an independent Gaussian prior, and the groups whose means have
    the smallest norms are dropped at the end.
    """

    def train(self, problem: Problem, report: Report | None = None) -> Trained:
        """The posterior, and a row an iteration; `report` gets each row and posterior so far."""
        rows = problem.rows
        data = fitting.Data(problem.x[rows], problem.y[rows], np.ones(len(rows)))
        params = problem.params | {
            "sparsity": 0.0,
            "input_sparsity": 0.0,
            "batch_size": problem.batch_size,
            "em_iters": problem.epochs,
        }
        noise = 1.0 if problem.classes else None
        recipe = recipes.make(params, data, problem.outputs, noise)
        trained = fitting.train(data, recipe, problem.seed, report=report)
        return keep_largest(trained.posterior, problem.keep), trained.history


def shapes(problem: Problem) -> tuple[tuple[int, ...], str, str, tuple[bool, ...]]:
    """What a `Program` is made of."""
    return (
        (*problem.groups, problem.outputs),
        problem.activation,
        "classes" if problem.classes else "squares",
        tuple(keep < groups for keep, groups in zip(problem.keep, problem.groups, strict=True)),
    )


def _active(network: GaussianNetwork) -> dict[str, int]:
    return {f"active_{n}": int(active.sum()) for n, active in enumerate(network.active)}


def check_positive(method: object, name: str) -> None:
    """Raise UsageError unless the setting is a number above 0."""
    value = getattr(method, name)
    if not isinstance(value, recipes.REAL) or not value > 0:
        raise UsageError(f"{name}={value!r}; give a number above 0")


def check_share(method: object, name: str) -> None:
    """Raise UsageError unless the setting is in [0, 1)."""
    value = getattr(method, name)
    if not isinstance(value, recipes.REAL) or not 0 <= value < 1:
        raise UsageError(f"{name}={value!r}; give a number at least 0 and below 1")
