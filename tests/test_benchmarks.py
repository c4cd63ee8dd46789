"""The benchmarks run, and their committed table has what the book reads; no time is asserted."""

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import accuracy, epochs, timing
from emtdamp.study import pages

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["em", "keras_adam", "xla_adam", "products"])
def test_each_epoch_runs_and_takes_time(name):
    run = getattr(epochs, name)(epochs.Images(200), (4, 3), 100)
    assert 0 < run() < 60


def test_turns_leave_the_first_round_out():
    counts = {"a": iter(range(10)), "b": iter(range(10, 20))}
    seconds = timing.in_turns({k: lambda v=v: float(next(v)) for k, v in counts.items()}, 3)
    assert {k: v.tolist() for k, v in seconds.items()} == {"a": [1, 2, 3], "b": [11, 12, 13]}


def test_adam_learns_after_it_was_compiled():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 600)
    x = (np.eye(10)[y] + 0.1 * rng.normal(size=(600, 10))).astype("float32")
    data = accuracy.Split(x, y, x, y)
    outcome = accuracy.train(accuracy.Setting("adam", 8, 20, 0.01), data, seed=0)
    assert outcome.accuracy > 0.95 and min(outcome[:2]) > 0


def test_the_committed_table_has_every_comparison():
    table = pages.study("speed")
    assert set(command.COLUMNS) <= set(table.columns)
    for what in ("keras", "xla", "products"):
        assert table.loc[table["what"] == what, "batch"].tolist() == list(command.BATCHES)
    assert {"passes", "growth", "to accuracy, em-tdamp", "to accuracy, adam"} <= {*table["what"]}
    assert table["device"].nunique() == table["date"].nunique() == 1
