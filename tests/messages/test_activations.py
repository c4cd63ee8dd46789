"""Each nonlinearity against quadrature, finite differences of its log-partition, extremes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate

from emtdamp.messages.activations import ACTIVATIONS, Response
from emtdamp.messages.gaussian import Gaussian

CURVES = {"relu": lambda z: max(z, 0.0), "identity": lambda z: z, "tanh": np.tanh}


def cases(n: int = 60, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0, 3, n),
        np.exp(rng.uniform(-4, 2, n)),
        np.exp(rng.uniform(-5, 2, n)) * (rng.random(n) < 0.8),
        rng.normal(0, 3, n),
    ]


def respond(name, w, var, precision, shift, dtype=tf.float64):
    as_tensor = [tf.convert_to_tensor(a, dtype) for a in (w, var, precision, shift)]
    got = ACTIVATIONS[name](as_tensor[0], as_tensor[1], Gaussian(*as_tensor[2:]))
    return Response(*(value.numpy() for value in got))


def by_quadrature(curve, w, var, precision, shift):
    """log Z, mean and variance of u, adaptively between the kink, the mode and the far ends."""

    def log_term(z):
        u = curve(z)
        return -((z - w) ** 2) / (2 * var) - precision * u * u / 2 + shift * u

    sd = np.sqrt(var)
    ends = w - 40 * sd, w + 40 * sd
    grid = np.linspace(*ends, 2001)
    values = np.array([log_term(z) for z in grid])
    top, mode = values.max(), grid[values.argmax()]
    inside = {z for z in (0.0, mode, mode - 8 * sd, mode + 8 * sd) if ends[0] < z < ends[1]}
    pieces = list(itertools.pairwise(sorted({*ends, *inside})))

    def moment(k):
        def term(z):
            return np.exp(log_term(z) - top) * curve(z) ** k

        return sum(integrate.quad(term, *piece, epsabs=1e-13, limit=200)[0] for piece in pieces)

    zero, one, two = moment(0), moment(1), moment(2)
    log_z = np.log(zero) + top - np.log(2 * np.pi * var) / 2
    return log_z, one / zero, two / zero - (one / zero) ** 2


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_moments_and_evidence_equal_quadrature(name):
    w, var, precision, shift = cases(25)
    got = respond(name, w, var, precision, shift)
    for i, numbers in enumerate(zip(w, var, precision, shift, strict=True)):
        log_z, mean, spread = by_quadrature(CURVES[name], *numbers)
        assert got.mean[i] == pytest.approx(mean, rel=1e-8, abs=1e-9)
        assert got.var[i] == pytest.approx(spread, rel=1e-7, abs=1e-9)
        assert got.log_partition[i] == pytest.approx(log_z, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_messages_are_derivatives_of_the_log_partition(name):
    w, var, precision, shift = cases()
    step = 1e-4 * np.sqrt(var)
    got = respond(name, w, var, precision, shift)
    up = respond(name, w + step, var, precision, shift)
    down = respond(name, w - step, var, precision, shift)
    slope = (up.log_partition - down.log_partition) / (2 * step)
    np.testing.assert_allclose(got.gradient, slope, rtol=1e-6, atol=1e-6)
    bend = -(up.gradient - down.gradient) / (2 * step)
    np.testing.assert_allclose(got.curvature, bend, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_moments_are_derivatives_in_the_message_from_above(name):
    # d log Z/dB = E u and d^2 log Z/dB^2 = Var u
    w, var, precision, shift = cases()
    step = 1e-4
    got = respond(name, w, var, precision, shift)
    up = respond(name, w, var, precision, shift + step)
    down = respond(name, w, var, precision, shift - step)
    slope = (up.log_partition - down.log_partition) / (2 * step)
    np.testing.assert_allclose(got.mean, slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got.var, (up.mean - down.mean) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_float32_follows_float64(name):
    numbers = [np.float32(a) for a in cases(400, seed=1)]
    single = respond(name, *numbers, dtype=tf.float32)
    double = respond(name, *numbers)
    scale = {"curvature": 1 + numbers[2] + numbers[3] ** 2}  # its terms cancel down from these
    for field, one, two in zip(single._fields, single, double, strict=True):
        error = np.abs(one - two) / (scale.get(field, 1) + np.abs(two))
        assert error.max() < 2e-5, field


@pytest.mark.parametrize("name", ["relu", "identity"])
def test_no_message_from_above_gives_the_prior_moments(name):
    w, var, *_ = cases()
    got = respond(name, w, var, np.zeros_like(w), np.zeros_like(w))
    np.testing.assert_allclose(got.gradient, 0, atol=1e-12)
    np.testing.assert_allclose(got.curvature, 0, atol=1e-12)
    np.testing.assert_allclose(got.log_partition, 0, atol=1e-12)


def test_relu_keeps_relative_accuracy_in_the_tail():
    # t = -30: mean and variance of relu are far below rounding of any difference
    got = respond("relu", [-30.0], [1.0], [0.0], [0.0], tf.float32)
    assert float(got.mean[0]) == pytest.approx(0, abs=1e-30)
    got = respond("relu", [-9.0], [1.0], [0.0], [0.0], tf.float32)
    exact = integrate.quad(lambda z: z * np.exp(-((z + 9) ** 2) / 2), 0, 9, epsrel=1e-12)[0]
    assert float(got.mean[0]) == pytest.approx(exact / np.sqrt(2 * np.pi), rel=2e-5)


def test_extremes_are_finite():
    rng = np.random.default_rng(2)
    n = 20000
    w, shift = (rng.choice([-1, 1], n) * 10 ** rng.uniform(-4, 4, n) for _ in range(2))
    var = 10 ** rng.uniform(-12, 12, n)
    precision = np.where(rng.random(n) < 0.2, 0, 10 ** rng.uniform(-12, 12, n))
    for dtype in (tf.float32, tf.float64):
        for name in ("relu", "identity", "tanh"):
            got = respond(name, w, var, precision, shift, dtype)
            for field, value in zip(got._fields, got, strict=True):
                bad = ~np.isfinite(value)
                assert not bad.any(), (name, field, [a[bad][0] for a in (w, var, precision, shift)])
            assert (got.var >= 0).all()
