"""Federated methods on one task, round by round; and the settings of those that are compared.

    python -m emtdamp.study.federations

tries the settings of federated averaging and writes `TABLE`; what is in it already is not run
again. On MNIST the score is that of training images 50,000 to 59,999, trained on those before;
on Boston that of a fifth of the training rows, over the 20 splits.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emtdamp.baselines import choose
from emtdamp.baselines.fedavg import FedAvg, Round, Rule
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, GroupSNIP, Problem
from emtdamp.baselines.variational import BayesByBackprop
from emtdamp.errors import UsageError
from emtdamp.federated import server
from emtdamp.federated.loop import Rows, make_clients, run
from emtdamp.federated.partition import partition
from emtdamp.federated.server import Info, Server
from emtdamp.federated.settings import Federation
from emtdamp.network import GaussianNetwork, Units
from emtdamp.scaling import scaling
from emtdamp.study import contests, runs

TABLE = Path(__file__).parents[1] / "baselines" / "fedavg.csv"
COLUMNS = (
    "data", "partition", "passes", "kept", "method", "standardize", "rule", "momentum", "error",
    "nll",
)  # fmt: skip
HELD_BACK = 5  # of a client's rows for targets, every fifth, for the variance of the noise
CLIENTS = {"mnist": 10, "boston": 5}  # of the study, and its
ROUNDS = {"mnist": 10, "boston": 100}
OUR_BATCH = {True: 100, False: 10}  # rows of EM-TDAMP's minibatch of classes, and of Boston's few
KINDS: dict[str, type[Adam]] = {
    "fedavg": Adam,
    "fedavg, gradual": Gradual,
    "fedavg, group lasso": GroupLasso,
    "fedavg, group snip": GroupSNIP,
    "fedavg, variational": BayesByBackprop,
}

LABELS = {
    "em-tdamp": "EM-TDAMP",
    "em-tdamp, plain": "EM-TDAMP, rows counted once",
    "fedavg": "FedAvg",
    "fedavg, gradual": "FedAvg, gradual pruning",
    "fedavg, group lasso": "FedAvg, group lasso",
    "fedavg, group snip": "FedAvg, group SNIP",
    "fedavg, variational": "FedAvg, Bayes by Backprop",
}
COLOURED = {  # whose colour a method has in figures
    "em-tdamp": "em-tdamp",
    "em-tdamp, plain": "paper",
    "fedavg": "adam, best",
    "fedavg, gradual": "gradual",
    "fedavg, group lasso": "group lasso",
    "fedavg, group snip": "group snip",
    "fedavg, variational": "bayes by backprop",
}


def scores(task: runs.Task, network: GaussianNetwork) -> dict[str, float]:
    """Of the test rows, nll (nats a row) and error: a share, or squared errors over those of the
    training mean, an NMSE."""
    found = contests.scores(task, network)
    if task.classes:
        return found
    worst = float(np.sum((task.y_test - task.y.mean()) ** 2))
    predicted = runs.score(task, runs.predict(task, network))
    return {"error": found["squares"] / worst, "nll": -predicted["log_likelihood"]}


def network(task: runs.Task) -> dict[str, Any]:
    """Settings of a `Federation` that its task gives."""
    classes = bool(task.classes)
    return {
        "hidden": contests.NETWORKS[classes][:1],
        "outputs": task.classes or 1,
        "classes": classes,
        "batch_size": OUR_BATCH[classes],
    }


def ours(task: runs.Task, parts: Sequence[np.ndarray], settings: Federation) -> pd.DataFrame:
    """EM-TDAMP: `scores` after each round, and all bytes sent until then."""
    rows: list[dict[str, float]] = []
    y = task.y if task.classes else task.y[:, None]
    owned = [Rows(task.x[part], y[part]) for part in parts]

    def watch(state: Server, info: Info) -> None:
        found = scores(task, server.posterior(settings, state).prune())
        rows.append(found | {"bytes": float(info.bytes_up + info.bytes_down)})

    run(settings, make_clients(settings, owned), watch)
    return _curve(rows)


def averaged(
    task: runs.Task,
    parts: Sequence[np.ndarray],
    method: FedAvg,
    standardize: bool,
    rounds: int,
    kept: float = 100,
    seed: int = 0,
    noise: np.ndarray | None = None,
) -> pd.DataFrame:
    """The same of federated averaging; its inputs on the scales of ours, or as they are.

    Targets are on the scale of all clients' rows. `noise` (rounds,) is their variance about the
    network on that scale; None: the mean squared error of every fifth row of each client, in a
    federation that learns without them, and whose bytes are not counted.
    """
    hidden, batch = contests.NETWORKS[bool(task.classes)]
    share = server.SHARES[bool(task.classes)]
    scale = scaling(task.x, np.ones(len(task.x)), share) if standardize else np.asarray
    x, x_test = (scale(part).astype(np.float32) for part in (task.x, task.x_test))
    units, y = Units(), task.y.astype(np.int32)
    if not task.classes:
        units = Units(float(task.y.mean()), float(task.y.std()) or 1.0)
        y = ((task.y - units.center) / units.scale).astype(np.float32)[:, None]
    problem = Problem(
        x,
        y,
        np.arange(len(x)),
        task.classes or 1,
        (hidden,),
        "relu",
        (x.shape[1], contests.left(hidden, kept)),
        rounds * method.passes,
        batch,
        seed,
        {},
    )
    if noise is None:
        noise = np.ones(rounds) if task.classes else _noise(problem, parts, method)
    seen, rows = task._replace(x=x, x_test=x_test), []

    def watch(row: Round, network: GaussianNetwork) -> None:
        whole = replace(network, y_units=units, noise=noise[row.number - 1])
        rows.append(scores(seen, whole.prune()) | {"bytes": float(row.bytes)})

    method.train(problem, parts, watch)
    return _curve(rows)


def _noise(problem: Problem, parts: Sequence[np.ndarray], method: FedAvg) -> np.ndarray:
    """(rounds,) mean squared errors of rows held back."""
    back = np.concatenate([part[::HELD_BACK] for part in parts])
    found = []

    def watch(_: Round, network: GaussianNetwork) -> None:
        away = network.prune().propagate(problem.x[back])[0] - problem.y[back]
        found.append(np.mean(away**2))

    method.train(problem, [np.setdiff1d(part, back) for part in parts], watch)
    return np.array(found)


def _curve(rows: list[dict[str, float]]) -> pd.DataFrame:
    found = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="round"))
    return found.assign(bytes=found["bytes"].cumsum())


def curve(
    method: str, task: runs.Task, kind: str, clients: int, rounds: int, passes: int, kept: float,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """A method's rounds: error, nll (`scores`) and bytes. `method`: em-tdamp, em-tdamp plain, or
    one of `KINDS`; `kind`: of `partition`; `kept`: percent of the neurons left at the end.

    Raises UsageError for others.
    """
    parts = partition(kind, task.y, clients, seed)
    if method in ("em-tdamp", "em-tdamp, plain"):
        settings = Federation(
            **network(task),
            rounds=rounds,
            passes=passes,
            sparsity=round(1 - kept / 100, 6),
            rule="plain" if method.endswith("plain") else "counted",
            seed=seed,
        )
        return ours(task, parts, settings)
    if method not in KINDS:
        raise UsageError(f"method={method!r}; give em-tdamp, em-tdamp, plain, {', '.join(KINDS)}")
    found = best(method, "mnist" if task.classes else "boston", kind, passes)
    return averaged(task, parts, found.federated, found.standardize, rounds, kept, seed)


def best(method: str, data: str, kind: str, passes: int) -> "Candidate":
    """The setting of lowest held-out error on mnist or boston.

    Raises UsageError where none was tried.
    """
    tried = [
        each
        for each in candidates()
        if type(each.method) is KINDS[method] and each[:3] == (data, kind, passes)
    ]
    if not tried:
        raise UsageError(
            f"{method} was not tried on {data}, {kind}, with {passes} passes; see {TABLE.name}"
        )
    errors = {_key(row): float(row["error"]) for row in table()}
    return min(tried, key=lambda each: errors[each.key()])


def table() -> list[dict[str, str]]:
    """All settings that were tried."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


