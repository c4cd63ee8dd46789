"""Each nonlinearity against quadrature, finite differences of its log evidence, and the extremes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from emtdamp.activations import ACTIVATIONS, Response
from emtdamp.gaussian import Gaussian

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


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_moments_and_evidence_equal_quadrature(name):
    w, var, precision, shift = cases(25)
    got = respond(name, w, var, precision, shift)
    for i in range(len(w)):
        sd = np.sqrt(var[i])

        def log_integrand(z, i=i):
            u = CURVES[name](z)
            return -((z - w[i]) ** 2) / (2 * var[i]) - precision[i] * u * u / 2 + shift[i] * u

        grid = np.linspace(w[i] - 40 * sd, w[i] + 40 * sd, 2001)
        values = np.array([log_integrand(z) for z in grid])
        top, mode = values.max(), grid[values.argmax()]
        cuts = [w[i] - 40 * sd, *sorted({0.0, mode, mode - 8 * sd, mode + 8 * sd}), w[i] + 40 * sd]
        cuts = [z for z in cuts if w[i] - 40 * sd <= z <= w[i] + 40 * sd]

        def moment(k):
            return sum(
                integrate.quad(
                    lambda z: np.exp(log_integrand(z) - top) * CURVES[name](z) ** k,
                    a,
                    b,
                    epsabs=1e-13,
                    epsrel=1e-12,
                    limit=200,
                )[0]
                for a, b in zip(cuts[:-1], cuts[1:], strict=True)
            )

        zero, one, two = moment(0), moment(1), moment(2)
        assert got.mean[i] == pytest.approx(one / zero, rel=1e-8, abs=1e-9)
        assert got.var[i] == pytest.approx(two / zero - (one / zero) ** 2, rel=1e-7, abs=1e-9)
        log_z = np.log(zero) + top - np.log(2 * np.pi * var[i]) / 2
        assert got.log_evidence[i] == pytest.approx(log_z, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_messages_are_derivatives_of_the_log_evidence(name):
    w, var, precision, shift = cases()
    step = 1e-4 * np.sqrt(var)
    got = respond(name, w, var, precision, shift)
    up = respond(name, w + step, var, precision, shift)
    down = respond(name, w - step, var, precision, shift)
    slope = (up.log_evidence - down.log_evidence) / (2 * step)
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
    slope = (up.log_evidence - down.log_evidence) / (2 * step)
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
    np.testing.assert_allclose(got.log_evidence, 0, atol=1e-12)


def test_relu_keeps_relative_accuracy_in_the_tail():
    # t = -30: mean and variance of relu are far below rounding of any difference
    got = respond("relu", [-30.0], [1.0], [0.0], [0.0], tf.float32)
    assert float(got.mean[0]) == pytest.approx(0, abs=1e-30)
    got = respond("relu", [-9.0], [1.0], [0.0], [0.0], tf.float32)
    exact = integrate.quad(lambda z: z * np.exp(-((z + 9) ** 2) / 2), 0, 9, epsrel=1e-12)[0]
    assert float(got.mean[0]) == pytest.approx(exact / np.sqrt(2 * np.pi), rel=2e-5)


@settings(max_examples=500, deadline=None)
@given(
    st.floats(-1e4, 1e4),
    st.floats(-12, 12),
    st.one_of(st.just(0.0), st.floats(-12, 12).map(lambda e: 10.0**e)),
    st.floats(-1e4, 1e4),
)
def test_extremes_are_finite(w, log_var, precision, shift):
    var = 10.0**log_var
    for dtype in (tf.float32, tf.float64):
        for name in ("relu", "identity"):
            got = respond(name, [w], [var], [precision], [shift], dtype)
            for field, value in zip(got._fields, got, strict=True):
                assert np.isfinite(value).all(), (name, field)
            assert float(got.var[0]) >= 0
