"""The Gamma factor and Vadam's step against closed forms, quadrature and maximisation."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, logsumexp
from scipy.stats import gamma as gamma_of
from scipy.stats import t as student

from emtdamp.baselines import vadam_ard

tfd = tfp.distributions
SHAPE, RATE = 0.7, 0.2  # of the hyper-prior
X, NOISE = np.array([1.0, -0.5, 2.0]), 0.5
Y = np.array([0.9, 0.1, 1.2])


def bound(mean, var, gamma, delta):
    """The evidence lower bound of y = x theta + noise with one ARD weight."""
    residual = np.sum((Y - X * mean) ** 2 + X**2 * var)
    fit = -0.5 * (residual / NOISE + len(Y) * np.log(2 * np.pi * NOISE))
    log_psi = digamma(gamma) - np.log(delta)
    prior = 0.5 * (log_psi - np.log(2 * np.pi) - gamma / delta * (mean**2 + var))
    entropy = 0.5 * np.log(2 * np.pi * np.e * var)
    kl = (gamma - SHAPE) * digamma(gamma) - gammaln(gamma) + gammaln(SHAPE)
    kl += SHAPE * np.log(delta / RATE) + gamma * (RATE / delta - 1)
    return fit + prior + entropy - kl


def factor(mean, var):
    found = vadam_ard.ard_factor(tf.constant(mean), tf.constant(var), SHAPE, RATE)
    return float(found.shape), float(found.rate)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 0.01), (0.6, 0.2), (-3.0, 1.5)])
def test_the_gamma_factor_is_the_maximum_of_the_bound(mean, var):
    best = minimize(
        lambda logs: -bound(mean, var, *np.exp(logs)), [0.3, -0.3], method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13},
    )  # fmt: skip
    assert_allclose(factor(mean, var), np.exp(best.x), rtol=1e-4)


def coordinate_ascent():
    """Both factors by turns: the Gaussian's closed form is that of a linear model."""
    mean, var = 0.0, 1.0
    for _ in range(200):
        gamma, delta = factor(mean, var)
        var = 1 / (X @ X / NOISE + gamma / delta)
        mean = var * (X @ Y) / NOISE
    return mean, var, gamma, delta


def evidence():
    """log p(y): the prior of the weight is Student's t with 2a degrees of freedom."""
    theta = np.linspace(-6, 6, 20001)
    prior = student.logpdf(theta, 2 * SHAPE, scale=(RATE / SHAPE) ** 0.5)
    fit = -0.5 * ((Y - np.outer(theta, X)) ** 2 / NOISE + np.log(2 * np.pi * NOISE)).sum(1)
    weights = np.exp(fit + prior - logsumexp(fit + prior))
    return logsumexp(fit + prior) + np.log(theta[1] - theta[0]), weights @ theta


def test_both_factors_by_turns_come_to_the_best_bound_which_is_below_the_evidence():
    mean, var, gamma, delta = coordinate_ascent()
    best = minimize(
        lambda p: -bound(p[0], *np.exp(p[1:])), [0.1, 0.0, 0.0, 0.0], method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000},
    )  # fmt: skip
    assert bound(mean, var, gamma, delta) == pytest.approx(-best.fun, abs=1e-9)
    log_evidence, posterior_mean = evidence()
    gap = log_evidence - bound(mean, var, gamma, delta)
    assert 0 < gap < 0.1  # the KL divergence between q and the posterior
    assert mean == pytest.approx(posterior_mean, abs=0.02)


def test_the_bound_and_the_divergence_add_up_to_the_evidence():
    """The slides' equation 4, for a q that is not the best."""
    q = mean, var, gamma, delta = 0.4, 0.3, 1.5, 0.8
    log_evidence, _ = evidence()

    theta = np.linspace(mean - 8 * var**0.5, mean + 8 * var**0.5, 161)[:, None]
    log_psi = np.linspace(-14, 4, 601)
    psi = np.exp(log_psi)
    fit = -0.5 * ((Y - X * theta) ** 2 / NOISE + np.log(2 * np.pi * NOISE)).sum(1, keepdims=True)
    joint = fit + normal_log(theta, 0, 1 / psi) + gamma_log(psi, SHAPE, RATE)
    own = normal_log(theta, mean, var) + gamma_log(psi, gamma, delta)
    integrand = np.exp(own) * psi * (own - joint + log_evidence)
    divergence = integrand.sum() * (theta[1, 0] - theta[0, 0]) * (log_psi[1] - log_psi[0])
    assert divergence + bound(*q) == pytest.approx(log_evidence, abs=1e-4)


def test_the_divergence_of_gammas_in_the_bound_is_that_of_tfp():
    one, other = tfd.Gamma(np.float64(1.3), 0.6), tfd.Gamma(np.float64(SHAPE), RATE)
    change = bound(0.4, 0.3, 1.3, 0.6) - bound(0.4, 0.3, SHAPE, RATE)
    prior = [
        0.5 * (digamma(a) - np.log(b) - a / b * (0.4**2 + 0.3))
        for a, b in ((1.3, 0.6), (SHAPE, RATE))
    ]
    assert change == pytest.approx(prior[0] - prior[1] - float(tfd.kl_divergence(one, other)))


def normal_log(x, mean, var):
    return -0.5 * ((x - mean) ** 2 / var + np.log(2 * np.pi * var))


def gamma_log(x, shape, rate):
    return gamma_of.logpdf(x, shape, scale=1 / rate)


