"""Federated methods on one task, round by round; and the settings of those that are compared.

    python -m emtdamp.study.federations

tries the settings of federated averaging on MNIST's training images 50,000 to 59,999, trained on
those before, and writes `TABLE`; what is in it already is not run again.
"""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emtdamp.baselines import choose
from emtdamp.baselines.fedavg import FedAvg, Round
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, Problem
from emtdamp.errors import UsageError
from emtdamp.federated import server
from emtdamp.federated.loop import Rows, make_clients, run
from emtdamp.federated.partition import partition
from emtdamp.federated.server import Info, Server
from emtdamp.federated.settings import Federation
from emtdamp.network import GaussianNetwork
from emtdamp.scaling import scaling
from emtdamp.study import contests, runs

TABLE = Path(__file__).parents[1] / "baselines" / "fedavg.csv"
COLUMNS = ("partition", "passes", "kept", "method", "standardize", "error", "nll")
HIDDEN = 128
KINDS: dict[str, type[Adam]] = {
    "fedavg": Adam,
    "fedavg, gradual": Gradual,
    "fedavg, group lasso": GroupLasso,
}

LABELS = {
    "em-tdamp": "EM-TDAMP",
    "em-tdamp, plain": "EM-TDAMP, rows counted once",
    "fedavg": "FedAvg",
    "fedavg, gradual": "FedAvg, gradual pruning",
    "fedavg, group lasso": "FedAvg, group lasso",
}
COLOURED = {  # whose colour a method has in figures
    "em-tdamp": "em-tdamp",
    "em-tdamp, plain": "paper",
    "fedavg": "adam, best",
    "fedavg, gradual": "gradual",
    "fedavg, group lasso": "group lasso",
}


def ours(task: runs.Task, parts: Sequence[np.ndarray], settings: Federation) -> pd.DataFrame:
    """EM-TDAMP: `contests.scores` after each round, and all bytes sent until then."""
    rows: list[dict[str, float]] = []
    owned = [Rows(task.x[part], task.y[part]) for part in parts]

    def watch(state: Server, info: Info) -> None:
        found = contests.scores(task, server.posterior(settings, state).prune())
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
) -> pd.DataFrame:
    """The same of federated averaging; its inputs on the scales of ours, or as they are."""
    scale = scaling(task.x, np.ones(len(task.x)), 0.5) if standardize else np.asarray
    x, x_test = (scale(part).astype(np.float32) for part in (task.x, task.x_test))
    problem = Problem(
        x,
        task.y.astype(np.int32),
        np.arange(len(x)),
        task.classes,
        (HIDDEN,),
        "relu",
        (x.shape[1], contests.left(HIDDEN, kept)),
        rounds * method.passes,
        100,
        seed,
        {},
    )
    seen, rows = task._replace(x=x, x_test=x_test), []

    def watch(row: Round, network: GaussianNetwork) -> None:
        rows.append(contests.scores(seen, network.prune()) | {"bytes": float(row.bytes)})

    method.train(problem, parts, watch)
    return _curve(rows)


def _curve(rows: list[dict[str, float]]) -> pd.DataFrame:
    found = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="round"))
    return found.assign(bytes=found["bytes"].cumsum())


def curve(
    method: str, task: runs.Task, kind: str, clients: int, rounds: int, passes: int, kept: float,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    """A method's rounds. `method`: em-tdamp, em-tdamp plain, or one of `KINDS`; `kind`: of
    `partition`; `kept`: percent of the neurons that are left at the end.

    Raises UsageError for others.
    """
    parts = partition(kind, task.y, clients, seed)
    if method in ("em-tdamp", "em-tdamp, plain"):
        settings = Federation(
            hidden=(HIDDEN,),
            outputs=task.classes,
            rounds=rounds,
            passes=passes,
            sparsity=round(1 - kept / 100, 6),
            rule="plain" if method.endswith("plain") else "counted",
            seed=seed,
        )
        return ours(task, parts, settings)
    if method not in KINDS:
        raise UsageError(f"method={method!r}; give em-tdamp, em-tdamp, plain, {', '.join(KINDS)}")
    found, standardize = best(method, kind, passes)
    return averaged(task, parts, FedAvg(found, passes), standardize, rounds, kept, seed)


def best(method: str, kind: str, passes: int) -> tuple[Adam, bool]:
    """The setting of lowest held-out error, and whether its inputs are standardised.

    Raises UsageError where none was tried.
    """
    tried = [
        each
        for each in candidates()
        if type(each.method) is KINDS[method] and (each.kind, each.passes) == (kind, passes)
    ]
    if not tried:
        raise UsageError(f"{method} was not tried with {kind}, {passes} passes; see {TABLE.name}")
    errors = {_key(row): float(row["error"]) for row in table()}
    found = min(tried, key=lambda each: errors[each.key()])
    return found.method, found.standardize


def table() -> list[dict[str, str]]:
    """All settings that were tried."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


class Candidate(NamedTuple):
    """What is tried: a method, which of its neurons are left, and how its clients see rows."""

    kind: str  # of `partition`
    passes: int
    kept: float
    method: Adam
    standardize: bool

    def key(self) -> tuple[str, ...]:
        """As in the table."""
        return (self.kind, *map(str, self[1:]))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in COLUMNS[:5])


def candidates() -> Iterator[Candidate]:
    """All that is tried."""
    for rate, schedule, standardize in product((1e-3, 3e-3), ("constant", "cosine"), (False, True)):
        yield Candidate("iid", 1, 100, Adam(rate, schedule), standardize)
    for rate, schedule in product((1e-2, 2e-2), ("constant", "cosine")):
        yield Candidate("iid", 1, 100, Adam(rate, schedule), standardize=True)
    yield Candidate("dirichlet:0.3", 1, 100, Adam(3e-3, "constant"), standardize=True)
    for rate in (3e-3, 1e-2):
        yield Candidate("dirichlet:0.3", 1, 100, Adam(rate), standardize=True)
        yield Candidate("iid", 3, 100, Adam(rate), standardize=True)
    yield Candidate("iid", 1, 50, Gradual(1e-2), standardize=True)
    yield Candidate("iid", 1, 50, GroupLasso(1e-2, penalty=0.1), standardize=True)


def main() -> None:
    """Run what is not in the table yet."""
    task = runs.mnist(60_000)
    held = task._replace(
        x=task.x[:50_000], y=task.y[:50_000], x_test=task.x[50_000:], y_test=task.y[50_000:]
    )

    def scores(each: Candidate) -> list[str]:
        parts = partition(each.kind, held.y, 10, seed=0)
        method = FedAvg(each.method, each.passes)
        found = averaged(held, parts, method, each.standardize, 10, each.kept).iloc[-1]
        return [f"{found['error']:.4f}", f"{found['nll']:.4f}"]

    choose.complete(TABLE, COLUMNS, ((each.key(), partial(scores, each)) for each in candidates()))


if __name__ == "__main__":
    main()
