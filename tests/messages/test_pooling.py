"""Pooling over bags against tanh's own factor, dense grids, finite differences, and its limits."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from emtdamp.messages import pooling
from emtdamp.messages.activations import tanh
from emtdamp.messages.gaussian import Gaussian

BAG = np.array([0, 0, 0, 1, 3, 3])  # the third bag is empty
MEMBER = (BAG == np.arange(4)[:, None]).astype(float)
SIZES = MEMBER.sum(1)


def cases(seed: int = 0, neurons: int = 12) -> list[np.ndarray]:
    """w, V (C, H) and A, B (bags, 2H)."""
    rng = np.random.default_rng(seed)
    shape, pooled = (len(BAG), neurons), (4, 2 * neurons)
    return [
        rng.normal(size=shape),
        np.exp(rng.uniform(-3, 1, (1, neurons)) + rng.uniform(-0.7, 0.7, shape)),
        np.exp(rng.uniform(-4, 1, pooled)) * (rng.random(pooled) < 0.8),
        rng.normal(0, 1.5, pooled),
    ]


def backward(w, var, precision, shift, dtype=tf.float64) -> pooling.Response:
    above = Gaussian(tf.constant(precision, dtype), tf.constant(shift, dtype))
    w, var, member = (tf.constant(a, dtype) for a in (w, var, MEMBER))
    got = pooling.backward(w, var, member, above)
    return pooling.Response(*(part.numpy() for part in got))


def forward(w, var) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = pooling.forward(tf.constant(w), tf.constant(var), tf.constant(MEMBER))
    return mean.numpy(), spread.numpy()


def test_a_bag_of_one_is_the_neuron_itself():
    w, var, precision, shift = cases()
    neurons = w.shape[1]
    mean, spread = forward(w, var)
    alone = tanh(tf.constant(w[3]), tf.constant(var[3]), None)
    for part in (slice(neurons), slice(neurons, None)):
        assert_allclose(mean[1, part], alone.mean, atol=1e-9)
        assert_allclose(spread[1, part], alone.var, atol=1e-9)
    for part in (slice(neurons), slice(neurons, None)):
        only = np.zeros_like(shift)
        only[:, part] = 1
        got = backward(w, var, precision * only, shift * only)
        above = Gaussian(tf.constant(precision[1, part]), tf.constant(shift[1, part]))
        one = tanh(tf.constant(w[3]), tf.constant(var[3]), above)
        assert_allclose(got.gradient[3], one.gradient, atol=1e-5)
        assert_allclose(got.curvature[3], one.curvature, atol=1e-4)


def test_moments_and_evidence_of_the_maximum_equal_sums_over_a_grid_of_two():
    """Two instances, their joint density on 1,200 x 1,200 points."""
    w, var, precision, shift = cases(neurons=4)
    mean, spread = forward(w, var)
    log_z = backward(w, var, precision, shift).log_partition
    x = np.linspace(-8, 8, 1201)
    density = np.exp(-(x**2) / 2)
    for h in range(4):
        one, two = (w[c, h] + np.sqrt(var[c, h]) * x for c in (4, 5))
        u = np.tanh(np.maximum(one[:, None], two[None]))
        p = density[:, None] * density[None]
        p /= p.sum()
        place = 4 + h
        assert mean[3, place] == pytest.approx((p * u).sum(), abs=3e-5)
        assert spread[3, place] == pytest.approx((p * u**2).sum() - (p * u).sum() ** 2, abs=3e-5)
        factor = np.exp(u * (shift[3, place] - precision[3, place] * u / 2))
        assert log_z[3, place] == pytest.approx(np.log((p * factor).sum()), abs=1e-4)


def test_messages_through_the_maximum_are_derivatives_of_its_log_partition():
    w, var, precision, shift = cases()
    neurons = w.shape[1]
    shift[:, :neurons] = precision[:, :neurons] = 0  # the maximum alone
    got = backward(w, var, precision, shift)
    for c in range(len(BAG)):
        step = np.zeros_like(w)
        step[c] = 1e-4 * np.sqrt(var[c])
        up, down = (backward(w + sign * step, var, precision, shift) for sign in (1, -1))
        change = (up.log_partition - down.log_partition)[BAG[c], neurons:]
        assert_allclose(got.gradient[c], change / (2 * step[c]), rtol=1e-6, atol=1e-6)
        bend = -(up.gradient - down.gradient)[c] / (2 * step[c])
        assert_allclose(got.curvature[c], bend, rtol=1e-5, atol=1e-5)


def test_what_the_mean_says_to_an_instance_is_exact_for_gaussians():
    """Against the joint Gaussian of a bag's u: the last instance's message, others integrated."""
    w, var, precision, shift = cases(neurons=5)
    precision[:, 5:] = shift[:, 5:] = 0
    got = backward(w, var, precision, shift)
    alone = tanh(tf.constant(w), tf.constant(var), None)
    mean, spread = alone.mean.numpy(), alone.var.numpy()
    for h in range(5):
        a, b = precision[0, h], shift[0, h]
        own = np.linspace(-1, 1, 3) + mean[2, h]
        # log of the factor as a function of u_2, a parabola: sums over the other two by quadrature
        x, weight = np.polynomial.hermite_e.hermegauss(40)
        one, two = (mean[c, h] + np.sqrt(spread[c, h]) * x for c in (0, 1))
        y = (own[:, None, None] + one[None, :, None] + two[None, None]) / 3
        log_f = np.log(np.einsum("kij,i,j->k", np.exp(y * (b - a * y / 2)), weight, weight))
        parabola = np.polyfit(own, log_f, 2)
        message = Gaussian(*map(tf.constant, (-2 * parabola[0], parabola[1])))
        unit = tanh(tf.constant(w[2, h]), tf.constant(var[2, h]), message)
        assert got.gradient[2, h] == pytest.approx(float(unit.gradient), abs=1e-8)
        assert got.curvature[2, h] == pytest.approx(float(unit.curvature), abs=1e-7)


def test_without_variance_messages_are_the_gradient_of_pooling():
    w, _, precision, shift = cases()
    neurons = w.shape[1]
    got = backward(w, np.full_like(w, 1e-10), precision, shift)

    def factor(z):
        u = np.tanh(z)
        bags = [u[BAG == b] for b in (0, 1, 3)]
        y = np.array([np.concatenate([b.mean(0), b.max(0)]) for b in bags])
        a, b = precision[[0, 1, 3]], shift[[0, 1, 3]]
        both = y * (b - a * y / 2)
        return both[:, :neurons].sum(0) + both[:, neurons:].sum(0)

    for c in range(len(BAG)):
        step = np.zeros_like(w)
        step[c] = 1e-6
        slope = (factor(w + step) - factor(w - step)) / 2e-6
        assert_allclose(got.gradient[c], slope, rtol=1e-4, atol=1e-5)


def test_empty_bags_and_padding_say_nothing_and_float32_follows():
    numbers = cases(1)
    w, var = (np.pad(a, [(0, 2), (0, 0)], constant_values=9.0) for a in numbers[:2])
    member = tf.constant(np.pad(MEMBER, [(0, 0), (0, 2)]))
    above = Gaussian(tf.constant(numbers[2]), tf.constant(numbers[3]))
    more = pooling.backward(tf.constant(w), tf.constant(var), member, above)
    got = backward(*numbers)
    assert_allclose(more.gradient[:6], got.gradient, atol=1e-12)
    assert_allclose(more.curvature[:6], got.curvature, atol=1e-12)
    assert not more.gradient[6:].numpy().any() and not more.curvature[6:].numpy().any()
    mean, spread = forward(*numbers[:2])
    assert not mean[2].any() and not spread[2].any()
    single = backward(*numbers, tf.float32)
    for one, two in zip(single, got, strict=True):
        assert np.isfinite(one).all()
        assert np.abs(one - two).max() < 3e-4


def test_extremes_are_finite():
    rng = np.random.default_rng(2)
    n = 300
    w = rng.choice([-1, 1], (6, n)) * 10 ** rng.uniform(-4, 3, (6, n))
    var = 10 ** rng.uniform(-10, 6, (6, n))
    precision, shift = 10 ** rng.uniform(-6, 6, (4, 2 * n)), rng.normal(0, 100, (4, 2 * n))
    for dtype in (tf.float32, tf.float64):
        for value in backward(w, var, precision, shift, dtype):
            assert np.isfinite(value).all()
