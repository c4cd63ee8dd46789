"""Contests: every method on the same rows, groups counted alike, and the paper's points."""

import numpy as np
import pandas as pd
import pytest

from emtdamp import contests, runs
from emtdamp.baselines import AMP, Adam
from emtdamp.errors import UsageError


@pytest.fixture(scope="module")
def digits():
    return runs.mnist(500)


@pytest.mark.parametrize("name", contests.LABELS)
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


def test_no_level_is_an_empty_table(digits):
    assert contests.levels("adam", digits, 1, []).empty


def test_squares_of_a_regression():
    task = runs.boston(0)
    curve = contests.curve(contests.model("em-tdamp", task, rounds=3), task)
    assert curve.columns.tolist() == ["squares", "seconds"] and (curve["squares"] > 0).all()


def test_settings_are_those_chosen_for_the_data(digits):
    small = contests.baseline("adam, best", digits, 10)
    assert isinstance(small, Adam) and small.schedule == "cosine"
    assert contests.baseline("adam", digits, 10) == Adam(1e-3, "constant")
    assert isinstance(contests.baseline("amp", digits, 10), AMP)


def test_the_papers_points_are_in_our_names():
    points = contests.reported("sparsity_mnist_error")
    assert isinstance(points, pd.DataFrame) and set(points["method"]) <= set(contests.LABELS)


def test_what_is_not_known_is_refused(digits):
    with pytest.raises(UsageError, match="'sgd'; give one of em-tdamp"):
        contests.baseline("sgd", digits, 1)
    with pytest.raises(UsageError, match="kept=0; give a percentage"):
        contests.model("adam", digits, 1, kept=0)
    with pytest.raises(UsageError, match="'figure 7'"):
        contests.reported("figure 7")
