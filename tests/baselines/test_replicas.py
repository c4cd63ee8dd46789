"""Networks side by side: each as if alone, with its own rows and strength; pruning by rank."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from emtdamp.baselines import replicas
from emtdamp.baselines.replicas import Dense, Trained
from emtdamp.baselines.shrinkage import L1, IvonARD, VadamARD
from emtdamp.errors import EmtdampError, UsageError

NETWORK = Dense((3, 4, 2))


def data(rows=60):
    """Two classes that the first input tells apart, the same for both replicas."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    return np.stack([x, x]), (x[:, 0] > 0).astype(int)


def test_logits_are_those_of_keras():
    x, _ = data()
    theta = replicas.start(NETWORK, 2, np.random.default_rng(1))
    theta += 0.1  # biases too
    got = replicas.log_probabilities(NETWORK, theta, x, np.arange(5))
    for replica in range(2):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"),
                                  keras.layers.Dense(2)])  # fmt: skip
        arrays = [part.numpy()[replica] for part in replicas.unpacked(theta, NETWORK.shapes)]
        model.set_weights([part for w in arrays for part in (w[:-1], w[-1])])
        expected = tf.nn.log_softmax(model(x[replica, :5])).numpy()
        assert_allclose(got[replica], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "strengths", "other"),
    [
        (L1(), [1e-3, 0.1], 0.05),
        (VadamARD(rate=0.02, hold=100), [0.1, 3.0], 1.0),
        (IvonARD(hold=100), [0.1, 3.0], 1.0),
    ],
    ids=["L1", "Vadam", "IVON"],
)
def test_a_replica_learns_from_its_own_rows_with_its_own_strength(rule, strengths, other):
    x, y = data()
    rows = [np.arange(40), np.arange(40)]

    def trained(strengths, labels=y):
        how = (np.array(strengths), 400, 2, 0)
        return replicas.train(NETWORK, rule, x, labels, rows, *how, calls=4)

    changed = np.where(np.arange(60) < 40, y, 1 - y)  # rows that nobody learns from
    one, same = trained(strengths), trained([strengths[0], other], changed)
    assert_allclose(one.mean[0], same.mean[0], atol=1e-5)
    assert np.abs(one.mean[1] - same.mean[1]).max() > 1e-3
    weaker, stronger = np.abs(one.mean).sum(axis=1)
    assert stronger < 0.9 * weaker
    log_p = replicas.log_probabilities(NETWORK, one.mean, x, np.arange(40))
    assert np.mean(log_p[0].argmax(1) == y[:40]) > 0.9


def test_the_penaltys_step_is_keras_adam_of_the_whole_objective():
    rule, strength, at = L1(), 0.3, np.array([[0.5, -1.0, 0.0]], np.float32)
    state = rule.init(tf.constant(at), tf.ones([1, 1]), strength)
    variable, optimizer = tf.Variable(at), keras.optimizers.Adam(0.01)
    for gradient in np.random.default_rng(0).normal(size=(4, 1, 3)).astype(np.float32):
        optimizer.apply([gradient + strength * np.sign(variable.numpy())], [variable])
        state = rule.step(state, tf.constant(gradient), None, None, strength, 0.01)
        assert_allclose(state.mean, variable, atol=1e-6)


def test_minibatches_are_permutations_of_a_replicas_rows():
    rows = [np.arange(10), np.array([3, 5, 7])]
    order = replicas.orders(rows, batch=2, steps=15, rng=np.random.default_rng(0))
    assert order.shape == (15, 2, 2)
    assert_array_equal(np.bincount(order[:, 0].ravel()), np.full(10, 3))
    assert_array_equal(np.unique(order[:, 1]), rows[1])
    assert (np.bincount(order[:, 1].ravel())[rows[1]] == 10).all()


def test_pruning_by_rank_and_by_threshold():
    found = Trained(np.array([[3.0, -2.0, 0.5, 0.0]]), np.array([[4.0, 0.25, 1.0, 1.0]]))
    assert found.pruned(1).tolist() == [[0, -2, 0, 0]]  # 1.5, 4, 0.5 and 0 standard deviations
    assert found.pruned(2).tolist() == [[3, -2, 0, 0]]
    assert found.left(1.0).tolist() == [2]
    assert found.over(2.0).tolist() == [[0, -2, 0, 0]]
    with pytest.raises(UsageError, match="5 weights to keep of 4"):
        found.pruned(5)


def test_wrong_settings_are_named():
    x, y = data()
    rows, strengths = [np.arange(9)] * 2, np.ones(2)
    with pytest.raises(UsageError, match="activation='gelu'"):
        Dense((3, 2), "gelu")
    with pytest.raises(UsageError, match="none may be empty"):
        replicas.train(NETWORK, L1(), x, y, [rows[0], rows[0][:0]], strengths, 10, 2, 0)
    with pytest.raises(UsageError, match="2 lists of rows, 1 strengths"):
        replicas.train(NETWORK, L1(), x, y, rows, strengths[:1], 10, 2, 0)
    with pytest.raises(UsageError, match="steps=7; give a multiple of calls=2"):
        replicas.train(NETWORK, L1(), x, y, rows, strengths, 7, 2, 0, calls=2)
    with pytest.raises(EmtdampError, match="no longer finite; use a rate below"):
        replicas.train(NETWORK, L1(rate=1e38), x, y, rows, strengths, 4, 2, 0, calls=2)
