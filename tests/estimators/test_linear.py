"""The exact linear-Gaussian case against the dense formulas and enumeration."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.stats import multivariate_normal

from emtdamp.estimators import linear
from tests.exact import gaussian_regression, spike_slab_regression


def problem(seed=0, samples=60, inputs=5, outputs=2, noise=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, inputs)) @ rng.normal(size=(inputs, inputs))
    weights = rng.normal(size=(inputs, outputs))
    return x, x @ weights + np.sqrt(noise) * rng.normal(size=(samples, outputs))


def centred(x, y):
    return x - x.mean(0), y - y.mean(0)


def statistics(x, y, weight=None):
    return linear.collect(x, y, np.ones(len(x)) if weight is None else weight)


def test_batches_in_sequence_leave_the_statistics_of_all():
    x, y = problem()
    x += 1e6  # large offsets must not cancel
    parts = [statistics(x[a:b], y[a:b]) for a, b in [(0, 1), (1, 20), (20, 60)]]
    merged = linear.merge(linear.merge(parts[0], parts[1]), parts[2])
    for one, two in zip(merged, statistics(x, y), strict=True):
        assert_allclose(one, two, rtol=1e-8)


def test_weights_are_repetitions():
    x, y = problem()
    times = np.random.default_rng(1).integers(0, 4, len(x))
    repeated = statistics(np.repeat(x, times, 0), np.repeat(y, times, 0))
    for one, two in zip(statistics(x, y, times), repeated, strict=True):
        assert_allclose(one, two, rtol=1e-10)


def test_fit_equals_exact_regression():
    x, y = problem()
    found = linear.fit(statistics(x, y), 5, slab=0.7, noise=0.3)
    xc, yc = centred(x, y)
    _, mean, cov = gaussian_regression(xc, yc, 0.3, 0.7)
    assert_allclose(found.mean, mean[:-1], rtol=1e-9)
    assert_allclose(found.cov, cov[:-1, :-1], atol=1e-12)
    marginal = 0.3 * np.eye(len(x)) + 0.7 * xc @ xc.T
    want = sum(multivariate_normal(cov=marginal).logpdf(column) for column in yc.T)
    assert_allclose(found.log_evidence, want, rtol=1e-10)


def test_noise_by_em_maximises_the_evidence():
    x, y = problem()
    sums = statistics(x, y)
    best = linear.fit(sums, 5, slab=0.7)
    for factor in (0.97, 1.03):
        other = linear.fit(sums, 5, slab=0.7, noise=best.noise * factor)
        assert other.log_evidence < best.log_evidence
    assert 0.15 < best.noise < 0.6


def test_no_rows_on_a_line_give_a_noise_of_zero():
    x = np.arange(10.0)[:, None]
    found = linear.fit(statistics(x, 2 * x), 1, slab=1e6)
    assert found.noise > 0 and np.isfinite(found.log_evidence)
    assert_allclose(found.mean, 2.0, rtol=1e-6)


@pytest.mark.parametrize("correlated", [False, True])
def test_selection_against_enumeration(correlated):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(80, 8))
    if correlated:
        x = 0.8 * x + 0.6 * rng.normal(size=(80, 1))
    weights = rng.normal(size=(8, 1)) * (np.arange(8) < 4)[:, None]
    x, y = centred(x, x @ weights + 0.5 * rng.normal(size=(80, 1)))
    found = linear._select(x.T @ x, x.T @ y, 0.25, 1.0, "steered", 4)
    # at the rho that steering found, so that both answer the same question
    exact = spike_slab_regression(x, y, 0.25, 1.0, 0.0)
    assert set(np.flatnonzero(found > 0)) == set(np.argsort(-exact.activity)[:4])
    free = linear._select(x.T @ x, x.T @ y, 0.25, 1.0, "free", 8)
    assert ((expit(free) > 0.5) == (exact.activity > 0.5)).all()


def test_pruned_inputs_are_zero_and_the_rest_exact():
    x, y = problem(inputs=6)
    found = linear.fit(statistics(x, y), 6, slab=0.7, noise=0.3, rule="steered", keep=3)
    assert found.active.sum() == 3
    assert (found.mean[~found.active] == 0).all() and (found.cov[~found.active] == 0).all()
    some = linear.fit(statistics(x[:, found.active], y), 3, slab=0.7, noise=0.3)
    assert_allclose(found.mean[found.active], some.mean, rtol=1e-10)
    assert_allclose(found.log_evidence, some.log_evidence, rtol=1e-12)


def test_scales_of_constant_columns_are_one():
    x = np.column_stack([np.full(20, 1e9 / 3), np.arange(20.0)])
    sums = statistics(x, x[:, 1:])
    scale, varies = linear.scales(sums)
    assert varies.tolist() == [False, True, True]
    assert_allclose(scale, [1, np.std(x[:, 1]), np.std(x[:, 1])])
    again = linear.select(linear.rescale(sums, scale), varies)
    assert_allclose(np.diag(again.scatter), 20)
