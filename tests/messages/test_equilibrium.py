"""Fixed points of all data at once: the linear model on any design, and its linear response."""

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.errors import EmtdampError
from emtdamp.messages import damp, equilibrium
from emtdamp.messages.activations import relu
from emtdamp.messages.damp import Batch, Network
from emtdamp.messages.likelihoods import GaussianNoise
from tests.exact import gaussian_regression

LINEAR = Network(relu, GaussianNoise())
NOISE, SLAB = 0.5, 1.0


def correlated(correlation=0.5, n=80, inputs=10, seed=0):
    """Rows whose inputs share one variable, y, and the exact posterior's mean and covariance."""
    rng = np.random.default_rng(seed)
    own, shared = rng.normal(size=(n, inputs)), rng.normal(size=(n, 1))
    x = own * np.sqrt(1 - correlation) + shared * np.sqrt(correlation)
    y = x @ rng.normal(size=(inputs, 1)) + NOISE**0.5 * rng.normal(size=(n, 1))
    _, mean, cov = gaussian_regression(x, y, NOISE, SLAB)
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    return Batch(tf.constant(x), tf.constant(y), tf.ones([n], tf.float64)), mean, cov


def start(inputs=10):
    return equilibrium.draw([inputs, 1], [SLAB], NOISE, seed=0)


@pytest.mark.parametrize("counts", [1.0, 3.0])
def test_the_mean_is_exact_on_a_correlated_design_whatever_the_count(counts):
    batch, mean, _ = correlated()
    at = equilibrium.settle(LINEAR, start(), batch, counts, tolerance=1e-12)
    assert float(at.change) <= 1e-12
    np.testing.assert_allclose(at.state.layers[0].mean, mean, atol=1e-8)


def test_linear_response_is_the_exact_variance():
    batch, _, cov = correlated()
    at = equilibrium.settle(LINEAR, start(), batch, tolerance=1e-12)
    rng = np.random.default_rng(1)
    new = np.pad(rng.normal(size=(5, 10)), [(0, 0), (0, 1)], constant_values=1.0)
    found = equilibrium.response(LINEAR, at, batch, 1.0, tf.constant(new), tolerance=1e-12)
    exact = np.einsum("bi,ij,bj->b", new, cov, new)
    np.testing.assert_allclose(found, exact, rtol=2e-3)
    # what adding up the weights' variances misses
    _, var = damp.propagate(LINEAR, equilibrium.posterior(at.state), tf.constant(new))
    assert np.abs(np.log(var[:, 0] / exact)).max() > 0.3


def test_matched_counts_hold_the_exact_degrees_of_freedom():
    batch, _, cov = correlated()
    probes = np.eye(80)
    counts, at, freedom = equilibrium.match_counts(
        LINEAR, start(), batch, probes, counts=1.0, tolerance=1e-10
    )
    x = batch.x.numpy()
    exact = np.einsum("bi,ij,bj->b", x, cov, x)
    assert freedom == pytest.approx(exact.sum() / NOISE, rel=1e-4)
    _, var = damp.propagate(LINEAR, equilibrium.posterior(at.state), batch.x)
    assert np.sum(var) == pytest.approx(exact.sum(), rel=0.02)
    assert 1.05 < counts < 1.4  # only one direction of ten is shared
    signs = np.random.default_rng(2).choice([-1.0, 1.0], (30, 80))
    some = equilibrium.degrees_of_freedom(LINEAR, at, batch, counts, signs)
    assert some == pytest.approx(freedom, rel=0.25)


def test_log_partition_is_that_of_leaving_one_out():
    batch, _, _ = correlated(0.0, 200, 10)
    at = equilibrium.settle(LINEAR, start(), batch)
    x, y = batch.x.numpy()[:, :-1], batch.y.numpy()
    rest = np.arange(200) != 17
    _, mean, cov = gaussian_regression(x[rest], y[rest], NOISE, SLAB)
    own = batch.x.numpy()[17]
    var = own @ cov @ own + NOISE
    exact = -0.5 * ((y[17, 0] - own @ mean[:, 0]) ** 2 / var + np.log(2 * np.pi * var))
    assert float(at.log_partition[17]) == pytest.approx(exact, abs=0.02)


def test_a_start_that_does_not_settle_is_refused():
    batch, *_ = correlated(0.9)
    with pytest.raises(EmtdampError, match="have not settled at counts=1 after 50"):
        equilibrium.match_counts(
            LINEAR, start(), batch, np.eye(80), counts=1.0, damping=0.0, most=50
        )
