"""The report's algorithm: its rule against the optimiser it misuses, its defects one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_ndtr

from emtdamp.baselines import report
from emtdamp.baselines.report import ReportSettings, State, train
from emtdamp.errors import EmtdampError, UsageError

pytestmark = pytest.mark.slow

TINY = {"hidden": 16, "em_iters": 2, "seed": 3}


def tiny(**settings):
    return train(ReportSettings(**TINY | settings), train_size=300)


@pytest.fixture(scope="module")
def as_printed():
    return tiny()


def rate(t):
    return 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * np.sqrt(10)


def test_the_rule_is_the_programs_optimizer_given_a_new_variable_each_time():
    from tf_keras.optimizers import legacy

    gradient = tf.constant([3.0, -0.2, 1e-3, -2e-6, 1e-7, 1e-12, 0.0])
    optimizer = legacy.Adam(learning_rate=0.01)
    for count in range(1, 30):
        variable = tf.Variable(tf.zeros_like(gradient))
        optimizer.apply_gradients([(gradient, variable)])
        step = report.fresh_adam_step(gradient, tf.constant(count), 0.01)
        np.testing.assert_allclose(-variable.numpy(), step.numpy(), rtol=2e-5)


def test_the_rule_by_hand():
    step = report.fresh_adam_step(tf.constant([2.0, -1e-4, 1e-6, 0.0]), tf.constant(1), 0.01)
    # at t = 1: 0.01 * 0.1 g / (0.0316228 |g| + 1e-7) * sqrt(0.001) / 0.1
    by_hand = [0.01, -0.0096937, 0.00240253, 0.0]
    np.testing.assert_allclose(step, by_hand, rtol=1e-4)
    later = [
        float(report.fresh_adam_step(tf.constant(1.0), tf.constant(t), 0.01)) for t in (12, 1e6)
    ]
    np.testing.assert_allclose(later, [0.00482, 0.01 * np.sqrt(10)], rtol=2e-3)


def test_persistent_moments_are_kerass_adam():
    model_variable = keras.Variable(np.array([1.0, -2.0], "float32"))
    optimizer = keras.optimizers.Adam(0.01, epsilon=1e-7)
    value, moments = tf.constant([1.0, -2.0]), (tf.zeros(2), tf.zeros(2))
    for count in range(1, 6):
        gradient = tf.constant([0.3 * count, -1.0])
        optimizer.apply([gradient], [model_variable])
        step, moments = report.adam_step(gradient, moments, tf.constant(count), 0.01)
        value -= step
    np.testing.assert_allclose(value, model_variable.numpy(), rtol=1e-5)


def a_state(steps, hidden=4):
    model = report.build_model(hidden, seed=1)
    state = report.init(model)
    return model, state._replace(variance=tf.constant(0.0), steps=tf.constant(steps))


def test_each_of_the_four_weights_has_its_own_step_counter():
    model, state = a_state(steps=5)
    x = tf.random.stateless_uniform((100, 784), (0, 1))
    y = tf.one_hot(tf.range(100) % 10, 10)
    after, _ = report.module_a(state, x, y, model, ReportSettings(hidden=4))
    for i, (old, new) in enumerate(zip(state.means, after.means, strict=True)):
        moved = np.abs(new - old).max()
        np.testing.assert_allclose(moved, rate(4 * 5 + i + 1), rtol=1e-3)


def test_the_drawn_weights_have_the_states_variance():
    model, state = a_state(steps=0)
    state = state._replace(variance=tf.constant(0.1))
    x = tf.zeros((100, 784))  # only the biases matter: the loss must differ from the means' loss
    y = tf.one_hot(tf.range(100) % 10, 10)
    drawn = report.module_a(state, x, y, model, ReportSettings(hidden=4, seed=0))
    other = report.module_a(state, x, y, model, ReportSettings(hidden=4, seed=1))
    at_means = -tf.reduce_mean(report.log_likelihood(tf.zeros((100, 10)), y, 1.0))
    assert float(drawn[1]) != float(other[1])
    assert abs(float(drawn[1]) - float(at_means)) > 0.01
    np.testing.assert_allclose(drawn[0].variance, 0.095, rtol=1e-6)


def test_likelihood_is_the_probit_product_with_a_floor():
    logits = tf.constant([[1.0, -0.5, 3.0], [0.0, 40.0, 0.0]])
    labels = tf.one_hot([0, 0], 3)
    stable = report.log_likelihood(logits, labels, 2.0, stable=True).numpy()
    margins = np.array([[1.5, -2.0], [-40.0, 0.0]]) / np.sqrt(2)
    np.testing.assert_allclose(stable, log_ndtr(margins).sum(axis=1), rtol=1e-5)
    floored = report.log_likelihood(logits, labels, 2.0).numpy()
    np.testing.assert_allclose(floored, [stable[0], np.log(1e-10) + np.log(0.5)], rtol=1e-5)


def test_the_floor_takes_the_gradient_of_badly_misclassified_images():
    logits = tf.constant([[0.0, 40.0, 0.0]])

    def largest_gradient(stable):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            fit = report.log_likelihood(logits, tf.one_hot([0], 3), 1.0, stable)
        return float(tf.reduce_max(tf.abs(tape.gradient(fit, logits)[:, 1])))

    assert largest_gradient(stable=False) == 0
    assert largest_gradient(stable=True) > 10


@pytest.mark.parametrize(
    ("direction", "target", "left"),
    [("kept", 0.1, 13), ("kept", 0.5, 64), ("kept", 0.9, 115),
     ("removed", 0.1, 115), ("removed", 0.5, 64), ("removed", 0.9, 13)],
)  # fmt: skip
def test_what_a_target_leaves(direction, target, left):
    _, state = a_state(steps=0, hidden=128)
    state = report.module_b(state, ReportSettings())
    state = report.end_of_iteration(
        state, ReportSettings(sparsity=target, target_direction=direction)
    )
    assert int((state.rho.numpy() > 0).sum()) == left


def test_rho_is_never_below_a_half_before_the_threshold():
    _, state = a_state(steps=0)
    state = state._replace(means=tuple(tf.zeros_like(m) for m in state.means))
    np.testing.assert_array_equal(report.module_b(state, ReportSettings()).rho, 0.5)


def test_the_target_changes_nothing_but_the_count(as_printed):
    other = tiny(sparsity=0.9)
    assert other.metrics["active_neurons"] != as_printed.metrics["active_neurons"]
    np.testing.assert_array_equal(other.probabilities, as_printed.probabilities)
    pruned, other = tiny(apply_pruning=True), tiny(apply_pruning=True, sparsity=0.9)
    assert not np.array_equal(pruned.probabilities, other.probabilities)


def test_no_saved_weight_is_zero_unless_pruning_is_applied(as_printed):
    assert all((w != 0).all() for w in as_printed.model.get_weights())
    kernel, bias, outputs, _ = tiny(apply_pruning=True).model.get_weights()
    for weights in (kernel.T, bias[:, None], outputs):
        assert (weights == 0).all(axis=1).sum() == 8


def test_pruned_accuracy_is_that_of_the_smaller_network(as_printed):
    active = as_printed.rho > 0
    kernel, bias, outputs, outputs_bias = as_printed.model.get_weights()
    smaller = report.build_model(int(active.sum()))
    smaller.set_weights([kernel[:, active], bias[active], outputs[active], outputs_bias])
    images, labels = report.load_data(300, as_printed.settings).test
    accuracy = report.accuracy(smaller, smaller.get_weights(), images, labels)
    assert accuracy == as_printed.metrics["pruned_test_accuracy"]
    assert accuracy != as_printed.metrics["test_accuracy"]


def test_a_pruned_neuron_comes_back_unless_pruning_is_permanent():
    _, state = a_state(steps=0)
    pruned = state._replace(rho=tf.constant([0.0, 0.6, 0.0, 0.6]))
    assert (report.module_b(pruned, ReportSettings()).rho.numpy() > 0).all()
    stays = report.module_b(pruned, ReportSettings(permanent_pruning=True)).rho.numpy()
    np.testing.assert_array_equal(stays > 0, [False, True, False, True])


def test_the_average_loss_is_of_the_weights_before_the_iteration():
    settings = ReportSettings(**TINY | {"em_iters": 1})
    result = train(settings, train_size=300)
    model = report.build_model(settings.hidden, settings.seed)
    losses = [
        -np.mean(report.log_likelihood(model(x), y, 1.0))
        for x, y in report.load_data(300, settings).train
    ]
    np.testing.assert_allclose(result.metrics["training_loss"], np.mean(losses), rtol=1e-5)
    current = tiny(em_iters=1, training_loss_weights="current")
    assert abs(current.metrics["training_loss"] - np.mean(losses)) > 0.1


def test_early_stopping_and_the_two_iterates():
    stopped = tiny(em_iters=6, min_delta=2.0, patience=3)
    assert stopped.metrics["em_iters_run"] == len(stopped.history) == 4
    # the best iterate is the first, since no gain of 2 follows: the matrix is not the table's
    first = round(stopped.history["val_accuracy"].iloc[0] * 10_000)
    assert np.trace(stopped.confusion_matrix) == first
    last = tiny(em_iters=6, min_delta=2.0, patience=3, confusion_matrix_of="last")
    assert np.trace(last.confusion_matrix) == round(last.metrics["test_accuracy"] * 10_000)
    assert len(tiny(em_iters=6, min_delta=2.0).history) == 6


def test_held_out_stopping_takes_its_images_from_training():
    settings = ReportSettings(stopping_data="held-out")
    data = report.load_data(300, settings)
    assert sum(len(x) for x, _ in data.train) == 270
    assert data.stopping[0].shape == (30, 784)
    with pytest.raises(UsageError, match="train_size: 1 "):
        report.load_data(1, settings)


def test_probit_probabilities_are_the_normalised_likelihood():
    logits = tf.constant([[2.0, -1.0, 0.5] + [0.0] * 7])
    p = report.probabilities(logits, 1.5, "probit")
    z = logits[0].numpy()
    margins = (z[:, None] - z) / np.sqrt(1.5)
    np.fill_diagonal(margins, np.inf)  # Phi(inf) = 1: a class does not compete with itself
    product = np.exp(log_ndtr(margins).sum(axis=1))
    np.testing.assert_allclose(p[0], np.array(product) / np.sum(product), rtol=1e-4)
    soft = report.probabilities(logits, 1.5, "softmax")
    np.testing.assert_allclose(soft[0], np.exp(z) / np.exp(z).sum(), rtol=1e-5)


def test_a_seed_fixes_the_run(as_printed):
    again = tiny()
    for run in (as_printed, again):
        run.metrics.pop("seconds", None)
    assert again.metrics == as_printed.metrics
    np.testing.assert_array_equal(again.probabilities, as_printed.probabilities)
    assert not np.array_equal(tiny(seed=4).probabilities, as_printed.probabilities)


def test_a_loss_that_is_not_finite_stops_the_run(monkeypatch):
    monkeypatch.setattr(report, "fresh_adam_step", lambda g, t, r: g * np.float32("nan"))
    with pytest.raises(EmtdampError, match="iteration 1: the loss is nan"):
        tiny(training_loss_weights="current")


@pytest.mark.parametrize(
    ("name", "value"),
    [("sparsity", 1.5), ("sparsity", 1.0), ("sparsity", -0.1), ("em_iters", 0), ("batch_size", -3),
     ("hidden", 0), ("hidden", 2.5), ("seed", -1), ("patience", -1), ("min_delta", float("nan")),
     ("learning_rate", -1.0), ("apply_pruning", "yes"), ("target_direction", "up")],
)  # fmt: skip
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(UsageError, match=f"{name}: {value!r} is not allowed"):
        ReportSettings(**{name: value})


def test_state_has_the_documented_shapes():
    _, state = a_state(steps=0)
    assert isinstance(state, State)
    assert [m.shape for m in state.means] == [(784, 4), (4,), (4, 10), (10,)]
    assert state.rho.shape == (4,)