class Candidate(NamedTuple):
    """What is tried: a method, which of its neurons are left, and how its clients see rows."""

    data: str  # mnist or boston
    kind: str  # of `partition`
    passes: int
    kept: float
    method: Adam
    standardize: bool = True
    rule: Rule = "mean"
    momentum: float = 0.0  # the server's

    @property
    def federated(self) -> FedAvg:
        return FedAvg(self.method, self.passes, self.rule, self.momentum)

    def key(self) -> tuple[str, ...]:
        """As in the table."""
        return tuple(map(str, self))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in COLUMNS[:8])


def candidates() -> Iterator[Candidate]:
    """All that is tried; what prunes, with half of the neurons."""
    mnist = partial(Candidate, "mnist")
    for rate, schedule, standardize in product((1e-3, 3e-3), ("constant", "cosine"), (False, True)):
        yield mnist("iid", 1, 100, Adam(rate, schedule), standardize)
    for rate, schedule in product((1e-2, 2e-2), ("constant", "cosine")):
        yield mnist("iid", 1, 100, Adam(rate, schedule))
    yield mnist("dirichlet:0.3", 1, 100, Adam(3e-3, "constant"))
    for rate in (3e-3, 1e-2, 2e-2):
        yield mnist("dirichlet:0.3", 1, 100, Adam(rate))
        yield mnist("iid", 3, 100, Adam(rate))
    for rate, momentum in ((1e-2, 0.3), (1e-2, 0.6), (5e-3, 0.6), (1e-2, 0.9)):
        yield mnist("iid", 1, 100, Adam(rate), momentum=momentum)
    for momentum in (0.3, 0.6):
        yield mnist("dirichlet:0.3", 1, 100, Adam(1e-2), momentum=momentum)
    for rate, momentum in ((3e-3, 0.6), (1e-2, 0.3)):
        yield mnist("iid", 3, 100, Adam(rate), momentum=momentum)
    for rate, end in ((5e-3, 0.4), (1e-2, 0.4), (2e-2, 0.4), (4e-2, 0.4), (1e-2, 0.6)):
        yield mnist("iid", 1, 50, Gradual(rate, end_at=end))
    for rate, penalty in ((5e-3, 0.1), (1e-2, 0.03), (1e-2, 0.1), (1e-2, 0.3), (2e-2, 0.1)):
        yield mnist("iid", 1, 50, GroupLasso(rate, penalty=penalty))
    for rate in (5e-3, 1e-2, 2e-2, 4e-2):
        yield mnist("iid", 1, 50, GroupSNIP(rate))
    for rate, rule in product((1e-2, 2e-2), ("mean", "geometric")):
        yield mnist("iid", 1, 100, BayesByBackprop(rate), rule=rule)
    yield from _boston()


