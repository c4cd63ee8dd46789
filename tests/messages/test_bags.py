"""The network on bags: backpropagation without uncertainty, empty bags, the order of instances."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from emtdamp.messages.activations import tanh
from emtdamp.messages.bags import BagNetwork
from emtdamp.messages.damp import Batch
from emtdamp.messages.likelihoods import ProbitProduct

NETWORK = BagNetwork(tanh, ProbitProduct(nodes=33), capacity=7)
SHAPES = [(4, 3), (1, 6), (7, 3), (4, 2)]
LENGTHS = (3, 0, 1, 2)


def bags(seed=0):
    rng = np.random.default_rng(seed)
    x = np.zeros((4, 3, 4))
    for b, n in enumerate(LENGTHS):
        x[b, :n] = np.pad(rng.normal(size=(n, 3)), [(0, 0), (0, 1)], constant_values=1.0)
    return x


def weights(var, seed=1):
    rng = np.random.default_rng(seed)
    means = [tf.constant(rng.normal(size=shape) / 2) for shape in SHAPES]
    return [(m, var * tf.ones_like(m)) for m in means]


def batch(x, weight=(1.0, 2.0, 1.0, 1.0)):
    return Batch(tf.constant(x), tf.constant([0, 1, 1, 0]), tf.constant(weight, tf.float64))


def plain(means, x):
    """Outputs of the network of these weights, bag by bag."""
    rows = []
    for b, n in enumerate(LENGTHS):
        h = tf.tanh(tf.constant(x[b, :n]) @ means[0])
        u = tf.concat([tf.reduce_mean(h, 0), tf.reduce_max(h, 0)], 0) if n else means[1][0]
        rows.append(tf.concat([u, tf.ones([1], u.dtype)], 0))
    u = tf.tanh(tf.stack(rows) @ means[2])
    return tf.pad(u, [[0, 0], [0, 1]], constant_values=1.0) @ means[3]


def test_without_uncertainty_the_messages_are_backpropagation():
    x, some = bags(), weights(1e-12)
    noise = tf.constant(0.7, tf.float64)
    result = NETWORK.message_pass(some, batch(x), noise)
    means = [m for m, _ in some]
    with tf.GradientTape() as tape:
        tape.watch(means)
        z = plain(means, x)
        tiny = tf.fill(tf.shape(z), tf.constant(1e-8, tf.float64))
        evidence = NETWORK.likelihood(z, tiny, batch(x).y, noise).log_partition
        total = tf.reduce_sum(batch(x).weight * evidence)
    for message, slope in zip(result.messages, tape.gradient(total, means), strict=True):
        assert_allclose(message.gradient, slope, rtol=1e-3, atol=1e-4)
        assert (message.precision.numpy() >= 0).all()


def test_predicted_moments_are_those_of_drawn_networks():
    x, some = bags(), weights(0.01)
    mean, var = NETWORK.propagate(some, tf.constant(x))
    rng = np.random.default_rng(2)
    drawn = np.array(
        [
            plain([m + s**0.5 * rng.standard_normal(m.shape) for m, s in some], x).numpy()
            for _ in range(1500)
        ]
    )
    assert_allclose(mean, drawn.mean(0), atol=5 * drawn.std(0).max() / 1500**0.5)
    # instances of a bag share their weights: what is taken for independent is not quite
    assert_allclose(var, drawn.var(0), rtol=0.35)


def test_only_empty_bags_inform_the_default_and_they_predict_with_it():
    some = weights(0.02)
    with_empty = NETWORK.message_pass(some, batch(bags()), tf.constant(0.7, tf.float64))
    assert (with_empty.messages[1].gradient.numpy() != 0).all()
    data = batch(bags(), weight=(1.0, 0.0, 1.0, 1.0))
    without = NETWORK.message_pass(some, data, tf.constant(0.7, tf.float64))
    for part in without.messages[1]:
        assert not part.numpy().any()
    moved = [*some]
    moved[1] = (some[1][0] + 1.0, some[1][1])
    before, after = (NETWORK.propagate(each, tf.constant(bags()))[0] for each in (some, moved))
    changed = np.abs(after - before).max(1) > 0
    assert changed.tolist() == [False, True, False, False]


def test_bags_that_are_all_empty_have_messages():
    x, some, noise = 0 * bags(), weights(0.02), tf.constant(0.7, tf.float64)
    whole = NETWORK.message_pass(some, batch(x), noise)
    for network in (NETWORK.sized(x), NETWORK.sized(bags())):
        found = network.message_pass(some, batch(x), noise)
        for ours, theirs in zip(found.messages, whole.messages, strict=True):
            assert_allclose(ours.gradient, theirs.gradient)


def test_the_order_of_instances_and_empty_places_change_nothing():
    x, some = bags(), weights(0.02)
    turned = x[:, ::-1]
    noise = tf.constant(0.7, tf.float64)
    one, two = (NETWORK.message_pass(some, batch(each), noise) for each in (x, turned))
    for first, second in zip(one.messages, two.messages, strict=True):
        assert_allclose(first.gradient, second.gradient, atol=1e-12)
        assert_allclose(first.precision, second.precision, atol=1e-12)


@pytest.mark.slow
def test_a_bag_with_one_strange_instance_is_found():
    """Trained: a bag is of class 1 where one instance has a first input above 1."""
    from emtdamp.training import single_weights

    rng = np.random.default_rng(0)
    x = np.pad(rng.normal(size=(400, 3, 3)), [(0, 0), (0, 0), (0, 1)], constant_values=1.0)
    y = (x[:, :, 0].max(1) > 1).astype(np.int32)
    network = BagNetwork(tanh, ProbitProduct())
    fitted = single_weights.train(
        network, tuple(SHAPES), x, y, 20, single_weights.Settings(epochs=100)
    )
    assert fitted.parameters == 20
    assert (fitted.log_probabilities(x).argmax(1) == y).mean() > 0.9
