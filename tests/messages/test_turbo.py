"""The exchange between modules A and B against enumeration of all activity patterns."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from emtdamp.messages import prior
from emtdamp.messages.activations import identity
from emtdamp.messages.damp import Batch, Layer, Network, Rates, State, step_window
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.messages.prior import GroupPrior
from tests.exact import spike_slab_regression


def design(kind, samples, rng):
    if kind == "random":
        return rng.normal(size=(samples, 8))
    basis = np.array([[1.0]])
    while len(basis) < samples:
        basis = np.block([[basis, basis], [basis, -basis]])
    return basis[:, 1:9]  # column 0 is the bias


def fixed_point(x, y, noise, slab, rho, exchanges=20):
    """Activity, mean and variance where DAMP (40 damped passes) and SPMP agree."""
    module = GroupPrior(("free",))
    start = module.init([slab], [8], rho)
    network = Network(identity, GaussianNoise())
    batch = Batch(
        tf.constant(np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)),
        tf.constant(y),
        tf.ones([len(x)], tf.float64),
    )
    zero = tf.zeros([9, y.shape[1]], tf.float64)
    back = Gaussian(zero + 1 / slab, zero)
    for _ in range(exchanges):
        layer = Layer(back.shift / back.precision, zero, zero, back)
        state = State((layer,), tf.constant(noise, tf.float64), tf.zeros([], tf.float64))
        state, _ = step_window(network, state, batch, Rates(retain=1.0), passes=40, damping=0.5)
        layer = state.layers[0]
        shift = layer.mean * (layer.precision + back.precision) - back.shift
        sent = Gaussian(layer.precision, shift)
        _, (back,), info = module.step(start, [sent], [8])
    mean, var = prior.moments(*sent, start.slab[0], info.weight_log_odds[0])
    return expit(info.log_odds[0]), mean.numpy(), var.numpy()


@pytest.mark.parametrize(
    "kind, samples, activity, mean, var",
    [
        # AMP's independence assumption costs V/v, which falls as 1/samples
        ("orthogonal", 64, 0.05, 0.15, 0.4),
        ("orthogonal", 256, 0.005, 0.02, 0.08),
        ("orthogonal", 1024, 0.003, 0.005, 0.02),
        ("random", 256, 0.02, 0.05, 0.1),
    ],
)
def test_turbo_fixed_point_is_near_the_exact_posterior(kind, samples, activity, mean, var):
    """Bounds: of an activity, of a mean in posterior sd, of a variance relative to the exact."""
    rng = np.random.default_rng(3)
    scale = np.sqrt(16 / samples)  # the same evidence a weight whatever the sample size
    noise, slab, rho = 1.5, 0.8 * scale**2, 0.4
    x = design(kind, samples, rng)
    weights = 0.9 * scale * rng.normal(size=(8, 2)) * (rng.random((8, 1)) < 0.5)
    y = x @ weights + 0.3 * scale + np.sqrt(noise) * rng.normal(size=(samples, 2))
    exact = spike_slab_regression(x, y, noise, slab, np.log(rho / (1 - rho)))
    found = fixed_point(x, y, noise, slab, rho)
    assert np.abs(found[0] - exact.activity).max() < activity
    assert (np.abs(found[1] - exact.mean) / np.sqrt(exact.var)).max() < mean
    assert np.abs(found[2] / exact.var - 1).max() < var
