"""What was tried of `federated.settings.Tuned`, on held-out rows; and a federation with another.

    python -m emtdamp.study.federated_settings

trains and scores on the rows of `federations.held`, and writes `TABLE`; what is in it already is
not run again.
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emtdamp.baselines import choose
from emtdamp.federated.partition import partition
from emtdamp.federated.settings import Federation, Tuned
from emtdamp.study import federations

TABLE = Path(__file__).parents[1] / "federated" / "settings.csv"
COLUMNS = (
    "data", "partition", "passes", "kept", "change", "seed", "error_first", "error_half", "error",
    "nll",
)  # fmt: skip


class Trial(NamedTuple):
    """A federation, and the constants that are others than the chosen ones, as "name=value"."""

    data: str = "mnist"  # or boston
    kind: str = "iid"  # of `partition`
    passes: int = 1
    kept: int = 100  # percent of the hidden neurons
    change: str = ""
    seed: int = 0  # of the first task; the next have the next

    def key(self) -> tuple[str, ...]:
        """As in the table."""
        return tuple(map(str, self))


def trials() -> Iterator[Trial]:
    """All that is tried: the chosen constants on each task, and each of them changed alone."""
    yield Trial()
    yield Trial(kept=50)
    yield Trial(kind="dirichlet:0.3")
    yield Trial(seed=1)
    for change in (
        "warmup=10",
        "momentum=0.8",
        "clip=0.05",
        "prior_count=50",
        "early_width=0.1",
        "early_width=1",
        "first_gain=1",
        "least_gain=1",
        "server_momentum=0",
        "server_momentum=0.5",
    ):
        yield Trial(change=change)
    for change in ("", "target_width=1", "target_width=4"):
        yield Trial("boston", change=change)


def with_change(change: str, **settings: Any) -> Federation:
    """A federation with these settings, and constants changed as `Trial` has it.

    >>> with_change("momentum=0.8", rounds=3).tuned.momentum
    0.8
    """
    pairs = (part.split("=") for part in change.split(" ") if part)
    changed = Tuned()._replace(**{name: float(value) for name, value in pairs})

    class Changed(Federation):
        tuned = changed

    return Changed(**settings)


def table() -> list[dict[str, str]]:
    """The rows of `TABLE`; none where there is no such file."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(trial: Trial) -> list[str]:
    """Errors after the first round, half of them and all, and the NLL: means over the tasks."""
    found = []
    for number, task in enumerate(federations.held(trial.data)):
        seed, clients = trial.seed + number, federations.CLIENTS[trial.data]
        settings = with_change(
            trial.change,
            **federations.network(task),
            rounds=federations.ROUNDS[trial.data],
            passes=trial.passes,
            sparsity=round(1 - trial.kept / 100, 6),
            seed=seed,
        )
        parts = partition(trial.kind, task.y, clients, seed)
        curve = federations.ours(task, parts, settings)
        end = settings.rounds
        found.append([*curve["error"].loc[[1, end // 2, end]], curve["nll"].loc[end]])
    return [f"{value:.4f}" for value in np.mean(found, axis=0)]


def main() -> None:
    """Run what is not in the table yet."""
    choose.complete(TABLE, COLUMNS, ((each.key(), partial(scores, each)) for each in trials()))


if __name__ == "__main__":
    main()