def test_the_prior_of_a_weight_is_students():
    for theta in (0.0, 0.3, 2.0):
        got, _ = quad(
            lambda psi, at=theta: np.exp(normal_log(at, 0, 1 / psi) + gamma_log(psi, SHAPE, RATE)),
            0, np.inf,
        )  # fmt: skip
        assert got == pytest.approx(student.pdf(theta, 2 * SHAPE, scale=(RATE / SHAPE) ** 0.5))


def linear(rows=64, inputs=5):
    """x, y, a Gaussian prior's precisions, and the noise of a linear model."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, inputs)) * np.linspace(0.5, 1.5, inputs)
    y = x @ rng.normal(size=inputs) + 0.7 * rng.normal(size=rows)
    return x, y, np.linspace(0.5, 20.0, inputs), 0.49


@tf.function(jit_compile=True, autograph=False)
def _vadam(x, y, precision, noise, batch, steps, rate):
    """Vadam's means and variances, averaged over the later half of 64 runs at once."""
    runs, rows, inputs = 64, x.shape[0], x.shape[1]
    count = tf.cast(rows, x.dtype)
    state = vadam_ard.init(tf.zeros([runs, inputs], x.dtype), 0.3, count, precision)

    def body(k, state, mean, var):
        seed = tf.stack([k, 0])
        normal = tf.random.stateless_normal([runs, inputs], seed, dtype=x.dtype)
        chosen = tf.random.stateless_uniform([runs, batch], seed + 1, 0, rows, tf.int32)
        theta = vadam_ard.draw(state, normal, count, precision)
        xs, ys = tf.gather(x, chosen), tf.gather(y, chosen)
        residual = ys - tf.einsum("rbi,ri->rb", xs, theta)
        gradient = -tf.einsum("rbi,rb->ri", xs, residual) / (noise * batch)
        done = tf.cast(k, x.dtype) / steps
        state = vadam_ard.step(state, gradient, count, precision, rate * (1 - done), beta2=0.998)
        late = tf.cast(k >= steps // 2, x.dtype)
        mean, var = (
            mean + late * state.mean,
            var + late * vadam_ard.variance(state, count, precision),
        )
        return k + 1, state, mean, var

    start = (tf.constant(0), state, tf.zeros_like(state.mean), tf.zeros_like(state.mean))
    totals = tf.while_loop(lambda k, *_: k < steps, body, start)[2:]
    return [tf.reduce_mean(total, 0) / (steps - steps // 2) for total in totals]


def exact():
    """Precision matrix and mean of the posterior."""
    x, y, precision, noise = linear()
    matrix = np.diag(precision) + x.T @ x / noise
    return matrix, np.linalg.solve(matrix, x.T @ y / noise)


def vadam(batch):
    arguments = (tf.constant(a, tf.float64) for a in linear())
    return [part.numpy() for part in _vadam(*arguments, batch, 1500, 0.05)]


def squares_at_rest(batch):
    """E g^2 of minibatches under q(theta), at the q(theta) that it leads to."""
    x, y, precision, noise = linear()
    rows, (_, mean) = len(x), exact()
    hessian, square = x.T @ x / (rows * noise), np.ones(len(mean))
    for _ in range(500):
        var = 1 / (rows * square + precision)
        one = x.T**2 @ ((x @ mean - y) ** 2 + x**2 @ var) / (rows * noise**2)
        whole = (precision * mean / rows) ** 2 + hessian**2 @ var
        square = one / batch + (1 - 1 / batch) * whole
    return square


@pytest.mark.parametrize("batch", [1, 8])
def test_vadam_finds_the_exact_posterior_mean_of_a_linear_model(batch):
    x, _, precision, _ = linear()
    mean, var = vadam(batch)
    at_rest = 1 / (len(x) * squares_at_rest(batch) + precision)
    assert_allclose((mean - exact()[1]) / np.sqrt(at_rest), 0, atol=0.1)
    assert_allclose(var, at_rest, rtol=0.15)


def test_vadams_squares_are_the_curvature_of_minibatches_of_one_row_only():
    x, _, precision, _ = linear()
    curvature = np.diag(exact()[0]) - precision
    assert_allclose(len(x) * squares_at_rest(1) / curvature, 1, atol=0.4)
    assert (len(x) * squares_at_rest(8) / curvature < 0.3).all()


def test_two_steps_by_hand():
    mean, precision, rows, rate = np.array([1.0, -2.0]), np.array([3.0, 0.5]), 10.0, 0.1
    state = vadam_ard.init(tf.constant(mean), 0.1, rows, tf.constant(precision))
    square, momentum = (100 - precision) / 10, np.zeros(2)
    for t, g in enumerate((np.array([0.5, 2.0]), np.array([-1.0, 0.3])), 1):
        var = vadam_ard.variance(state, rows, precision).numpy()
        assert_allclose(var, 1 / (10 * square + precision))
        noise = tf.constant([1.0, -1.0], tf.float64)
        assert_allclose(
            vadam_ard.draw(state, noise, rows, precision), mean + np.sqrt(var) * [1, -1]
        )
        state = vadam_ard.step(state, tf.constant(g), rows, precision, rate)
        momentum = 0.9 * momentum + 0.1 * (g + precision * mean / 10)
        square = 0.99 * square + 0.01 * g**2
        mean = mean - rate * momentum / (1 - 0.9**t) / (np.sqrt(square) + precision / 10)
        assert_allclose(state.mean, mean)
