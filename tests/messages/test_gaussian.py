"""Gaussian messages and the cut normal, against scipy and in the extremes."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from emtdamp.messages import gaussian

GRID = np.concatenate([np.linspace(-40, 12, 1041), [-1e4, -1e3, -100.0, 100.0, 1e3, 1e4]])
TOLERANCE = {tf.float32: 3e-6, tf.float64: 1e-12}


def log_ndtr(t):
    return gaussian.cut(t).log_scale - 0.5 * tf.square(tf.minimum(t, 0.0))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_log_ndtr_and_the_hazard_equal_scipy(dtype):
    t = tf.constant(GRID, dtype)
    exact = t.numpy().astype(np.float64)
    log_phi = special.log_ndtr(exact)
    hazard = np.exp(-(exact**2) / 2 - gaussian.LOG_SQRT_2PI - log_phi)
    hazard[exact < -38] = -exact[exact < -38] / (1 - exact[exact < -38] ** -2.0)
    usable = hazard > 1e-30  # beyond, float32 has only zero or denormals
    cut = gaussian.cut(t)
    np.testing.assert_allclose(log_ndtr(t), log_phi, rtol=TOLERANCE[dtype], atol=1e-30)
    rtol = np.where(exact < -38, 5e-6, np.maximum(1, exact**2) * TOLERANCE[dtype])[usable]
    error = np.abs(cut.hazard.numpy() / np.where(usable, hazard, 1) - 1)[usable]
    assert (error <= rtol).all(), exact[usable][error > rtol]


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_cut_moments_equal_quadrature(dtype):
    t = np.concatenate([np.linspace(-30, 8, 77), [-1e3, -1e4]])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for ti in t:
        width = 40 / max(1.0, -ti) if ti < 0 else ti + 12  # the density decays as exp(ti z)
        z = width * (nodes + 1) / 2
        w = (
            weights * np.exp(-(z**2) / 2 + z * min(ti, 0.0))
            if ti < 0
            else weights * np.exp(-((z - ti) ** 2) / 2)
        )
        w /= w.sum()
        mean = w @ z
        var = w @ (z - mean) ** 2
        c = gaussian.cut(tf.constant(ti, dtype))
        np.testing.assert_allclose(c.mean, mean, rtol=5e-6 if dtype == tf.float32 else 1e-9)
        np.testing.assert_allclose(c.var, var, rtol=1e-5 if dtype == tf.float32 else 1e-9)


def test_cut_moments_are_derivatives_of_the_log_mass():
    t = tf.constant(np.linspace(-20, 6, 54))  # not 0: autodiff of |t|
    with tf.GradientTape() as outer:
        outer.watch(t)
        with tf.GradientTape() as inner:
            inner.watch(t)
            log_mass = log_ndtr(t)
        first = inner.gradient(log_mass, t)
    second = outer.gradient(first, t)
    c = gaussian.cut(t)
    np.testing.assert_allclose(first, c.hazard, rtol=1e-8)
    np.testing.assert_allclose(1 + second, c.var, rtol=1e-6, atol=1e-8)


def test_extremes_are_finite_in_both_types():
    for dtype in TOLERANCE:
        t = tf.constant([-1e4, -1e2, -1e-12, 0.0, 1e-12, 1e2, 1e4], dtype)
        for value in gaussian.cut(t):
            assert np.isfinite(value).all()
