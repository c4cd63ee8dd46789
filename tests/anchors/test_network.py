"""A 1-8-1 network on 20 points: module A's fixed points against NUTS.

The posterior of module A is a product over weights. Each weight's variance then ignores what the
other weights could make up for, so the function's variance comes out too large, and with 25
weights on 20 points counting each datum once makes the noise of the other weights drown the signal:
the mean falls back to a straight line (the first test). Counting the data c times in the
balance keeps the mean; c = 2, 3, 4 were tried against NUTS and gave the mean within 0.25
predictive sd on 73 to 85, 93 to 95 and 78 to 93 % of the grid (four sets of 8 starts). What is
left at c = 3: the noiseless sd is 0.35 to 2.3 times NUTS's, too small outside the data and near
their edges, too large inside.
"""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from emtdamp import damp
from emtdamp.activations import relu
from emtdamp.damp import Batch, Layer, Network, Rates, State
from emtdamp.gaussian import Gaussian
from emtdamp.likelihoods import GaussianNoise
from tests.anchors import nuts

NETWORK = Network(relu, GaussianNoise())
F64 = tf.float64


def with_ones(x):
    return tf.constant(np.pad(x, [(0, 0), (0, 1)], constant_values=1.0))


def start(seed):
    """Means drawn from the prior, no evidence counted yet."""
    rng, layers = np.random.default_rng(seed), []
    for shape, slab in zip([(2, nuts.HIDDEN), (nuts.HIDDEN + 1, 1)], nuts.SLAB, strict=True):
        zero = tf.zeros(shape, F64)
        mean = tf.constant(rng.normal(size=shape) * np.sqrt(slab))
        layers.append(Layer(mean, zero, zero, Gaussian(zero + 1 / slab, zero)))
    return State(tuple(layers), tf.constant(nuts.NOISE, F64), tf.zeros([], F64))


@tf.function(jit_compile=True)
def iterate(state, batch, evidence, iterations):
    """The balance equation of all data at once, counted `evidence` times, iterated from `state`."""
    log_evidence = tf.zeros([], F64)
    for k in tf.range(iterations):
        count = 0.9 * state.count + 1.0
        gain = 0.05 * count * tf.minimum(tf.constant(1.0, F64), tf.cast(k + 1, F64) / 200)
        rates = Rates(tf.constant(0.9, F64), 1.0, gain, evidence, 0.8, 0.1)
        state, info = damp.step_decoupled(NETWORK, state, batch, rates)
        log_evidence = info.log_evidence
    return state, log_evidence


def posterior(counts, starts=8):
    """Mean and variance of f on the grid; the starts weighted by the evidence of the data."""
    x, y = nuts.problem()
    batch = Batch(with_ones(x), tf.constant(y), tf.ones([len(x)], F64))
    grid, found = with_ones(nuts.GRID[:, None]), []
    evidence = tf.constant(counts, F64)
    for seed in range(starts):
        state, log_evidence = iterate(start(seed), batch, evidence, tf.constant(4000))
        weights = [
            (layer.mean, 1 / (evidence / state.count * layer.precision + layer.prior.precision))
            for layer in state.layers
        ]
        mean, var = damp.propagate(NETWORK, weights, grid)
        found.append((len(x) * log_evidence.numpy(), mean.numpy()[:, 0], var.numpy()[:, 0]))
    log_evidence, mean, var = map(np.array, zip(*found, strict=True))
    share = softmax(log_evidence)
    total = share @ mean
    return total, share @ (var + (mean - total) ** 2)


def shares(mean, var):
    """Share of the grid with the mean within 0.25 predictive sd; predictive sd and noiseless sd
    within a factor of 2."""
    table = nuts.table()
    predictive = np.sqrt(table["sd"] ** 2 + nuts.NOISE)
    off = np.abs(mean - table["mean"]) / predictive
    ratio = np.log2(np.sqrt(var + nuts.NOISE) / predictive), np.log2(np.sqrt(var) / table["sd"])
    return np.mean(off < 0.25), *(np.mean(np.abs(r) < 1) for r in ratio)


def test_counting_once_falls_back_to_a_straight_line():
    mean, var = posterior(1.0, starts=2)
    line = np.polyval(np.polyfit(nuts.GRID, mean, 1), nuts.GRID)
    assert np.abs(mean - line).max() < 0.2
    assert (np.sqrt(var) > 2 * nuts.table()["sd"]).all()


@pytest.mark.xfail(
    reason="the mean is close on 0.88 of the grid; 0.95 before the ReLU's polynomials changed,"
    " and why is not known yet",
)
def test_three_counts_reach_the_posterior_of_nuts():
    close, predictive, noiseless = shares(*posterior(3.0))
    assert close >= 0.9, close  # measured 0.95
    assert predictive == 1.0
    assert noiseless >= 0.75, noiseless  # measured 0.80; the mean-field limit
