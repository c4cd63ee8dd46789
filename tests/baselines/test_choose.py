"""The table of settings tried holds what the module says was tried, and the defaults its best."""

import pytest

from emtdamp.baselines import Adam, Gradual, GroupLasso, GroupSNIP, Magnitude, choose


def test_the_table_has_every_candidate():
    tried = {(row["data"], row["method"], int(row["epochs"])) for row in choose.table()}
    assert tried == {(data, repr(method), epochs) for data, method, epochs in choose.candidates()}


@pytest.mark.parametrize("kind", [Adam, Magnitude, GroupLasso, GroupSNIP, Gradual])
def test_defaults_are_the_best_of_the_table(kind):
    scores = {
        row["method"]: float(row["score"])
        for row in choose.table()
        if row["data"] == "mnist-10000" and row["method"].startswith(f"{kind.__name__}(")
    }
    assert scores[repr(kind())] <= min(scores.values()) + 2e-4  # ties
