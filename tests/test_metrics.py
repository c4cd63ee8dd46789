"""Scores against other implementations and by hand."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, log_loss, mean_squared_error, r2_score

from emtdamp import metrics
from emtdamp.errors import UsageError

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 4, 200)
P = rng.dirichlet(np.ones(4), 200)


def test_against_scikit_learn():
    scores = metrics.classification_scores(LABELS, P)
    assert scores["nll"] == pytest.approx(log_loss(LABELS, P))
    two = P[:, :2] / P[:, :2].sum(axis=1, keepdims=True)
    binary = metrics.brier_score(LABELS % 2, two)
    assert binary == pytest.approx(2 * brier_score_loss(LABELS % 2, two[:, 1]))


def test_entropy_of_certain_and_of_even_rows():
    np.testing.assert_allclose(metrics.entropy(np.eye(3)), 0)
    np.testing.assert_allclose(metrics.entropy(np.full((2, 5), 0.2)), np.log(5))


def test_calibration_error_of_a_calibrated_and_of_an_overconfident_classifier():
    p = np.tile([0.8, 0.2], (1000, 1))
    labels = np.r_[np.zeros(800, int), np.ones(200, int)]
    assert metrics.expected_calibration_error(labels, p) == pytest.approx(0, abs=1e-12)
    sure = np.tile([1.0, 0.0], (1000, 1))
    assert metrics.expected_calibration_error(labels, sure) == pytest.approx(0.2)


def test_gaps_of_opposite_sign_do_not_cancel_between_bins():
    p = np.array([[0.95, 0.05]] * 10 + [[0.55, 0.45]] * 10)
    labels = np.r_[np.ones(10, int), np.zeros(10, int)]  # sure and wrong, unsure and right
    assert metrics.expected_calibration_error(labels, p) == pytest.approx((0.95 + 0.45) / 2)


def test_single_precision_rows_are_rows_of_probabilities():
    scores = metrics.classification_scores(LABELS, P.astype(np.float32))
    assert scores["nll"] == pytest.approx(log_loss(LABELS, P), rel=1e-5)


def test_macro_averages_count_a_class_that_is_never_predicted():
    p = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.9, 0.1, 0.0]])
    scores = metrics.classification_scores([0, 0, 1, 2], p)
    assert scores["recall_macro"] == pytest.approx(2 / 3)
    assert scores["precision_macro"] == pytest.approx((2 / 3 + 1 + 0) / 3)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [([0, 1], [[1.0, 0.0]], r"shape \(2,\)"), ([0], [[0.9, 0.4]], "sums to 1.3")],
)
def test_bad_input_is_named(labels, probabilities, message):
    with pytest.raises(UsageError, match=message):
        metrics.classification_scores(labels, probabilities)


def test_regression_scores_of_a_true_and_of_an_overconfident_prediction():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(2, 20_000))
    std = np.exp(std)
    y = mean + std * rng.normal(size=20_000)
    scores = metrics.regression_scores(y, mean, std)
    assert scores["log_likelihood"] == pytest.approx(norm.logpdf(y, mean, std).mean())
    assert scores["rmse"] ** 2 == pytest.approx(mean_squared_error(y, mean))
    assert scores["nmse"] == pytest.approx(1 - r2_score(y, mean))
    for level in (50, 90, 95):
        assert scores[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.01)
    assert metrics.coverage(y, mean, 0.5 * std, 0.95) == pytest.approx(0.673, abs=0.01)
    always_mean = metrics.regression_scores(y, np.full_like(y, y.mean()), std)
    assert always_mean["nmse"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("targets", "mean", "std", "said"),
    [
        ([1.0, 2.0], [1.0], [1.0, 1.0], r"mean \(1,\)"),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 0.0], "std has the value 0.0"),
        ([1.0, 1.0], [1.0, 2.0], [1.0, 1.0], "all 2 targets are equal"),
    ],
)
def test_regression_scores_refuse_what_has_none(targets, mean, std, said):
    with pytest.raises(UsageError, match=said):
        metrics.regression_scores(targets, mean, std)


@pytest.mark.parametrize("labels", [[0, 2], [0, -1], [0.0, 1.0], ["a", "b"]])
def test_labels_that_are_no_class_numbers(labels):
    with pytest.raises(UsageError, match="give integers 0 to 1"):
        metrics.classification_scores(labels, [[0.5, 0.5], [0.5, 0.5]])


def test_targets_that_are_not_finite():
    for targets, mean in [([np.nan, 1.0], [0.0, 1.0]), ([0.0, 1.0], [np.inf, 1.0])]:
        with pytest.raises(UsageError, match="not finite"):
            metrics.regression_scores(targets, mean, [1.0, 1.0])
