"""What the methods hand to the tests of uncertainty."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emtdamp.errors import UsageError
from emtdamp.messages.likelihoods import ProbitProduct
from emtdamp.study import predictors, runs
from emtdamp.study.chapters import uncertainty_run

IMAGES = runs.mnist(300)
SEVERAL = {"em-tdamp": 7, "adam, best": 1, "deep ensemble": 5, "mc dropout": 7}


def test_known_outputs_need_no_quadrature():
    rng = np.random.default_rng(0)
    z, noise = 3 * rng.standard_normal((4, 6)), 0.7
    quadrature = ProbitProduct().log_probabilities(z, np.full_like(z, 1e-9), np.array(noise))
    assert_allclose(predictors.probit(z, noise), quadrature, atol=1e-5)
    assert_allclose(np.exp(predictors.probit(z[None], noise)).sum(axis=-1), 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", SEVERAL)
def test_every_method_draws_probabilities(method):
    found = predictors.train(method, IMAGES, epochs=2, samples=7, seed=3)
    x = IMAGES.x_test[:50]
    log_p = found.sampled(x)
    assert log_p.shape == (SEVERAL[method], 50, 10)
    assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-4)
    assert_array_equal(log_p, found.sampled(x))
    p, parts = found.predict(x)
    assert (p.argmax(axis=1) == IMAGES.y_test[:50]).mean() > 0.3
    assert (parts.epistemic.max() > 0) == (SEVERAL[method] > 1)
    assert_allclose(found.probabilities(x), p, rtol=1e-5)
    if method != "em-tdamp":  # whose own prediction is by moments
        assert_allclose(p, np.exp(log_p).mean(axis=0), rtol=1e-4)


@pytest.mark.slow
def test_a_posterior_stores_two_numbers_a_weight_and_an_ensemble_five_networks():
    numbers = {
        name: predictors.train(name, IMAGES, epochs=1).numbers
        for name in ("em-tdamp", "adam, best", "deep ensemble")
    }
    assert numbers["em-tdamp"] == 2 * numbers["adam, best"]
    assert numbers["deep ensemble"] == 5 * numbers["adam, best"]


def test_what_is_not_there_to_train():
    with pytest.raises(UsageError, match="method='adamant'; give one of em-tdamp"):
        predictors.train("adamant", IMAGES)
    with pytest.raises(UsageError, match="kept=50: mc dropout prunes nothing"):
        predictors.train("mc dropout", IMAGES, kept=50)


def test_digits_are_turned_about_their_middle():
    x = IMAGES.x_test[:5]
    assert_allclose(uncertainty_run.turned(x, 0), x, atol=1e-6)
    half = uncertainty_run.turned(x, 180).reshape(-1, 28, 28)
    assert_allclose(half[:, ::-1, ::-1].reshape(x.shape), x, atol=1e-5)
    quarter = uncertainty_run.turned(x, 90).reshape(-1, 28, 28)
    assert_allclose(quarter, np.rot90(x.reshape(-1, 28, 28), axes=(1, 2)), atol=1e-5)
