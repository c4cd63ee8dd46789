"""Mixtures have their members' moments; calibration finds what it is asked to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_friedman1

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor, Predictive, calibrate, ensemble
from emtdamp.errors import UsageError
from emtdamp.predictive import Calibration

pytestmark = pytest.mark.slow


def predictions(rows, seed=0):
    rng = np.random.default_rng(seed)
    return Predictive(rng.normal(size=rows), np.full(rows, 0.5), rng.gamma(2.0, size=rows))


def data(rows):
    return make_friedman1(rows, 5, noise=1.0, random_state=0)


def test_the_parts_of_a_regressors_prediction():
    X, y = data(120)
    model = EMTDAMPRegressor((8,), em_iters=5, random_state=0).fit(X, y)
    mean, std = model.predict(X, return_std=True)
    parts = Predictive.of(model, X)
    assert_allclose(parts.mean, mean)
    assert_allclose(parts.std, std)
    assert (parts.model > 0).all() and len(np.unique(parts.model)) > 1
    # what is not known of the mean shrinks with more rows, the noise does not
    more = Predictive.of(EMTDAMPRegressor((8,), em_iters=5, random_state=0).fit(*data(1200)), X)
    assert more.model.mean() < parts.model.mean() / 2


def test_an_ensembles_moments_are_those_of_draws_from_it():
    members = [predictions(3, seed) for seed in range(4)]
    mixture = ensemble(members)
    rng = np.random.default_rng(0)
    which = rng.integers(4, size=200_000)
    mean, std = (np.stack(p)[which] for p in zip(*[(m.mean, m.std) for m in members], strict=True))
    draws = mean + std * rng.standard_normal(mean.shape)
    assert_allclose(draws.mean(0), mixture.mean, atol=0.02)
    assert_allclose(draws.std(0), mixture.std, rtol=0.01)


def test_one_member_is_itself():
    one = predictions(5)
    assert_allclose(ensemble([one]), one)


def test_calibration_finds_the_truth_in_many_rows():
    truth = Calibration(3.0, 0.5, 5.0)
    seen = predictions(20_000)._replace(noise=np.full(20_000, 8.0))
    y = truth(seen).rvs(random_state=1)
    found = calibrate(y, seen)
    assert_allclose([found.a, found.b], [3.0, 0.5], rtol=0.15)
    assert found.freedom == pytest.approx(5.0, rel=0.15)


def test_calibration_never_lowers_the_density_of_its_own_rows():
    seen = predictions(60)
    y = np.random.default_rng(3).normal(seen.mean, 2 * seen.std)
    plain, found = Calibration(), calibrate(y, seen)
    assert found(seen).logpdf(y).mean() > plain(seen).logpdf(y).mean()


def test_plain_is_the_gaussian():
    seen = predictions(4)
    assert_allclose(Calibration()(seen).interval(0.95)[1], seen.mean + 1.959964 * seen.std)


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="no members"):
        ensemble([])
    with pytest.raises(UsageError, match=r"y \(3,\) for predictions \(4,\)"):
        calibrate(np.zeros(3), predictions(4))
    with pytest.raises(UsageError, match="y has values that are no finite numbers"):
        calibrate(np.array([0.0, np.nan]), predictions(2))
    with pytest.raises(UsageError, match=r"members predict \[\(3,\), \(4,\)\] rows"):
        ensemble([predictions(4), predictions(3)])
    with pytest.raises(UsageError, match="EMTDAMPClassifier is no regressor"):
        Predictive.of(EMTDAMPClassifier(), np.zeros((2, 2)))
