"""The perceptron in NumPy: gradients against differences and Keras, steps, starts, bad input."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import expit, softmax

from emtdamp.baselines.mlp_numpy import ACTIVATIONS, MLP, PENALTIES, Settings
from emtdamp.errors import EmtdampError, UsageError

HEADS = [("cross_entropy", "softmax"), *(("squared_error", name) for name in ACTIVATIONS)]
CASES = list(itertools.product(HEADS, ACTIVATIONS, PENALTIES))
REGULARIZERS = {"none": lambda a: None, "l1": keras.regularizers.L1, "l2": keras.regularizers.L2}
KERAS_LOSSES = {
    "cross_entropy": keras.losses.CategoricalCrossentropy(dtype="float64"),
    "squared_error": keras.losses.MeanSquaredError(dtype="float64"),
}


def problem(rows=7, inputs=5, outputs=4, seed=3):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, inputs)), rng.dirichlet(np.ones(outputs), rows)
    return x, y


def network(head, activation, penalty, **more):
    loss, output = head
    given = {"hidden": (6, 3), "start": "gaussian", "scale": 0.7, "seed": 5, "dtype": "float64"}
    given |= {"alpha": 0.3, "activation": activation, "penalty": penalty}
    return MLP(Settings(loss=loss, output=output, **given | more), inputs=5, outputs=4)


def differences(model, x, y, h=1e-6):
    """Central differences of the loss by each parameter."""
    found = np.empty_like(model.theta)
    for i, value in enumerate(model.theta.copy()):
        ends = []
        for moved in (value + h, value - h):
            model.theta[i] = moved
            ends.append(model.loss(x, y))
        model.theta[i] = value
        found[i] = (ends[0] - ends[1]) / (2 * h)
    return found


def keras_gradient(settings, variables, x, y):
    """Outputs, loss and gradient of the same network by Keras's functions and TensorFlow's tape."""
    with tf.GradientTape() as tape:
        out, loss = tf.constant(x), tf.constant(0.0, "float64")
        names = [settings.activation] * len(settings.hidden) + [settings.output]
        for name, weights, bias in zip(names, variables[::2], variables[1::2], strict=True):
            out = keras.activations.get(name)(out @ weights + bias)
            if (regularizer := REGULARIZERS[settings.penalty](settings.alpha)) is not None:
                loss += regularizer(weights)
        loss += KERAS_LOSSES[settings.loss](y, out)
    return out, loss, tape.gradient(loss, variables)


def variables_of(model):
    return [tf.Variable(part) for layer in model.layers for part in layer]


def flat(tensors):
    return np.concatenate([np.ravel(each) for each in tensors])


def away_from_kinks(model, x):
    """No sum of a ReLU and no weight is so small that a difference would step over its kink."""
    sums = [before @ layer.weights + layer.bias
            for before, layer in zip(model.forward(x), model.layers, strict=False)]  # fmt: skip
    return min(np.abs(each).min() for each in [*sums, model.theta]) > 1e-4


@pytest.mark.parametrize(("head", "activation", "penalty"), CASES)
def test_gradient_is_that_of_the_loss(head, activation, penalty):
    model, (x, y) = network(head, activation, penalty), problem()
    assert away_from_kinks(model, x)
    loss, gradient = model.gradient(x, y)
    assert loss == model.loss(x, y)
    assert_allclose(gradient, differences(model, x, y), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("head", "activation", "penalty"), CASES)
def test_loss_and_gradient_are_keras(head, activation, penalty):
    model, (x, y) = network(head, activation, penalty), problem()
    out, loss, got = keras_gradient(model.settings, variables_of(model), x, y)
    assert_allclose(model.evaluate(x), out, rtol=1e-12)
    found, gradient = model.gradient(x, y)
    assert found == pytest.approx(float(loss), rel=1e-6)
    assert_allclose(gradient, flat(got), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_their_closed_forms_and_survive_large_sums(name):
    sums = np.array([[-2.0, 0.5, 1.0], [3.0, -1.0, 0.1]])
    closed = {
        "relu": np.where(sums > 0, sums, 0),
        "sigmoid": expit(sums),
        "softmax": softmax(sums, axis=1),
        "tanh": 2 * expit(2 * sums) - 1,
        "linear": sums,
    }
    value, back = ACTIVATIONS[name]
    assert_allclose(value(sums), closed[name], rtol=1e-12)
    large = value(1e4 * sums)  # a warning would fail the test
    assert np.isfinite(large).all() and np.isfinite(back(large, sums)).all()


def test_the_jacobian_of_the_softmax_is_the_one_in_the_books():
    p = softmax(np.array([[0.3, -1.0, 2.0]]), axis=1)
    jacobian = np.diag(p[0]) - np.outer(p[0], p[0])
    rows = [ACTIVATIONS["softmax"].back(p, unit[None])[0] for unit in np.eye(3)]
    assert_allclose(rows, jacobian, atol=1e-15)


def test_a_probability_of_zero_costs_much_and_no_infinity():
    model = MLP(Settings(hidden=(), dtype="float32"), 1, 2)
    model.layers[0].weights[:] = [[200.0, -200.0]]
    loss, gradient = model.gradient([[1.0]], [[0.0, 1.0]])
    assert 80 < loss < np.inf and np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("gd", lambda: keras.optimizers.SGD(0.05)),
        # Keras scales epsilon by the correction of the square; so small, it is nothing in both
        ("adam", lambda: keras.optimizers.Adam(0.05, epsilon=1e-14)),
    ],
)
def test_steps_are_those_of_keras(name, optimizer):
    x, y = problem()
    settings = {"optimizer": name, "rate": 0.05, "epsilon": 1e-14}
    model = network(HEADS[0], "tanh", "l2", **settings)
    variables, follow = variables_of(model), optimizer()
    if name == "adam":  # its first step: the signs alone, whatever the gradient's size
        start, gradient = model.theta.copy(), model.gradient(x, y)[1]
        first = network(HEADS[0], "tanh", "l2", **settings)
        first.step(x, y)
        assert_allclose(first.theta, start - 0.05 * np.sign(gradient), atol=1e-9)
    for _ in range(5):
        follow.apply(keras_gradient(model.settings, variables, x, y)[2], variables)
        model.step(x, y)
    # Keras corrects Adam's moments in float32
    assert_allclose(model.theta, flat(variables), atol=1e-8 if name == "gd" else 1e-5)


def test_an_epoch_is_steps_over_every_row_once_and_goes_on_where_it_stopped():
    x, y = problem(rows=10)
    model = network(HEADS[0], "relu", "none", batch_size=4, every=2)
    seen, step = [], model._step
    model._step = lambda x, y: seen.append(x) or step(x, y)
    history = model.train(x, y, epochs=2, validation=(x[:3], y[:3]))
    assert [len(rows) for rows in seen] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert not np.array_equal(first, second)
    for rows in (first, second):
        assert_array_equal(np.sort(rows[:, 0]), np.sort(x[:, 0]))
    assert history.step.tolist() == [2, 4, 6]
    assert history.validation[-1] == model.loss(x[:3], y[:3])
    parts = network(HEADS[0], "relu", "none", batch_size=4, every=2)
    losses = np.concatenate([parts.train(x, y, 1).loss for _ in range(2)])
    assert_array_equal(parts.theta, model.theta)
    # entries at 2, 3 and at 4, 6: means over 2, 1, 1 and 2 steps
    assert_allclose((losses[1] + losses[2]) / 2, history.loss[1])


def test_training_learns_and_the_seed_decides_everything():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    x = np.eye(3)[labels] + 0.3 * rng.normal(size=(90, 3))
    settings = Settings(hidden=(8,), optimizer="adam", rate=0.01, batch_size=10, seed=1)
    runs = [MLP(settings, 3, 3) for _ in range(2)]
    for each in runs:
        each.train(x, np.eye(3)[labels], epochs=20)
    assert_array_equal(runs[0].theta, runs[1].theta)
    assert (runs[0].predict(x) == labels).mean() > 0.95
    assert runs[0].theta.dtype == np.float32


def test_starts_are_their_distributions():
    limit, scale = np.sqrt(6 / 500), 0.2
    expected = {
        "glorot": stats.uniform(-limit, 2 * limit),
        "gaussian": stats.norm(0, scale),
        "random": stats.uniform(-scale, 2 * scale),
    }
    for start, distribution in expected.items():
        layer = MLP(Settings((200,), start=start, scale=scale, dtype="float64"), 300, 2).layers[0]
        assert stats.kstest(layer.weights.ravel(), distribution.cdf).pvalue > 1e-3
        if start == "glorot":
            assert not layer.bias.any()
        else:
            assert stats.kstest(layer.bias, distribution.cdf).pvalue > 1e-3


def test_one_class_alone_is_learnt_and_one_output_is_certain():
    x = np.ones((4, 2))
    one = MLP(Settings(hidden=(3,), rate=0.5), 2, 3)
    one.train(x, np.tile([0.0, 1.0, 0.0], (4, 1)), epochs=20)
    assert one.predict(x).tolist() == [1] * 4
    certain = MLP(Settings(hidden=(3,)), 2, 1)
    assert certain.train(x, np.ones((4, 1)), epochs=1).loss.tolist() == [0.0]
    assert certain.evaluate(x).tolist() == [[1.0]] * 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activation": "swish"}, "activation='swish'; use one of relu, sigmoid"),
        ({"output": "relu"}, "the cross entropy is of probabilities"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"penalty": "l3"}, "penalty='l3'"),
        ({"start": "he"}, "start='he'"),
        ({"optimizer": "sgd"}, "use one of gd, adam"),
        ({"dtype": "int8"}, "use one of float32, float64"),
        ({"hidden": (3, 0)}, "hidden=0; give a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"rate": 0.0}, "rate=0.0; give a number above 0"),
        ({"rate": np.nan}, "rate=nan"),
        ({"alpha": -1.0}, "alpha=-1.0; give a number at least 0"),
        ({"beta1": 1.0}, "beta1=1.0; give a number at least 0 and below 1"),
    ],
)
def test_settings_that_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        Settings(**given)


def test_rows_that_are_refused_leave_the_network_as_it_was():
    model, (x, y) = network(HEADS[0], "relu", "none"), problem()
    before = model.theta.copy()
    wrong = [
        (x[:, :4], y, "x has shape"),
        (x[:0], y[:0], "at least one row of 5 columns"),
        (x, y[:3], r"y has shape \(3, 4\)"),
        (x, y.argmax(axis=1), "labels by datasets.one_hot"),
        (x, 2 * y, "sum to 1"),
        (np.where(x > 1, np.nan, x), y, "x has values that are not finite"),
        ([["a"] * 5], y[:1], "x is no array of numbers"),
    ]
    for rows, targets, message in wrong:
        with pytest.raises(UsageError, match=message):
            model.train(rows, targets, epochs=1)
    with pytest.raises(UsageError, match="epochs=0"):
        model.train(x, y, epochs=0)
    with pytest.raises(UsageError, match="columns"):
        model.predict(x[0])
    assert_array_equal(model.theta, before)


def test_a_step_too_long_is_told_before_it_is_not_a_number():
    settings = Settings(hidden=(4,), output="linear", loss="squared_error", rate=1e4)
    model, (x, y) = MLP(settings, 5, 4), problem()
    with pytest.raises(EmtdampError, match=r"use a rate below 10000\.0"):
        model.train(x, y, epochs=50)
