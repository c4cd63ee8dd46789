"""Trainings of the page `sparse-parameterisation`: two tasks, repeated splits, weights pruned.

A method has a dozen strengths of regularisation, and a threshold of its own that says which weights
are left. For at most k weights, the network shown is that of the weakest strength that leaves no
more: what is chosen is chosen without a look at any row that tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from emtdamp import EMTDAMPClassifier, datasets
from emtdamp.baselines import replicas
from emtdamp.baselines.multiple_instance import Bags, MeanMax, labels_of, pack
from emtdamp.baselines.shrinkage import L1, IvonARD, VadamARD
from emtdamp.datasets import Fold


class Task(NamedTuple):
    """Rows or bags, their classes, the network, rows that test, and numbers of weights to leave."""

    architecture: Any
    data: Any  # (rows, I), or Bags
    y: np.ndarray
    test: int
    levels: tuple[int, ...]

    @property
    def size(self) -> int:
        """Weights and biases of the network."""
        return replicas.size(self.architecture)

    def splits(self, number: int) -> list[Fold]:
        """Random splits that keep the shares of the classes; of Musk whole bags."""
        drawn = StratifiedShuffleSplit(number, test_size=self.test, random_state=0)
        return [Fold(train, test) for train, test in drawn.split(self.y, self.y)]

    def scaled(self, rows: np.ndarray) -> np.ndarray:
        """All inputs, centred and scaled by those of some rows (of their instances)."""
        if isinstance(self.data, Bags):
            within = np.isin(np.repeat(np.arange(len(self.y)), self.data.length), rows)
            own, x = self.data.x[within], self.data.x
        else:
            own, x = self.data[rows], self.data
        std = own.std(axis=0)
        return ((x - own.mean(axis=0)) / np.where(std > 0, std, 1)).astype(np.float32)

    def with_inputs(self, x: np.ndarray) -> Any:
        """What the architecture takes: x (R, rows or instances, I)."""
        return self.data._replace(x=x) if isinstance(self.data, Bags) else x


def task(name: str) -> Task:
    """iris: 4-8-3, ReLU, 50 flowers test. musk: the bags of version 1, 22 of which test."""
    if name == "iris":
        x, y = datasets.load_table("iris")
        levels = (67, 40, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4)
        return Task(replicas.Dense((4, 8, 3)), x, y, 50, levels)
    musk = datasets.load_musk1()
    bags, y = pack(musk.features, musk.bag - 1), labels_of(musk.bag - 1, musk.label)
    levels = (1922, 1000, 500, 200, 100, 70, 50, 35, 25, 15, 10)
    return Task(MeanMax(musk.features.shape[1]), bags, y, 22, levels)


class Training(NamedTuple):
    """How a method trains: its rule, the strengths tried, steps, rows of a minibatch."""

    rule: Any
    strengths: tuple[float, ...]
    steps: int
    batch: int


SHAPES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)  # a, of the ARD prior
PENALTIES = (1e-3, 3e-3, 6e-3, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.07)
BAG_SHAPES = (0.01, 0.1, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
# 70 bags say little about 1,922 weights, so each counts twenty times
COLD = {"inverse_temperature": 20.0, "first_std": 0.03, "first_precision": 300.0, "hold": 1000}
HOW = {
    ("iris", "l1"): Training(L1(), PENALTIES, 3000, 10),
    ("iris", "vadam"): Training(VadamARD(hold=1500), SHAPES, 10_000, 2),
    ("iris", "ivon"): Training(IvonARD(hold=1000), SHAPES, 3000, 10),
    ("iris", "vadam, prior x N"): Training(
        VadamARD(hold=1500, prior_weight=100.0), SHAPES, 10_000, 2
    ),
    ("musk", "l1"): Training(L1(rate=3e-3), (*PENALTIES, 0.1, 0.15), 1500, 10),
    ("musk", "vadam"): Training(VadamARD(rate=5e-3, **COLD), BAG_SHAPES, 3000, 2),
    ("musk", "ivon"): Training(IvonARD(rate=0.05, **COLD), BAG_SHAPES, 3000, 4),
}
# EM-TDAMP on 4-8-3: inputs and neurons kept
GROUPS = ((4, 8), (4, 4), (4, 2), (2, 2), (4, 1), (2, 1), (1, 1))


class Found(NamedTuple):
    """A method on some splits of a task.

    error, loss: (splits, levels) of the test rows, with at most `levels` weights left. left, own:
    (splits, strengths) weights that the method's threshold leaves, and the test error with these.
    """

    levels: tuple[int, ...]
    error: np.ndarray
    loss: np.ndarray
    strengths: tuple[float, ...]
    left: np.ndarray
    own: np.ndarray


def train(name: str, method: str, splits: int, seed: int = 0) -> Found:
    """Train a method with all its strengths on some splits, prune, and test."""
    if method == "em-tdamp":
        return groups(splits, seed)
    here = task(name)
    return run(here, HOW[name, method], here.splits(splits), seed)


def held_out(name: str, how: Training, splits: int, seed: int = 0) -> Found:
    """The same within the training rows of each split: a third of them tests."""
    here, inner = task(name), []
    for split in here.splits(splits):
        folds = StratifiedKFold(3, shuffle=True, random_state=0)
        fit, out = next(folds.split(split.train, here.y[split.train]))
        inner.append(Fold(split.train[fit], split.train[out]))
    return run(here, how, inner, seed)


def run(here: Task, how: Training, splits: list[Fold], seed: int) -> Found:
    """Every split with every strength, all trained at once."""
    cases = [(split, strength) for split in splits for strength in how.strengths]
    x = np.repeat([here.scaled(split.train) for split in splits], len(how.strengths), axis=0)
    data = here.with_inputs(x)
    rows, strengths = [split.train for split, _ in cases], np.array([s for _, s in cases])
    trained = replicas.train(
        here.architecture, how.rule, data, here.y, rows, strengths, how.steps, how.batch, seed
    )
    shape = (len(splits), len(how.strengths))

    def scores(theta: np.ndarray) -> np.ndarray:
        """(splits, strengths, 2) error and log loss of the rows that test."""
        log_p = replicas.log_probabilities(here.architecture, theta, data, np.arange(len(here.y)))
        pairs = zip(log_p, cases, strict=True)
        return np.reshape([_scores(p[c.test], here.y[c.test]) for p, (c, _) in pairs], (*shape, 2))

    threshold = how.rule.threshold
    left = trained.left(threshold).reshape(shape)
    over = trained.over(threshold)
    found = np.empty((len(here.levels), len(splits), 2))
    for level, weights in enumerate(here.levels):
        enough = left <= weights  # of none, the strongest is cut down further
        first = np.where(enough.any(axis=1), enough.argmax(axis=1), len(how.strengths) - 1)
        each = scores(np.where(trained.pruned(weights) != 0, over, 0))
        found[level] = each[np.arange(len(splits)), first]
    error, loss = found[..., 0].T, found[..., 1].T
    return Found(here.levels, error, loss, how.strengths, left, scores(over)[..., 0])


def _scores(log_p: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Error and log loss of log-probabilities (rows, K)."""
    return float(np.mean(log_p.argmax(1) != y)), float(-log_p[np.arange(len(y)), y].mean())


