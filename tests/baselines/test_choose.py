"""The table of settings tried holds what the module says was tried, and the defaults its best."""

import numpy as np
import pytest

from emtdamp.baselines import (
    IVON,
    Adam,
    BayesByBackprop,
    Gradual,
    GroupLasso,
    GroupSNIP,
    Magnitude,
    choose,
)
from emtdamp.baselines.estimators import Fold
from emtdamp.errors import UsageError

pytestmark = pytest.mark.slow


def test_the_table_has_every_candidate():
    tried = [tuple(row.values())[:4] for row in choose.table()]
    assert len(tried) == len(set(tried))
    assert set(tried) == {candidate.key() for candidate in choose.candidates()}


@pytest.mark.parametrize(
    "kind", [Adam, Magnitude, GroupLasso, GroupSNIP, Gradual, BayesByBackprop, IVON]
)
def test_defaults_are_the_best_of_the_table(kind):
    scores = {
        row["method"]: float(row["score"])
        for row in choose.table()
        if (row["data"], row["standardize"]) == ("mnist-10000", "True")
        and row["method"].startswith(f"{kind.__name__}(")
    }
    assert scores[repr(kind())] <= min(scores.values()) + 2e-4  # ties


def test_the_best_has_the_lowest_score_of_its_data_and_epochs():
    for data, epochs in [("mnist-50000", 10), ("mnist-50000-inputs", 10), ("mnist-50000", 30)]:
        rows = [r for r in choose.table() if (r["data"], r["epochs"]) == (data, str(epochs))]
        lowest = min(
            (r for r in rows if r["method"].startswith("Grad")), key=lambda r: float(r["score"])
        )
        found = choose.best(data, Gradual, epochs)
        assert (lowest["method"], lowest["standardize"]) == tuple(map(repr, found))


def test_a_method_with_all_its_settings_is_given_its_inputs():
    setting = choose.best("mnist-10000", Adam(7e-3, "constant"), 10)
    scores = {
        row["standardize"]: float(row["score"])
        for row in choose.table()
        if (row["data"], row["method"]) == ("mnist-10000", repr(setting.method))
    }
    assert setting.method == Adam(7e-3, "constant")
    assert scores[str(setting.standardize)] < scores[str(not setting.standardize)]
    with pytest.raises(UsageError, match=r"no Adam\(rate=4.*was tried on 'boston' for 10 epochs"):
        choose.best("boston", Adam(4.0), 10)
    with pytest.raises(UsageError, match="no Gradual was tried"):
        choose.best("boston", Gradual, 10)


def test_boston_is_scored_by_held_out_errors_whatever_the_weights_variance(monkeypatch):
    shares = []

    class Sure:
        def propagate(self, x):
            return np.zeros((len(x), 1)), np.full((len(x), 1), 0.9)

    class Fitted:
        def __init__(self, *_, **given):
            shares.append(given["sparsity"])
            self.folds_ = [Fold(np.zeros((n, 2)), np.full((n, 1), 2.0), Sure()) for n in (3, 5)]  # pyright: ignore
            self.noise_variance_ = 0.1

        def fit(self, *_):
            return self

    monkeypatch.setattr(choose, "BaselineRegressor", Fitted)
    for method in (BayesByBackprop(), IVON()):
        setting = choose.Setting(method, standardize=True)
        assert choose.score(choose.Candidate("boston", setting, 220)) == [4.0] * 5
    assert shares == [0.5] * 5 + [0.0] * 5  # what prunes at the end is scored whole
