"""What was tried of `federated.settings.Tuned`, on held-out images; and a federation with another.

    python -m emtdamp.study.federated_settings

trains on MNIST's images 0 to 49,999, scores 50,000 to 59,999, and writes `TABLE`; what is in it
already is not run again.
"""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from emtdamp.baselines import choose
from emtdamp.federated.partition import partition
from emtdamp.federated.settings import Federation, Tuned
from emtdamp.study import contests, federations, runs

TABLE = Path(__file__).parents[1] / "federated" / "settings.csv"
COLUMNS = ("partition", "passes", "kept", "change", "seed", "error_1", "error_5", "error", "nll")
CLIENTS, ROUNDS = 10, 10


class Trial(NamedTuple):
    """A federation, and the constants that are others than the chosen ones, as "name=value"."""

    kind: str = "iid"  # of `partition`
    passes: int = 1
    kept: int = 100  # percent of the hidden neurons
    change: str = ""
    seed: int = 0

    def key(self) -> tuple[str, ...]:
        """As in the table."""
        return tuple(map(str, self))


def trials() -> Iterator[Trial]:
    """All that is tried: the chosen constants on each task, and each of them changed alone."""
    yield Trial()
    yield Trial(kept=50)
    yield Trial("dirichlet:0.3")
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


def main() -> None:
    """Run what is not in the table yet."""
    task = runs.mnist(60_000)
    held = task._replace(
        x=task.x[:50_000], y=task.y[:50_000], x_test=task.x[50_000:], y_test=task.y[50_000:]
    )

    def scores(trial: Trial) -> list[str]:
        parts = partition(trial.kind, held.y, CLIENTS, trial.seed)
        settings = with_change(
            trial.change,
            hidden=contests.NETWORKS[True][:1],
            rounds=ROUNDS,
            passes=trial.passes,
            sparsity=round(1 - trial.kept / 100, 6),
            seed=trial.seed,
        )
        found = federations.ours(held, parts, settings)
        return [f"{found['error'][n]:.4f}" for n in (1, 5, ROUNDS)] + [
            f"{found['nll'][ROUNDS]:.4f}"
        ]

    choose.complete(TABLE, COLUMNS, ((each.key(), partial(scores, each)) for each in trials()))


if __name__ == "__main__":
    main()
