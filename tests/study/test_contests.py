"""Contests: every method on the same rows, groups counted alike, and the paper's points."""

import numpy as np
import pandas as pd
import pytest

from emtdamp import EMTDAMPRegressor
from emtdamp.baselines import AMP, Adam, Gradual, GroupLasso, choose
from emtdamp.errors import UsageError
from emtdamp.study import contests, runs
from emtdamp.study.methods import METHODS, rivals

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return runs.mnist(500)


@pytest.mark.parametrize("name", METHODS)
def test_a_curve_has_a_row_a_round(name, digits):
    model = contests.model(name, digits, rounds=2, kept=50, seed=1)
    curve = contests.curve(model, digits)
    assert curve.index.tolist() == [1, 2]
    assert curve["error"].between(0.05, 0.95).all() and (curve["nll"] > 0).all()
    assert model.active_groups_[1].sum() == 64


@pytest.mark.parametrize("name", ["em-tdamp", "gradual", "adam"])
@pytest.mark.parametrize("groups", ["hidden", "inputs and hidden"])
def test_levels_keep_the_same_groups_whenever_a_method_prunes(name, groups, digits):
    levels = contests.levels(name, digits, 1, [10], groups)
    live = int((np.ptp(digits.x, axis=0) > 0).sum())
    assert levels["neurons"].tolist() == [13]
    assert levels["inputs"].tolist() == [live if groups == "hidden" else round(live * 0.1)]


def test_the_papers_algorithm_is_steered_unless_all_groups_may_stay(digits):
    free, half = (contests.model("paper", digits, 3, kept) for kept in (100, 50))
    assert (free.sparsity, half.sparsity) == ("auto", 0.5)
    for model in (free, half):
        assert model.update == "window" and model.soft and model.em_iters == 3
    assert isinstance(contests.model("paper", runs.boston(0), 3), EMTDAMPRegressor)


def test_messages_that_keep_all_groups_are_em_tdamp(digits):
    found = [contests.levels(name, digits, 2, [100]) for name in ("amp", "em-tdamp")]
    pd.testing.assert_frame_equal(*found, rtol=1e-6)


def test_no_level_is_an_empty_table(digits):
    assert contests.levels("adam", digits, 1, []).empty


def test_squares_of_a_regression():
    task = runs.boston(0)
    curve = contests.curve(contests.model("em-tdamp", task, rounds=3), task)
    assert curve.columns.tolist() == ["squares", "seconds"] and (curve["squares"] > 0).all()


@pytest.mark.parametrize(
    ("name", "images", "rounds", "groups", "chosen"),
    [
        ("gradual", 500, 30, "inputs and hidden", ("mnist-10000", Gradual, 10)),
        ("gradual", 10_001, 10, "hidden", ("mnist-50000", Gradual, 10)),
        ("gradual", 10_001, 11, "hidden", ("mnist-50000", Gradual, 30)),
        ("gradual", 10_001, 10, "inputs and hidden", ("mnist-50000-inputs-half", Gradual, 10)),
        ("adam, best", 500, 10, "hidden", ("mnist-10000", Adam, 10)),
        ("adam", 10_001, 30, "hidden", ("mnist-50000", Adam(1e-3, "constant"), 30)),
        ("adam, 0.002", 10_001, 10, "inputs and hidden", ("mnist-50000", Adam(2e-3), 10)),
    ],
)
def test_settings_are_those_chosen_for_the_data(name, images, rounds, groups, chosen, digits):
    task = digits._replace(x=np.zeros((images, 1), np.float32))
    setting = contests.baseline(name, task, rounds, 50, groups)
    assert setting == choose.best(*chosen)
    model = contests.model(name, task, rounds, 50, groups)
    assert (model.method, model.standardize) == setting


def test_where_few_inputs_are_kept_settings_are_those_for_few(digits):
    task = digits._replace(x=np.zeros((10_001, 1), np.float32))
    for kept, data in [(40, "mnist-50000-inputs"), (50, "mnist-50000-inputs-half")]:
        model = contests.model("group lasso", task, 10, kept, "inputs and hidden")
        assert (model.method, model.standardize) == choose.best(data, GroupLasso, 10)


def test_settings_of_a_regression_and_of_messages(digits):
    boston = runs.boston(0)
    assert contests.baseline("gradual", boston, 10) == choose.best("boston", Gradual, 220)
    assert contests.baseline("adam", boston, 10) == (Adam(1e-3, "constant"), True)
    assert contests.baseline("amp", digits, 10) == (AMP(), True)
    assert contests.baseline("adam, 0.002 standardised", digits, 10) == (Adam(2e-3), True)


def test_the_papers_points_are_in_our_names():
    points = contests.reported("sparsity_mnist_error")
    assert isinstance(points, pd.DataFrame) and set(points["method"]) <= set(METHODS)


def test_a_method_stands_against_all_others_by_two_standard_errors():
    scores = {"em-tdamp": (1.64, 1.69, 1.74), "far": (2, 2.1, 2.2), "near": (1.7, 1.75, 1.8)}
    table = pd.DataFrame([(m, v) for m, several in scores.items() for v in several])
    table.columns = ["method", "error"]
    assert contests.against(table, "error", "em-tdamp", ["far"]) == "ahead"
    assert contests.against(table, "error", "em-tdamp", ["far", "near"]) == "level"
    assert contests.against(table, "error", "far", ["near", "em-tdamp"]) == "behind"


def test_messages_are_a_rival_only_where_groups_go():
    spread = np.array([-0.01, 0.0, 0.01])
    means = {"em-tdamp": (2.0, 2.0), "amp": (1.0, 2.0), "gradual": (3.0, 3.0)}
    rows = [
        {"method": method, "error_at_50": half + e, "error_at_100": whole + e}
        for method, (half, whole) in means.items()
        for e in spread
    ]
    found = contests.against_all(pd.DataFrame(rows), "error", [50, 100])
    assert found == {50: "behind", 100: "ahead"}
    gradients = contests.against_all(pd.DataFrame(rows), "error", [50, 100], gradients=True)
    assert set(gradients.values()) == {"ahead"}


def test_boston_is_compared_split_by_split():
    folds = np.linspace(1, 9, 20)  # far more spread than difference
    worst = 10 * folds
    squares = {"em-tdamp": folds, "gradual": folds + 0.01, "magnitude": 2 * folds, "amp": folds}
    rows = {
        method: {f"squares_at_100_split_{k}": v for k, v in enumerate(values)} | {"splits": 20}
        for method, values in squares.items()
    }
    ends = pd.DataFrame(rows).T
    assert contests.boston_against_all(ends, [100], worst) == {100: "ahead"}
    gap = contests.pooled_gap(ends, "magnitude", 100, worst)
    assert gap == pytest.approx((0.1, 0.0), abs=1e-12)


def test_no_form_of_em_tdamp_is_a_rival():
    names = ["em-tdamp", "paper", "em-tdamp, window", "amp", "gradual"]
    assert rivals(names) == ["amp", "gradual"]


def test_what_is_not_known_is_refused(digits):
    with pytest.raises(UsageError, match="'sgd'; give one of adam, "):
        contests.baseline("sgd", digits, 1)
    with pytest.raises(UsageError, match="kept=0; give a percentage"):
        contests.model("adam", digits, 1, kept=0)
    with pytest.raises(UsageError, match="'figure 7'"):
        contests.reported("figure 7")
