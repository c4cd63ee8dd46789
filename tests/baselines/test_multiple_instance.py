"""Pooling of ragged bags against NumPy, bag by bag; parameter counts; empty bags."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from emtdamp import datasets
from emtdamp.baselines import replicas
from emtdamp.baselines.multiple_instance import Bags, MeanMax, labels_of, pack
from emtdamp.errors import UsageError

SMALL = MeanMax(inputs=3, instance=4, hidden=5)


def problem(seed=0):
    """Six bags of which the third and the last are empty, and two networks."""
    rng = np.random.default_rng(seed)
    bag = np.array([0, 0, 0, 1, 3, 3, 4, 4, 4, 4])
    x = rng.normal(size=(len(bag), 3)).astype(np.float32)
    theta = rng.normal(size=(2, replicas.size(SMALL))).astype(np.float32)
    return x, bag, theta


def by_hand(theta, instances):
    """The outputs of one network for one bag (n, 3)."""
    first, default, second, last = (
        part.numpy()[0] for part in replicas.unpacked(theta[None], SMALL.shapes)
    )
    h = np.tanh(instances @ first[:-1] + first[-1])
    pooled = np.concatenate([h.mean(0), h.max(0)]) if len(h) else default
    return np.tanh(pooled @ second[:-1] + second[-1]) @ last[:-1] + last[-1]


def test_the_slides_network_has_as_many_parameters_as_they_say():
    musk = MeanMax(inputs=166)
    defaults = int(np.prod(musk.shapes[1]))
    assert replicas.size(musk) == 1922
    assert replicas.size(musk) - defaults == 1902
    assert replicas.size(replicas.Dense((4, 8, 3))) == 67


@pytest.mark.parametrize("rows", [[[0, 1, 2], [3, 4, 5]], [[4, 2, 2], [0, 3, 4]]])
def test_bags_are_pooled_as_one_by_one(rows):
    x, bag, theta = problem()
    data = SMALL.prepared(pack(x, bag, bags=6), np.array(rows))
    got = SMALL.logits(tf.constant(theta), data, tf.constant(rows))
    for replica, own in enumerate(rows):
        for place, number in enumerate(own):
            expected = by_hand(theta[replica], x[bag == number])
            assert_allclose(got[replica, place], expected, atol=2e-6)


def test_the_order_of_instances_is_free_and_replicas_may_have_their_own_scales():
    x, bag, theta = problem()
    order = np.random.default_rng(1).permutation(len(bag))
    rows = tf.constant([[0, 3], [4, 5]])
    one = SMALL.logits(tf.constant(theta), pack(x, bag, 6), rows)
    other = SMALL.logits(tf.constant(theta), pack(x[order], bag[order], 6), rows)
    assert_allclose(one, other, atol=2e-6)
    packed = pack(x, bag, 6)
    both = packed._replace(x=np.stack([packed.x, 2 * packed.x]))
    scaled = SMALL.logits(tf.constant(theta), both, rows)
    assert_allclose(scaled[0], one[0], atol=2e-6)
    twice = SMALL.logits(tf.constant(theta), packed._replace(x=2 * packed.x), rows)
    assert_allclose(scaled[1], twice[1], atol=2e-6)


def test_gradients_are_finite_differences():
    x, bag, theta = problem()
    data, rows = pack(x, bag, 6), tf.constant([[0, 2, 4], [5, 3, 1]])

    def total(values):
        return tf.reduce_sum(tf.sin(SMALL.logits(values, data, rows)))

    with tf.GradientTape() as tape:
        at = tf.constant(theta)
        tape.watch(at)
        value = total(at)
    gradient = tape.gradient(value, at).numpy()
    defaults = slice(16, 24)
    assert (gradient[:, defaults] != 0).all()  # there are empty bags
    for position in (0, 5, 17, 30, replicas.size(SMALL) - 1):
        change = np.zeros_like(theta)
        change[:, position] = 3e-3
        slope = (total(theta + change) - total(theta - change)) / 6e-3
        assert_allclose(slope, gradient[:, position].sum(), rtol=0.03, atol=3e-3)


def test_what_a_default_learns_comes_from_empty_bags_only():
    x, bag, _ = problem()
    data = pack(x, bag, 6)
    from emtdamp.baselines.shrinkage import L1

    rows = [np.array([0, 1, 3, 4]), np.array([0, 2, 4, 5])]
    trained = replicas.train(SMALL, L1(), data, np.array([0, 1, 1, 0, 1, 1]), rows,
                             np.zeros(2), 20, 2, seed=0, calls=2)  # fmt: skip
    assert (trained.mean[0, 16:24] == 0).all() and (trained.mean[1, 16:24] != 0).all()
    probabilities = replicas.log_probabilities(SMALL, trained.mean, data, np.arange(6))
    assert np.isfinite(probabilities).all()
    assert_allclose(np.exp(probabilities).sum(2), 1, rtol=1e-5)


def test_musk_in_bags():
    musk = datasets.load_musk1()
    data = pack(musk.features, musk.bag - 1)
    labels = labels_of(musk.bag - 1, musk.label)
    assert data.length.sum() == 476 and len(data.length) == len(labels) == 92
    assert labels.sum() == 47 and data.x.shape == (476, 166)


def test_wrong_bags_are_refused():
    x = np.ones((3, 2))
    for arguments, error, text in [
        ((x, [0, 1]), ValueError, "inconsistent numbers of samples"),
        ((x, [0, -1, 0]), UsageError, "bag -1: give integers from 0 to 0"),
        ((x, [0, 5, 0], 3), UsageError, "bag 5: give integers from 0 to 2"),
        ((x, [0.0, 1.0, 0.0]), UsageError, "bag has dtype float64"),
        ((x * np.nan, [0, 1, 0]), ValueError, "x contains NaN"),
        ((x[0], [0, 1]), ValueError, "Expected 2D array"),
    ]:
        with pytest.raises(error, match=text):
            pack(*arguments)
    with pytest.raises(UsageError, match="bag 1 has instances with different labels"):
        labels_of([0, 1, 1], [0, 1, 0])
    with pytest.raises(UsageError, match="bag 1 has no instance"):
        labels_of([0, 2], [0, 1])
    with pytest.raises(UsageError, match="activation='gelu'; use one of relu, tanh"):
        MeanMax(3, activation="gelu")
    assert isinstance(pack(x, [0, 0, 2]), Bags)
