"""The derivation of EM-TDAMP: what it names exists, and equations in a form of its own hold."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats

from emtdamp.messages import activations, damp, layers, likelihoods
from emtdamp.messages.gaussian import Gaussian
from tests.names import found

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "book" / f"{name}.md" for name in ("messages", "turbo")]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)
ROW = re.compile(r"^\| (\{eq\}.*) \| `([\w.]+)`: (.+) \(`([\w/]+)`\) \|$", re.MULTILINE)
DEFINITIONS = {
    "al-model",
    "al-gaussian-noise",
    "al-prior",
    "al-joint",
    "al-sum-product",
    "al-cavity",
}


@pytest.mark.parametrize("equations, function, sentence, file", ROW.findall(TEXT))
def test_a_row_of_the_table_points_to_what_exists(equations, function, sentence, file):
    assert found(f"emtdamp.{function}"), function
    source = (ROOT / "tests" / f"{file}.py").read_text("utf-8")
    assert f"def test_{sentence.replace(' ', '_')}(" in source, f"{file}: {sentence}"


def test_every_equation_is_in_the_table_or_a_definition():
    labels = set(re.findall(r"^:label: (al-[\w-]+)$", TEXT, re.MULTILINE))
    rows = " ".join(row[0] for row in ROW.findall(TEXT))
    assert labels - set(re.findall(r"\{eq\}`(al-[\w-]+)`", rows)) == DEFINITIONS


def test_every_function_that_is_named_exists():
    for name in set(re.findall(r"`(emtdamp(?:\.\w+)+)`", TEXT)):
        assert found(name), name


def f64(value) -> tf.Tensor:
    return tf.constant(value, tf.float64)


@pytest.mark.parametrize("seed", range(10))
def test_relu_messages_are_those_of_the_derivation(seed):
    rng = np.random.default_rng(seed)
    w, shift = 2 * rng.normal(size=2)
    var, precision = np.exp(rng.normal(size=2))
    c = 1 + precision * var
    w2, std2 = (w + shift * var) / c, np.sqrt(var / c)
    t, t2 = w / np.sqrt(var), w2 / std2
    odds = (t2**2 - t**2) / 2 - np.log(c) / 2 + special.log_ndtr(t2) - special.log_ndtr(-t)
    on, hazard = special.expit(odds), np.exp(stats.norm.logpdf(t2) - special.log_ndtr(t2))
    e = w2 + std2 * hazard
    x, d = on * e, on * std2**2 * (1 - hazard * (t2 + hazard)) + on * (1 - on) * e**2

    def integrand(z):
        u = max(z, 0.0)
        return stats.norm.pdf(z, w, np.sqrt(var)) * np.exp(-precision * u * u / 2 + shift * u)

    ends = min(w, 0) - 12 * np.sqrt(var), max(w, w2, 0) + 12 * np.sqrt(var)
    total = sum(integrate.quad(integrand, *part)[0] for part in ((ends[0], 0), (0, ends[1])))
    at_zero = integrand(0.0) / total
    spread = on * (1 - on) * shift**2 + precision**2 * d - 2 * (1 - on) * precision * shift * x
    unit = activations.relu(f64(w), f64(var), Gaussian(f64(precision), f64(shift)))
    expected = [
        x,
        d,
        on * shift - precision * x,
        on * precision - at_zero * shift - spread,
        np.log(total),
    ]
    np.testing.assert_allclose([float(part) for part in unit], expected, rtol=1e-7, atol=1e-9)


def test_output_messages_are_the_posterior_moments_of_z():
    w, var, v = np.array([0.3, -0.5, 1.0]), np.array([0.7, 0.4, 1.2]), 0.8
    top = likelihoods.ProbitProduct(nodes=65, newton=20)
    out = top(f64(w[None]), f64(var[None]), tf.constant([0]), f64(v))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = [m + np.sqrt(s) * nodes for m, s in zip(w, var, strict=True)]
    z = np.stack(np.meshgrid(*z, indexing="ij"), -1).reshape(-1, 3)
    share = np.stack(np.meshgrid(weights, weights, weights, indexing="ij"), -1).prod(-1).ravel()
    share *= special.ndtr((z[:, [0]] - z[:, 1:]) / np.sqrt(v)).prod(1)
    share /= share.sum()
    mean = share @ z
    np.testing.assert_allclose(w + var * out.gradient[0], mean, rtol=1e-10)
    np.testing.assert_allclose(var - var**2 * out.curvature[0], share @ (z - mean) ** 2, rtol=1e-10)


def test_message_to_a_weight_is_the_averaged_evidence_to_second_order():
    """log E exp(g delta - Gam delta^2/2) in closed form, delta = x (W - m) + xi W, xi ~ N(0, D)."""
    x, d, g, gam = 0.8, 0.3, 1.2, 0.9
    error = []
    for scale in (0.1, 0.01):
        m, weights = 0.6 * scale, scale * np.linspace(-1, 1, 9)

        def average(weight, m=m):
            away, spread = x * (weight - m), d * weight**2
            top = g * away - gam * away**2 / 2 + g**2 * spread / 2
            return top / (1 + gam * spread) - np.log1p(gam * spread) / 2

        inputs, spread, mean, slope, bend, one = (f64([[a]]) for a in (x, d, m, g, gam, 1.0))
        message = layers.to_weights(inputs, spread, mean, slope, bend, one, None)
        push, precision = (float(part[0, 0]) for part in message)
        assert precision > 0  # not clipped
        shift = push + m * precision
        exponent = shift * weights - precision * weights**2 / 2
        error.append(np.abs(exponent - average(weights) + average(0.0)).max())
    assert error[1] < error[0] * 2e-3  # third order


def test_window_steps_are_products_of_messages():
    rng = np.random.default_rng(0)
    network = damp.Network(activations.relu, likelihoods.GaussianNoise())
    x, y = np.pad(rng.normal(size=(20, 2)), [(0, 0), (0, 1)], constant_values=1.0), [[0.5]] * 20
    batch = damp.Batch(f64(x), f64(y), tf.ones([20], tf.float64))
    keep, temper, state, before = 0.9, 0.7, [], []
    for shape in [(3, 4), (5, 1)]:
        mean, precision = rng.normal(size=shape), np.exp(rng.normal(size=shape))
        prior = Gaussian(f64(np.exp(rng.normal(size=shape))), f64(rng.normal(size=shape)))
        state.append(damp.Layer(f64(mean), f64(precision), tf.zeros(shape, tf.float64), prior))
        shift = mean * (precision + prior.precision) - prior.shift
        s = 1 / (keep * precision + prior.precision)
        before.append((s * (keep * shift + prior.shift), s, keep * precision, keep * shift))
    messages = damp.message_pass(network, [b[:2] for b in before], batch, f64(0.3)).messages
    start = damp.State(tuple(state), f64(0.3), f64(0.0))
    after, _ = damp.step_window(network, start, batch, damp.Rates(keep, temper))
    parts = zip(after.layers, state, before, messages, strict=True)
    for new, old, (m0, _, precision, shift), (push, sharp) in parts:
        precision = precision + temper * sharp
        shift = shift + temper * (push + m0 * sharp)
        mean = (shift + old.prior.shift) / (precision + old.prior.precision)
        np.testing.assert_allclose(new.precision, precision, rtol=1e-12)
        np.testing.assert_allclose(new.mean, mean, rtol=1e-9, atol=1e-12)
