"""Module A: exact where the model is linear, backpropagation where nothing is uncertain."""

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.messages import damp
from emtdamp.messages.activations import relu, tanh
from emtdamp.messages.damp import Batch, Layer, Network, Rates, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct

F64 = tf.float64
LINEAR = Network(relu, GaussianNoise())


def fresh(shapes, slab=1.0, precision=0.0, noise=1.0, seed=None, dtype=F64):
    rng, layers = np.random.default_rng(seed), []
    for shape in shapes:
        zero = tf.zeros(shape, dtype)
        mean = (
            zero if seed is None else tf.constant(rng.normal(size=shape) / shape[0] ** 0.5, dtype)
        )
        layers.append(Layer(mean, zero + precision, zero, Gaussian(zero + 1 / slab, zero)))
    return State(tuple(layers), tf.constant(noise, dtype), tf.zeros([], dtype))


def as_batch(x, y, dtype=F64):
    y = tf.constant(y) if np.asarray(y).dtype.kind == "i" else tf.constant(y, dtype)
    return Batch(tf.constant(x, dtype), y, tf.ones([len(x)], dtype))


def regression(correlation=0.0, n=200, inputs=50, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    own, shared = rng.normal(size=(n, inputs)), rng.normal(size=(n, 1))
    x = own * np.sqrt(1 - correlation) + shared * np.sqrt(correlation)
    truth = rng.normal(size=inputs)
    y = x @ truth + noise**0.5 * rng.normal(size=n)
    cov = np.linalg.inv(x.T @ x / noise + np.eye(inputs))
    return x, y, truth, cov @ x.T @ y / noise, cov


def amp(x, y, passes, damping, noise=0.5):
    state = fresh([(x.shape[1], 1)], noise=noise)
    state, _ = damp.step_window(LINEAR, state, as_batch(x, y[:, None]), Rates(1.0), passes, damping)
    layer = state.layers[0]
    return layer.mean.numpy()[:, 0], 1 / (layer.precision.numpy()[:, 0] + 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_layer_is_bayesian_linear_regression(seed):
    x, y, _, mean, cov = regression(seed=seed)
    found, var = amp(x, y, passes=60, damping=0.2)
    np.testing.assert_allclose(found, mean, atol=1e-6)
    ratio = var / np.diag(cov)
    assert ratio.mean() == pytest.approx(1, abs=0.05)
    assert np.abs(ratio - 1).max() < 0.25


def test_correlated_designs_diverge_and_damping_cures_them():
    x, y, _, mean, _ = regression(correlation=0.3)
    diverged, _ = amp(x, y, passes=60, damping=0.0)
    assert not np.abs(diverged).max() < 1e6
    half, _ = amp(x, y, passes=60, damping=0.5)
    assert not np.abs(half).max() < 1e6
    # 0.97 is the damping that the largest eigenvalue of x'x (15 n, against 2.25 n at random) asks
    cured, var = amp(x, y, passes=1200, damping=0.97)
    np.testing.assert_allclose(cured, mean, atol=1e-4)
    # the means are right, the variances are not: AMP takes the design for a random one
    _, _, _, _, cov = regression(correlation=0.3)
    assert (var / np.diag(cov)).mean() < 0.9


def test_both_forms_have_the_same_fixed_point():
    x, y, *_ = regression(n=60, inputs=8)
    batch, window = as_batch(x, y[:, None]), 5.0
    keep = 1 - 1 / window
    one = two = fresh([(8, 1)], noise=0.5)
    # the window form's mean before a minibatch has window - 1 of them behind it; the decoupled
    # form's own window of the precision (here 3) is free
    rates = Rates(1 - 1 / 3, gain=0.5, effective_minibatches=window - 1, momentum=0.5)
    for _ in range(150):
        one, _ = damp.step_window(LINEAR, one, batch, Rates(keep))
        two, _ = damp.step_decoupled(LINEAR, two, batch, rates)
    kept, mean = keep * one.layers[0].precision, two.layers[0].mean
    before = (kept + keep) * one.layers[0].mean / (kept + 1)  # s gamma h, h = (Lam + P) m
    np.testing.assert_allclose(before, mean, atol=1e-9)
    width = (window - 1) / two.count
    np.testing.assert_allclose(kept, width * two.layers[0].precision, rtol=1e-9)
    # and that point is ridge regression on the data counted window - 1 times, noise v + V
    s = 1 / (kept[:, 0].numpy() + 1)
    v = 0.5 + x**2 @ s
    count = window - 1
    expected = np.linalg.solve(count * x.T @ (x / v[:, None]) + np.eye(8), count * x.T @ (y / v))
    np.testing.assert_allclose(mean[:, 0], expected, atol=1e-7)


@pytest.mark.parametrize("activation", [relu, tanh])
@pytest.mark.parametrize("likelihood", [GaussianNoise(), ProbitProduct(nodes=33)])
def test_without_uncertainty_the_messages_are_backpropagation(activation, likelihood):
    rng = np.random.default_rng(0)
    network = Network(activation, likelihood)
    shapes = [(6, 5), (6, 4), (5, 3)]
    means = [tf.constant(rng.normal(size=shape) / 2) for shape in shapes]
    x = np.pad(rng.normal(size=(7, 5)), [(0, 0), (0, 1)], constant_values=1.0)
    y = rng.normal(size=(7, 3)) if isinstance(likelihood, GaussianNoise) else np.arange(7) % 3
    batch = as_batch(x, y)
    weights = [(m, tf.zeros_like(m) + 1e-12) for m in means]
    result = damp.message_pass(network, weights, batch, tf.constant(0.7, F64))
    with tf.GradientTape() as tape:
        tape.watch(means)
        u = batch.x
        for m in means[:-1]:
            u = tf.nn.relu(u @ m) if activation is relu else tf.tanh(u @ m)
            u = tf.pad(u, [[0, 0], [0, 1]], constant_values=1.0)
        z = u @ means[-1]
        tiny = tf.fill(tf.shape(z), tf.constant(1e-8, F64))
        evidence = tf.reduce_sum(likelihood(z, tiny, batch.y, tf.constant(0.7, F64)).log_partition)
    for message, slope in zip(result.messages, tape.gradient(evidence, means), strict=True):
        np.testing.assert_allclose(message.gradient, slope, rtol=1e-3, atol=1e-3)


def problem(likelihood, n=40, dtype=F64):
    rng = np.random.default_rng(1)
    x = np.pad(rng.normal(size=(n, 6)), [(0, 0), (0, 1)], constant_values=1.0)
    y = rng.normal(size=(n, 3)) if isinstance(likelihood, GaussianNoise) else np.arange(n) % 3
    state = fresh([(7, 8), (9, 6), (7, 3)], slab=0.5, precision=5.0, seed=2, dtype=dtype)
    return state, x, y


@pytest.mark.parametrize("likelihood", [GaussianNoise(), ProbitProduct()])
@pytest.mark.parametrize("form", ["window", "decoupled"])
def test_order_of_samples_changes_nothing(likelihood, form):
    network = Network(relu, likelihood)
    state, x, y = problem(likelihood, dtype=tf.float32)
    order = np.random.default_rng(3).permutation(len(x))

    def step(x, y):
        batch = as_batch(x, y, tf.float32)
        if form == "window":
            return damp.step_window(network, state, batch, Rates(0.9), 3, 0.7)
        return damp.step_decoupled(network, state, batch, Rates(0.9, 1.0, 1.0, 10.0, 0.8, 0.2))

    (one, info), (two, _) = step(x, y), step(x[order], y[order])
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert info.healthy.numpy().all() and np.isfinite(info.log_partition)


def test_samples_of_weight_zero_do_not_count():
    network = Network(relu, GaussianNoise())
    state, x, y = problem(network.likelihood)
    whole = damp.step_window(network, state, as_batch(x[:30], y[:30]), Rates(0.9), 2, 0.5)
    padded = as_batch(x, y)._replace(weight=tf.constant([1.0] * 30 + [0.0] * 10, F64))
    again = damp.step_window(network, state, padded, Rates(0.9), 2, 0.5)
    for a, b in zip(tf.nest.flatten(whole), tf.nest.flatten(again), strict=True):
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=1e-10, atol=1e-12)


def test_more_data_narrow_every_weight():
    network = Network(relu, GaussianNoise())
    state, x, y = problem(network.likelihood)
    for _ in range(3):
        new, _ = damp.step_window(network, state, as_batch(x, y), Rates(1.0))
        for a, b in zip(new.layers, state.layers, strict=True):
            assert (a.precision.numpy() >= b.precision.numpy()).all()
        state = new


NUMBERS = ["x", "y", "mean", "top mean"]  # a weight of infinite precision is known


@pytest.mark.parametrize("spoilt", [*NUMBERS, "precision", "top precision"])
def test_a_nan_is_seen_wherever_it_is(spoilt):
    assert_seen(spoilt, np.nan)


@pytest.mark.parametrize("spoilt", NUMBERS)
def test_an_infinity_is_seen_wherever_it_is(spoilt):
    assert_seen(spoilt, np.inf)


def assert_seen(spoilt, value):
    network = Network(relu, GaussianNoise())
    state, x, y = problem(network.likelihood)
    assert damp.step_window(network, state, as_batch(x, y), Rates(1.0))[1].healthy
    if spoilt in "xy":
        {"x": x, "y": y}[spoilt][3, 1] = value
    else:
        number, name = -1 if "top" in spoilt else 0, spoilt.removeprefix("top ")
        array = getattr(state.layers[number], name).numpy()
        array[2, 0] = value
        layers = list(state.layers)
        layers[number] = layers[number]._replace(**{name: tf.constant(array)})
        state = state._replace(layers=tuple(layers))
    for step in (damp.step_window, damp.step_decoupled):
        assert not step(network, state, as_batch(x, y), Rates(1.0))[1].healthy
