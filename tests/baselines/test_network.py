"""Networks that predict by drawing weights: an average of softmaxes, the same at each call."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from emtdamp.baselines.network import PointNetwork, SampledNetwork, keep_largest, signal_to_noise
from emtdamp.errors import UsageError
from emtdamp.network import Units

SIZES = (5, 6, 4, 3)
ACTIVE = tuple(np.arange(n) % 3 != 0 for n in SIZES[:-1])
X = np.random.default_rng(1).normal(size=(20, 5))


def draw(classes=True, spread=0.1, **settings):
    rng = np.random.default_rng(0)
    shapes = [(n + 1, j) for n, j in pairwise(SIZES)]
    mean = [rng.normal(size=shape) / 2 for shape in shapes]
    var = [spread * rng.uniform(0.5, 1.5, shape) for shape in shapes]
    return SampledNetwork.of(mean, var, ACTIVE, "tanh", classes, **settings)


def test_probabilities_are_the_average_of_the_networks_drawn():
    network = draw(samples=7, seed=3)
    z = network.drawn(X)
    assert z.shape == (7, 20, 3)
    assert_allclose(np.exp(network.log_probabilities(X)), softmax(z, axis=2).mean(0), rtol=1e-12)
    mean, var = network.propagate(X)
    assert_allclose(mean, z.mean(0))
    assert_allclose(var, z.var(0))
    assert_array_equal(network.log_probabilities(X), network.log_probabilities(X))
    other = replace(network, seed=4)
    assert np.abs(other.log_probabilities(X) - network.log_probabilities(X)).max() > 1e-3


def test_one_layer_has_the_moments_of_its_weights():
    rng = np.random.default_rng(0)
    mean, var = rng.normal(size=(6, 3)), rng.uniform(0.1, 1, (6, 3))
    network = SampledNetwork.of([mean], [var], (ACTIVE[0],), "relu", False, samples=20_000)
    on = np.append(ACTIVE[0], True)
    u = np.pad(X, [(0, 0), (0, 1)], constant_values=1.0) * on
    got, spread = network.propagate(X)
    assert_allclose(got, u @ mean, atol=5 * np.sqrt((u**2 @ var).max() / 20_000))
    assert_allclose(spread, u**2 @ var, rtol=0.1)


def test_pruned_it_draws_the_same_networks():
    network = draw()
    small = network.prune()
    assert [m.shape for m in small.mean] == [(4, 4), (5, 2), (3, 3)]
    assert small.parameters == network.parameters == 4 * 4 + 5 * 2 + 3 * 3
    assert_array_equal(small.log_probabilities(X), network.log_probabilities(X))


def test_without_variance_it_is_the_network_of_its_means():
    network = draw(spread=0.0)
    point = PointNetwork.of(network.mean, ACTIVE, "tanh", True)
    assert_allclose(network.log_probabilities(X), point.log_probabilities(X), atol=1e-12)
    keras = draw().to_keras()
    assert_allclose(keras(X).numpy(), np.exp(point.log_probabilities(X)), atol=1e-5)


def test_units_of_a_regression():
    network = draw(classes=False)
    raw = replace(network, x_units=Units(2.0, 3.0), y_units=Units(-1.0, 10.0))
    for got, expected in zip(raw.propagate(3 * X + 2), network.propagate(X), strict=True):
        scale = 100 if (expected >= 0).all() else 10
        assert_allclose(got, scale * expected - (scale == 10), rtol=1e-5, atol=1e-5)
    assert raw.noise_variance == 100
    for each in (network, PointNetwork.of(network.mean, ACTIVE, "tanh", False)):
        with pytest.raises(UsageError, match="log_probabilities needs classes"):
            each.log_probabilities(X)


def test_groups_are_ranked_by_their_signal_to_noise():
    mean = np.array([[3.0, 4.0], [1.0, 0.0], [6.0, 8.0], [0.0, 0.0]])
    var = np.array([[4.0, 0.0], [0.01, 0.0], [400.0, 0.0], [1.0, 1.0]])
    assert_allclose(signal_to_noise(mean, var), [2.5, 10, 0.5, 0])
    first = np.ones((3, 4))
    active = (np.ones(2, bool), np.ones(4, bool))
    layers = [first, np.vstack([mean, [[9.0, 9.0]]])], [first, np.vstack([var, [[1.0, 1.0]]])]
    kept = keep_largest(SampledNetwork.of(*layers, active, "relu", True), [2, 2])
    assert kept.active[1].tolist() == [True, True, False, False]
    assert (kept.var[1][2:4] == 0).all() and (kept.mean[1][2:4] == 0).all()
    point = keep_largest(PointNetwork.of(layers[0], active, "relu", True), [2, 2])
    assert point.active[1].tolist() == [True, False, True, False]


def test_samples_are_a_number_of_networks():
    with pytest.raises(UsageError, match="samples=0; give an integer of at least 1"):
        draw(samples=0).propagate(X)
