"""Runs on the package's data: what is scored is what is kept, and what the estimator would give."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emtdamp import EMTDAMPRegressor, metrics
from emtdamp.errors import UsageError
from emtdamp.study import runs

pytestmark = pytest.mark.slow

SETTINGS = runs.Settings(hidden=8, em_iters=3, sparsity=0.5, seed=1)


@pytest.fixture(scope="module")
def task():
    return runs.boston(split=4)


@pytest.fixture(scope="module")
def result(task):
    return runs.train(task, SETTINGS)


def test_a_run_is_the_estimators_fit_scored_by_its_own_prediction(task, result):
    model = EMTDAMPRegressor((8,), em_iters=3, sparsity=0.5, random_state=1).fit(task.x, task.y)
    mean, std = model.predict(task.x_test, return_std=True)
    np.testing.assert_allclose(result.predicted, np.stack([mean, std], 1), rtol=1e-9)
    scores = metrics.regression_scores(task.y_test, *result.predicted.T)
    for name in ("rmse", "nmse", "log_likelihood"):
        assert result.metrics[f"test_{name}"] == scores[name]
    assert {"coverage_50", "coverage_90", "coverage_95"} <= set(result.metrics)
    assert result.metrics["training_loss"] == pytest.approx(-model.log_partition_)
    assert result.metrics["noise_variance"] == pytest.approx(model.noise_variance_)
    assert result.metrics["active_neurons"] == 4 == (result.rho > 0.5).sum()
    assert result.metrics["parameters"] == 14 * 4 + 5


def test_the_history_ends_at_the_metrics(result):
    last = result.history.iloc[-1]
    assert result.history.index.tolist() == [1, 2, 3]
    assert last["val_rmse"] == result.metrics["test_rmse"]
    assert last["active_neurons"] == result.metrics["active_neurons"]
    assert result.history["seconds"].sum() == result.metrics["seconds"]
    assert (result.history["active_neurons"].diff().dropna() <= 0).all()


def test_the_test_rows_are_only_looked_at(task, result):
    other = task._replace(x_test=task.x_test[:9], y_test=-task.y_test[:9])
    again = runs.train(other, SETTINGS)
    for one, two in zip(result.posterior.mean, again.posterior.mean, strict=True):
        assert_array_equal(one, two)


def test_unpruned_is_the_run_with_nothing_to_prune(task, result):
    dense = runs.train(task, runs.Settings(hidden=8, em_iters=3, seed=1))
    found = runs.unpruned(task, result)
    assert found == runs.unpruned(task, dense)
    assert found["unpruned_test_rmse"] == dense.metrics["test_rmse"]
    assert found["unpruned_parameters"] == 14 * 8 + 9
    assert found["unpruned_test_rmse"] != result.metrics["test_rmse"]


def test_the_form_of_the_steps_is_a_setting(task, result):
    window = runs.train(task, replace(SETTINGS, update="window"))
    model = EMTDAMPRegressor((8,), em_iters=3, sparsity=0.5, update="window", random_state=1)
    mean = model.fit(task.x, task.y).predict(task.x_test)
    np.testing.assert_allclose(window.predicted[:, 0], mean, rtol=1e-9)
    assert window.metrics["test_rmse"] != result.metrics["test_rmse"]


def test_auto_becomes_the_numbers_it_stands_for():
    settings = runs.Settings().resolved(455)
    assert (settings.batch_size, settings.em_iters) == (50, 220)
    assert runs.Settings(batch_size=7, em_iters=2).resolved(455) == runs.Settings(
        batch_size=7, em_iters=2
    )


def test_images_of_every_digit_are_needed():
    with pytest.raises(UsageError, match=r"train_size: 12 is not allowed; .* no 6, 7, 8, from 18 "):
        runs.mnist(12)
    assert runs.mnist(18).classes == 10


@pytest.mark.parametrize("split", [-1, 20, 0.5])
def test_there_are_twenty_splits(split):
    with pytest.raises(UsageError, match=f"split: {split} is not allowed; a whole number from 0"):
        runs.boston(split)
