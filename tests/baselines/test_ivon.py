"""IVON's step against the exact posterior of a linear model, and quadrature of a logistic one."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from scipy.optimize import fsolve
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_digits, make_friedman1

from emtdamp.baselines import IVON, BaselineClassifier, BaselineRegressor, ivon
from emtdamp.errors import EmtdampError, UsageError

RUNS = 64


def run(gradient, inputs, rows, precision, steps, rate, beta2=0.99):
    """Mean and variance that `gradient(theta)` leads to, averaged over runs and the last half."""
    rows, precision = (tf.constant(part, tf.float64) for part in (rows, precision))

    def body(k, state, mean, var):
        noise = tf.random.stateless_normal([RUNS, inputs], tf.stack([k, 0]), dtype=tf.float64)
        theta = ivon.draw(state, noise, rows)
        state = ivon.step(state, gradient(theta), noise, rows, precision, rate, beta2=beta2)
        late = tf.cast(k >= steps // 2, tf.float64)
        return k + 1, state, mean + late * state.mean, var + late / ivon.variance(state, rows)

    @tf.function(jit_compile=True, autograph=False)
    def all_steps():
        state = ivon.init(tf.zeros([RUNS, inputs], tf.float64), 0.3, rows, precision)
        start = (tf.constant(0), state, tf.zeros_like(state.mean), tf.zeros_like(state.mean))
        return tf.while_loop(lambda k, *_: k < steps, body, start)[2:]

    mean, inverse = (part.numpy().mean(0) / (steps - steps // 2) for part in all_steps())
    return mean, 1 / inverse


def test_ivon_finds_the_exact_posterior_of_a_linear_model():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)) * np.linspace(0.5, 1.5, 5)
    y, noise = x @ rng.normal(size=5) + 0.7 * rng.normal(size=64), 0.49
    precision = np.linspace(0.5, 20.0, 5)
    exact = np.diag(precision) + x.T @ x / noise

    def gradient(theta):  # of the mean loss: all rows in each step
        return (theta @ tf.constant(x.T @ x) - x.T @ y) / (64 * noise)

    mean, var = run(gradient, 5, 64.0, precision, steps=2000, rate=0.05)
    assert_allclose(mean, np.linalg.solve(exact, x.T @ y / noise), atol=0.003)
    assert_allclose(var, 1 / np.diag(exact), rtol=0.03)


def test_ivon_finds_the_best_gaussian_of_a_logistic_model():
    """E grad + delta m = 0 and c = E hessian + delta, the expectations by quadrature."""
    x, y = np.array([0.5, 1.0, -1.5, 2.0, -0.3]), np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    precision, (nodes, weights) = 0.4, np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def rest(parts):
        m, sd = parts[0], np.exp(parts[1])
        p = expit(np.outer(m + sd * nodes, x))
        gradient = weights @ (p - y) @ x + precision * m
        return gradient, weights @ (p * (1 - p)) @ x**2 + precision - 1 / sd**2

    best = fsolve(rest, [0.0, 0.0])

    def gradient(theta):
        p = tf.sigmoid(theta * x)
        return tf.reduce_mean((p - y) * x, axis=1, keepdims=True)

    mean, var = run(gradient, 1, 5.0, precision, steps=4000, rate=0.02, beta2=0.995)
    assert mean[0] == pytest.approx(best[0], abs=0.01)
    assert var[0] == pytest.approx(np.exp(2 * best[1]), rel=0.03)


def test_the_riemannian_correction_keeps_the_curvature_positive():
    noise = tf.constant(np.random.default_rng(0).normal(size=(1000, 4)))
    state = ivon.init(tf.zeros([1000, 4], tf.float64), 1.0, 10.0, 2.0)
    rows = tf.constant(10.0, tf.float64)
    for k in range(20):  # gradients that say the loss curves down, and a prior that changes
        precision = tf.constant(2.0 if k % 2 else 1e-6, tf.float64)
        after = ivon.step(state, -30.0 * noise, noise, rows, precision, 0.01, beta2=0.5)
        assert (after.curvature.numpy() >= 0.5 * state.curvature.numpy()).all()
        state = after
    assert np.isfinite(ivon.variance(state, rows).numpy()).all()


def test_a_step_is_the_published_one():
    """Shen et al.'s algorithm 1 in its own letters, for a constant delta."""
    rng = np.random.default_rng(1)
    lam, delta, b1, b2, rate = 50.0, 0.02, 0.9, 0.95, 0.1
    m, g, h = rng.normal(size=3), np.zeros(3), np.full(3, 0.5)
    state = ivon.State(*(tf.constant(a) for a in (m, g, h + delta)), tf.zeros([], tf.float64))
    for t in range(1, 4):
        noise, gradient = rng.normal(size=3), rng.normal(size=3)
        sigma = 1 / np.sqrt(lam * (h + delta))
        theta = m + sigma * noise
        assert_allclose(ivon.draw(state, tf.constant(noise), lam), theta)
        state = ivon.step(
            state, tf.constant(gradient), tf.constant(noise), lam, lam * delta, rate, b1, b2
        )
        hessian = gradient * (theta - m) / sigma**2
        g = b1 * g + (1 - b1) * gradient
        h = b2 * h + (1 - b2) * hessian + 0.5 * (1 - b2) ** 2 * (h - hessian) ** 2 / (h + delta)
        m = m - rate * (g / (1 - b1**t) + delta * m) / (h + delta)
        assert_allclose(state.mean, m)
        assert_allclose(state.curvature, h + delta)


@pytest.mark.slow
def test_the_method_learns_prunes_by_signal_to_noise_and_says_how_sure_it_is():
    x, y = load_digits(return_X_y=True)
    model = BaselineClassifier(IVON(), (20,), sparsity=0.5, epochs=15, random_state=0)
    model.fit(x[:600], y[:600])
    assert model.score(x[600:], y[600:]) > 0.6  # pruned at once, not trained on
    assert [row["active_1"] for row in model.history_] == [20] * 14 + [10]
    assert model.history_[-1]["loss"] < 0.5 * model.history_[0]["loss"]
    var = model.network_.var[0]
    assert (var[:, model.active_groups_[1]] > 0).all()
    smaller = model.prune(4)
    strength = model.network_.strength(*(part[1][:-1] for part in (model.network_.mean,
                                                                  model.network_.var)))  # fmt: skip
    assert set(np.flatnonzero(smaller.active_groups_[1])) == set(np.argsort(-strength)[:4])
    again = clone(model).fit(x[:600], y[:600])
    assert_allclose(again.predict_proba(x[:5]), model.predict_proba(x[:5]))


@pytest.mark.slow
def test_the_method_fits_a_regression_and_names_wrong_settings():
    x, y = make_friedman1(200, 6, random_state=0)
    model = BaselineRegressor(IVON(), (10,), epochs=20, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.5 and model.noise_variance_ > 0
    for settings, text in [
        ({"first_curvature": 0.0}, "first_curvature=0.0; give a number above 0"),
        ({"precision": -1.0}, "precision=-1.0; give a number above 0"),
        ({"beta2": 1.0}, "beta2=1.0"),
        ({"rate": 0.0}, "rate=0.0"),
    ]:
        with pytest.raises(UsageError, match=text):
            IVON(**settings)
    with pytest.raises(EmtdampError, match="use a rate below 1e"):
        BaselineClassifier(IVON(rate=1e30), (3,), epochs=3).fit(x, y > 14)
