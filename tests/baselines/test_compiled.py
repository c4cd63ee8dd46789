"""The compiled step: its parts against closed forms, and against Keras's own training."""

import keras
import numpy as np
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from emtdamp.baselines.compiled import Program, largest, program, shrink

SIZES = (4, 6, 3)


def data(rows=20):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(rows, SIZES[0])), tf.float32)
    return x, tf.constant(rng.integers(0, SIZES[-1], rows), tf.int32)


def run(network, x, y, steps, keep=SIZES[:-1], penalty=0.0, rate=0.01):
    """`steps` steps on all rows from the weights of seed 1."""
    network.start(np.random.default_rng(1))
    order = tf.constant(np.tile(np.arange(len(x)), (steps, 1)), tf.int32)
    shape = (steps, len(keep))
    network.epoch(
        x,
        y,
        order,
        tf.fill([steps], rate),
        tf.fill(shape, penalty),
        tf.constant(np.broadcast_to(keep, shape), tf.int32),
    )
    return network.weights()


def test_the_proximal_step_is_the_minimum_it_stands_for():
    rng = np.random.default_rng(0)
    u, threshold = rng.normal(size=(3, 5)), 0.4
    got = shrink(tf.constant(u), threshold).numpy()

    def objective(w, row):
        return 0.5 * ((w - row) ** 2).sum() + threshold * 5**0.5 * np.linalg.norm(w)

    for row, found in zip(u, got, strict=True):
        best = minimize(objective, row, args=(row,), tol=1e-12).x
        assert_allclose(found, best, atol=1e-5)
    assert_array_equal(shrink(tf.constant(0.1 * u), threshold).numpy(), 0 * u)


def test_the_largest_of_those_that_are_left():
    norms, mask = tf.constant([3.0, 1.0, 2.0, 9.0, 0.0]), tf.constant([1.0, 1.0, 1.0, 0.0, 1.0])
    assert largest(norms, mask, tf.constant(2)).numpy().tolist() == [1, 0, 1, 0, 0]
    assert largest(tf.zeros([3]), tf.ones([3]), tf.constant(2)).numpy().tolist() == [1, 1, 0]


def test_without_pruning_it_is_keras_fit():
    x, y = data()
    network = Program(SIZES, "relu", "classes", (False, False))
    got = run(network, x, y, steps=5)
    network.start(np.random.default_rng(1))
    model = network.model
    model.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(x, y, batch_size=len(x), epochs=5, shuffle=False, verbose=0)
    for ours, theirs in zip(got, network.weights(), strict=True):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_sensitivities_are_differences_of_the_loss_in_the_mask():
    x, y = data()
    network = program(SIZES, "tanh", "classes", (True, True))
    network.start(np.random.default_rng(2))
    scores = [score.numpy() for score in network.sensitivities(x, y)]
    weights = [w.astype(float) for w in network.weights()]

    def loss(masks):
        u = np.pad(x.numpy() * masks[0], [(0, 0), (0, 1)], constant_values=1.0)
        u = np.tanh(u @ weights[0]) * masks[1]
        z = np.pad(u, [(0, 0), (0, 1)], constant_values=1.0) @ weights[1]
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        return -log_p[np.arange(len(z)), y.numpy()].mean()

    for number, score in enumerate(scores):
        for group, value in enumerate(score):
            ends = []
            for step in (1e-5, -1e-5):
                masks = [np.ones(n) for n in SIZES[:-1]]
                masks[number][group] += step
                ends.append(loss(masks))
            assert_allclose(value, (ends[0] - ends[1]) / 2e-5, atol=1e-5)


def test_dropped_groups_are_zero_in_and_out_after_each_step():
    x, y = data()
    network = program(SIZES, "relu", "classes", (True, True))
    first, second = run(network, x, y, steps=3, keep=(2, 4))
    inputs, hidden = (mask.numpy() > 0 for mask in network.masks)
    assert inputs.sum() == 2 and hidden.sum() == 4
    assert (first[:-1][~inputs] == 0).all() and (first[:, ~hidden] == 0).all()
    assert (second[:-1][~hidden] == 0).all()
    assert (first[:-1][inputs][:, hidden] != 0).all() and (second[:-1][hidden] != 0).all()


def test_a_strong_penalty_empties_groups():
    x, y = data()
    network = program(SIZES, "relu", "classes", (True, True))
    _, free = run(network, x, y, steps=50)
    _, held = run(network, x, y, steps=50, penalty=3.0)
    norms = np.linalg.norm(held[:-1], axis=1)
    assert (norms == 0).any() and norms.sum() < np.linalg.norm(free[:-1], axis=1).sum()
