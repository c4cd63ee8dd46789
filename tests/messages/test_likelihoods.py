"""Output factors against high-order quadrature and finite differences; M-steps of the noise."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize, special, stats

from emtdamp.messages.likelihoods import GaussianNoise, Output, ProbitProduct, maximise_noise
from tests.exact import gaussian_regression, leave_one_out


@tf.function(reduce_retracing=True)
def compiled(likelihood, *arguments):
    return likelihood(*arguments)


def call(likelihood, w, var, y, noise, dtype=tf.float64):
    labels = tf.constant(y) if np.asarray(y).dtype.kind == "i" else tf.constant(y, dtype)
    got = compiled(
        likelihood,
        tf.constant(w, dtype),
        tf.constant(var, dtype),
        labels,
        tf.constant(noise, dtype),
    )
    return Output(*(value.numpy() for value in got))


def hazard(t):
    return np.exp(-t * t / 2 - np.log(2 * np.pi) / 2 - special.log_ndtr(t))


def reference(w, var, y, noise):
    """log Z, g, Gam, E[eps^2] of one sample by the trapezoidal rule with 1e4 nodes at the mode."""
    others = np.arange(len(w)) != y
    s = np.sqrt(noise + var[others])
    z = w[y]
    for _ in range(500):
        t = (z - w[others]) / s
        slope = -(z - w[y]) / var[y] + (hazard(t) / s).sum()
        bend = 1 / var[y] + (hazard(t) * (t + hazard(t)) / s**2).sum()
        z += slope / bend
    grid, step = np.linspace(z - 14 * var[y] ** 0.5, z + 14 * var[y] ** 0.5, 10001, retstep=True)
    t = (grid[:, None] - w[others]) / s
    f = stats.norm.logpdf(grid, w[y], var[y] ** 0.5) + special.log_ndtr(t).sum(1)
    log_z = special.logsumexp(f) + np.log(step)
    p = np.exp(f - f.max())
    p /= p.sum()
    h = hazard(t)
    total = (h / s).sum(1)
    g, gam = np.empty(len(w)), np.empty(len(w))
    g[others] = -(p @ h) / s
    gam[others] = p @ (h * t) / s**2 + g[others] ** 2
    g[y] = p @ total
    gam[y] = p @ (h * (t + h) / s**2).sum(1) - p @ (total - g[y]) ** 2
    return log_z, g, gam, (noise * (1 - noise * (p @ (h * t)) / s**2)).mean()


def probit_cases(classes, ratio, noise=1.0):
    """Gaps from certain to hopeless: log-probabilities from 0 to about -1e4."""
    rng = np.random.default_rng(classes)
    w, var = [], []
    for gap in (6.0, 2.0, 0.0, -3.0, -10.0, -30.0, -60.0, -100.0, -150.0):
        for spread in (0.0, 2.0):
            w.append(rng.normal(0, spread, classes))
            var.append(noise * ratio * np.exp(rng.normal(0, spread / 4, classes)))
            w[-1][0] = w[-1][1:].max() + gap
    return np.array(w), np.array(var)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("ratio", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_probit_product_equals_quadrature(classes, ratio, dtype):
    w, var = probit_cases(classes, ratio)
    w, var = np.float32(w).astype(float), np.float32(var).astype(float)
    got = call(ProbitProduct(), w, var, np.zeros(len(w), int), 1.0, dtype)
    for i in range(len(w)):
        log_z, g, gam, noise = reference(w[i], var[i], 0, 1.0)
        assert got.log_partition[i] == pytest.approx(log_z, rel=3e-7, abs=1e-4)
        np.testing.assert_allclose(got.gradient[i], g, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(got.curvature[i], gam, atol=5e-3)
        assert got.noise[i] == pytest.approx(noise, rel=1e-4)


def test_two_classes_are_probit():
    w, var = probit_cases(2, 0.7)
    got = call(ProbitProduct(nodes=33, newton=8), w, var, np.zeros(len(w), int), 0.5)
    scale = np.sqrt(0.5 + var.sum(1))
    t = (w[:, 0] - w[:, 1]) / scale
    np.testing.assert_allclose(got.log_partition, special.log_ndtr(t), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(got.gradient[:, 0], hazard(t) / scale, rtol=1e-7, atol=1e-9)
    bend = hazard(t) * (t + hazard(t)) / scale**2
    np.testing.assert_allclose(got.curvature, np.stack([bend, bend], 1), atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_probit_product_messages_are_derivatives(classes):
    w, var = probit_cases(classes, 0.5)
    y = np.zeros(len(w), int)
    fine = ProbitProduct(nodes=65, newton=20)
    got, step = call(fine, w, var, y, 1.0), 1e-4
    for k in range(classes):
        move = step * np.eye(classes)[k]
        up, down = call(fine, w + move, var, y, 1.0), call(fine, w - move, var, y, 1.0)
        slope = (up.log_partition - down.log_partition) / (2 * step)
        np.testing.assert_allclose(got.gradient[:, k], slope, rtol=1e-6, atol=1e-6)
        bend = -(up.gradient - down.gradient)[:, k] / (2 * step)
        np.testing.assert_allclose(got.curvature[:, k], bend, rtol=1e-4, atol=1e-5)


def test_shared_shift_and_label_order_change_nothing():
    w, var = probit_cases(10, 1.0)
    y = np.zeros(len(w), int)
    got = call(ProbitProduct(), w, var, y, 1.0)
    np.testing.assert_allclose(got.gradient.sum(1), 0, atol=1e-10)
    moved = call(ProbitProduct(), w + 5, var, y, 1.0)
    np.testing.assert_allclose(moved.log_partition, got.log_partition, rtol=1e-10, atol=1e-9)
    turned = call(ProbitProduct(), w[:, ::-1], var[:, ::-1], y + 9, 1.0)
    np.testing.assert_allclose(turned.gradient[:, ::-1], got.gradient, rtol=1e-9, atol=1e-12)


def test_log_probabilities_are_normalised_and_exact_for_two_classes():
    rng = np.random.default_rng(0)
    w, var = rng.normal(0, 3, (20, 2)), np.exp(rng.normal(0, 0.5, (20, 2)))
    got = ProbitProduct(nodes=25).log_probabilities(
        tf.constant(w), tf.constant(var), tf.constant(1.0, tf.float64)
    )
    exact = special.log_ndtr((w - w[:, ::-1]) / np.sqrt(1 + var.sum(1, keepdims=True)))
    np.testing.assert_allclose(got, exact, atol=1e-5)
    np.testing.assert_allclose(np.exp(got).sum(1), 1, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_probabilities_sum_to_one_and_the_products_do_not(classes):
    w, tiny = np.zeros((1, classes)), np.full((1, classes), 1e-8)
    every = [
        call(ProbitProduct(), w, tiny, np.array([k]), 1.0).log_partition for k in range(classes)
    ]
    assert np.exp(every).sum() == pytest.approx(classes * 2.0 ** (1 - classes), rel=1e-3)
    rng = np.random.default_rng(classes)
    w, var = rng.normal(0, 3, (20, classes)), np.exp(rng.normal(0, 0.5, (20, classes)))
    log_p = ProbitProduct().log_probabilities(
        tf.constant(w), tf.constant(var), tf.constant(1.0, tf.float64)
    )
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)


def test_gaussian_noise_is_the_normal_density_and_its_derivatives():
    rng = np.random.default_rng(0)
    w, y, var = rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), np.exp(rng.normal(size=(7, 3)))
    got = call(GaussianNoise(), w, var, y, 0.3)
    density = stats.norm.logpdf(y, w, np.sqrt(var + 0.3))
    np.testing.assert_allclose(got.log_partition, density.sum(1), rtol=1e-12)
    np.testing.assert_allclose(got.gradient, (y - w) / (var + 0.3), rtol=1e-12)
    np.testing.assert_allclose(got.curvature, 1 / (var + 0.3), rtol=1e-12)


def sample_problem(likelihood, noise, n=1000):
    """w, V and a y that the model itself draws, so the evidence in v has its top near `noise`."""
    rng = np.random.default_rng(3)
    outputs = 2
    w, var = rng.normal(0, 2, (n, outputs)), np.exp(rng.normal(-1, 0.5, (n, outputs)))
    z = w + np.sqrt(var) * rng.normal(size=w.shape)
    if isinstance(likelihood, GaussianNoise):
        return w, var, z + noise**0.5 * rng.normal(size=z.shape)
    return w, var, (z[:, 1] + noise**0.5 * rng.normal(size=n) > z[:, 0]).astype(int)


@pytest.mark.parametrize("likelihood", [GaussianNoise(), ProbitProduct(nodes=25)])
def test_noise_updates_climb_to_the_maximum_of_the_evidence(likelihood):
    w, var, y = sample_problem(likelihood, noise=0.6)
    best = tf.function(maximise_noise)(likelihood, tf.constant(w), tf.constant(var), tf.constant(y))
    v, before = 2.0, -np.inf
    for _ in range(400):
        got = call(likelihood, w, var, y, v)
        assert got.log_partition.sum() >= before - 1e-9
        v, before = got.noise.mean(), got.log_partition.sum()
    assert v == pytest.approx(float(best), rel=1e-3)
    assert v == pytest.approx(0.6, rel=0.5)


def evidence(x, y, noise, slab):
    """Exact log evidence of Bayesian linear regression."""
    return gaussian_regression(x, y, noise, slab)[0]


@pytest.fixture(scope="module")
def solvable():
    """Linear-Gaussian data and the v of highest exact evidence, by scipy."""
    rng = np.random.default_rng(0)
    x, slab = rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12)) / 3, 0.7  # correlated columns
    y = x @ rng.normal(size=(12, 2)) * slab**0.5 + 0.8 * rng.normal(size=(60, 2))
    best = optimize.minimize_scalar(
        lambda log_v: -evidence(x, y, np.exp(log_v), slab), bounds=(-6, 6), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return x, y, slab, float(np.exp(best.x))


def test_noise_update_is_the_exact_e_step_where_the_cavities_are(solvable):
    x, y, slab, _ = solvable
    for v in (0.1, 0.64, 5.0):
        w, var = leave_one_out(x, y, v, slab)
        got = call(GaussianNoise(), w, var, y, v)
        design = np.concatenate([x, np.ones((60, 1))], 1)
        _, mean, cov = gaussian_regression(x, y, v, slab)
        spread = np.einsum("bi,ij,bj->b", design, cov, design)
        exact = ((y - design @ mean) ** 2).mean(1) + spread
        np.testing.assert_allclose(got.noise, exact, rtol=1e-9)


def test_noise_update_is_the_exact_e_step_where_the_posteriors_are(solvable):
    x, y, slab, _ = solvable
    for v in (0.1, 0.64, 5.0):
        _, cavity = leave_one_out(x, y, v, slab)
        design = np.concatenate([x, np.ones((60, 1))], 1)
        _, mean, cov = gaussian_regression(x, y, v, slab)
        got = call(GaussianNoise(), design @ mean, cavity, y, v)
        exact = (y - design @ mean) ** 2 + np.einsum("bi,ij,bj->b", design, cov, design)[:, None]
        np.testing.assert_allclose(got.noise_learnt, exact.mean(1), rtol=1e-9)


def test_closed_form_and_numerical_noise_end_at_the_top_of_the_exact_evidence(solvable):
    x, y, slab, best = solvable
    fixed, closed, numerical = 4.0, [4.0], [4.0]
    likelihood, maximise = GaussianNoise(), tf.function(maximise_noise)
    for _ in range(25):
        w, var = leave_one_out(x, y, closed[-1], slab)
        closed.append(call(likelihood, w, var, y, closed[-1]).noise.mean())
        w, var = leave_one_out(x, y, numerical[-1], slab)
        numerical.append(float(maximise(likelihood, *(tf.constant(a) for a in (w, var, y)))))
    assert closed[-1] == pytest.approx(best, rel=1e-6)
    assert numerical[-1] == pytest.approx(best, rel=1e-6)
    rises = np.diff([evidence(x, y, v, slab) for v in closed])
    assert rises.min() > -1e-9  # the closed form is an EM step: never down
    assert rises[0] > 10
    for path in (closed, numerical):
        assert np.abs(np.log(np.array(path[10:]) / best)).max() < 1e-4
    assert evidence(x, y, fixed, slab) < evidence(x, y, closed[-1], slab) - 10


def test_extremes_are_finite():
    rng = np.random.default_rng(1)
    n = 2000
    w = rng.choice([-1, 1], (n, 10)) * 10 ** rng.uniform(-4, 4, (n, 10))
    var = 10 ** rng.uniform(-12, 12, (n, 10))
    for likelihood, y in (
        (ProbitProduct(), rng.integers(0, 10, n)),
        (GaussianNoise(), rng.normal(size=(n, 10))),
    ):
        for dtype in (tf.float32, tf.float64):
            got = call(likelihood, w, var, y, 1.0, dtype)
            for field, value in zip(got._fields, got, strict=True):
                assert np.isfinite(value).all(), (likelihood, field)