def groups(splits: int, seed: int = 0) -> Found:
    """EM-TDAMP on Iris, which drops whole inputs and neurons: a level is what is left then."""
    here = task("iris")
    error, loss = np.empty((2, splits, len(GROUPS)))
    sizes = [(inputs + 1) * neurons + (neurons + 1) * 3 for inputs, neurons in GROUPS]
    for number, split in enumerate(here.splits(splits)):
        for level, (inputs, neurons) in enumerate(GROUPS):
            model = EMTDAMPClassifier(
                (8,), sparsity=1 - neurons / 8, input_sparsity=1 - inputs / 4, random_state=seed
            ).fit(here.data[split.train], here.y[split.train])
            log_p = model.predict_log_proba(here.data[split.test])
            error[number, level], loss[number, level] = _scores(log_p, here.y[split.test])
    nothing = np.empty((splits, 0))
    return Found(tuple(sizes), error, loss, (), nothing, nothing)


def results(found: Found) -> dict[str, float]:
    """A study's row of one method: scores by level and split, and by strength."""
    row = {}
    for number in range(len(found.error)):
        for level, weights in enumerate(found.levels):
            row[f"error_{weights}_{number}"] = float(found.error[number, level])
            row[f"loss_{weights}_{number}"] = float(found.loss[number, level])
        for k in range(len(found.strengths)):
            row[f"own_left_{k}_{number}"] = float(found.left[number, k])
            row[f"own_error_{k}_{number}"] = float(found.own[number, k])
    return row


def read(row: Any) -> Found:
    """What `results` wrote, from the study's row."""
    name, method, splits = row["task"], row["method"], int(row["splits"])
    strengths = HOW[name, method].strengths if (name, method) in HOW else ()
    columns = [c for c in row.index if c.startswith("error_") and c.endswith("_0")]
    levels = sorted((int(c.split("_")[1]) for c in columns if row[c] == row[c]), reverse=True)

    def table(kind: str, keys: Any) -> np.ndarray:
        values = [[row[f"{kind}_{key}_{n}"] for key in keys] for n in range(splits)]
        return np.array(values, float).reshape(splits, -1)

    own = range(len(strengths))
    return Found(
        tuple(levels), table("error", levels), table("loss", levels), strengths,
        table("own_left", own), table("own_error", own),
    )  # fmt: skip