def _boston() -> Iterator[Candidate]:
    boston = partial(Candidate, "boston", "iid", 1)
    for rate in (5e-3, 1e-2, 2e-2, 5e-2):
        yield boston(100, Adam(rate))
    for rate in (1e-2, 2e-2, 5e-2, 1e-1):
        yield boston(50, GroupSNIP(rate))
    for rate, penalty in ((1e-2, 0.03), (1e-2, 0.1), (2e-2, 0.03), (2e-2, 0.1), (5e-2, 0.03)):
        yield boston(50, GroupLasso(rate, penalty=penalty))


def held(data: str) -> list[runs.Task]:
    """What settings are chosen on: rows to learn from, and as test rows others of the training."""
    if data == "boston":
        tasks = [runs.boston(split) for split in range(20)]
        away = [np.arange(len(task.x)) % 5 == 4 for task in tasks]
    else:
        tasks = [runs.mnist(60_000)]
        away = [np.arange(60_000) >= choose.HELD_OUT]
    return [
        task._replace(x=task.x[~out], y=task.y[~out], x_test=task.x[out], y_test=task.y[out])
        for task, out in zip(tasks, away, strict=True)
    ]


def score(each: Candidate) -> list[str]:
    """Error and nll after the last round, means over the tasks; of targets the error only."""
    found, rounds = [], ROUNDS[each.data]
    for number, task in enumerate(held(each.data)):
        parts = partition(each.kind, task.y, CLIENTS[each.data], number)
        how = rounds, each.kept, number, np.ones(rounds)
        found.append(averaged(task, parts, each.federated, each.standardize, *how).iloc[-1])
    names = ("error", "nll") if each.data == "mnist" else ("error",)
    texts = [f"{np.mean([row[name] for row in found]):.4f}" for name in names]
    return texts + [""] * (2 - len(texts))


def main() -> None:
    """Run what is not in the table yet."""
    choose.complete(TABLE, COLUMNS, ((each.key(), partial(score, each)) for each in candidates()))


if __name__ == "__main__":
    main()
