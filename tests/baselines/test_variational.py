"""The compiled training of Bayes by Backprop: its objective, and what it drops first."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax

from emtdamp.baselines.network import signal_to_noise
from emtdamp.baselines.variational import VariationalProgram, program

SIZES = (5, 6, 3)


def started(loss, prunable=(True, True), kl_scale=0.0):
    rng = np.random.default_rng(0)
    network = program(SIZES, "relu", loss, prunable, 0.3, 0.02)
    network.start(rng)
    network.begin_with(kl_scale, rng)
    return network


def kl(network, prior=0.3):
    """By the closed form, of all weights."""
    mean, var = (np.concatenate([a.ravel() for a in part]) for part in network.gaussians())
    return (np.log(prior / var**0.5) + (var + mean**2) / (2 * prior**2) - 0.5).sum()


@pytest.mark.parametrize("loss", ["classes", "squares"])
def test_the_objective_is_the_expected_loss_and_the_scaled_kl(loss):
    network = started(loss, kl_scale=0.01)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 5)).astype(np.float32)
    y = rng.integers(0, 3, 20) if loss == "classes" else rng.normal(size=(20, 3))
    for layer in network.model.layers:  # as good as without variance, and with a known KL
        for rho in (layer.kernel_rho, layer.bias_rho):
            rho.assign(np.full(rho.shape, -12.0))
    network.log_noise.assign(0.7)
    y = tf.constant(y, tf.int32 if loss == "classes" else tf.float32)
    got = tf.function(network.objective, jit_compile=True)(tf.constant(x), y).numpy()
    (first, second), _ = network.gaussians()
    z = np.maximum(x @ first[:-1] + first[-1], 0) @ second[:-1] + second[-1]
    if loss == "classes":
        expected = -log_softmax(z, axis=1)[np.arange(20), y.numpy()].mean()
    else:
        expected = 0.5 * (np.mean((z - y.numpy()) ** 2) / np.exp(0.7) + 0.7)
    assert_allclose(got, expected + 0.01 * kl(network), rtol=1e-4)


@pytest.mark.slow
def test_the_groups_of_the_least_signal_to_noise_go():
    network = started("classes")
    rng = np.random.default_rng(2)
    for layer in network.model.layers:
        layer.kernel_rho.assign(rng.normal(-2, 1.5, layer.kernel_rho.shape))
    (_, second), (_, var) = network.gaussians()
    x, y = tf.zeros([4, 5]), tf.zeros([4], tf.int32)
    order, none = tf.zeros([1, 4], tf.int32), tf.zeros([1])
    network.epoch(x, y, order, none, tf.zeros([1, 2]), tf.constant([[5, 2]]))  # at a rate of 0
    ratio = signal_to_noise(second[:-1], var[:-1])
    hidden = network.masks[1].numpy() > 0
    assert set(np.flatnonzero(hidden)) == set(np.argsort(-ratio)[:2])
    assert set(np.argsort(-ratio)[:2]) != set(np.argsort(-np.linalg.norm(second[:-1], axis=1))[:2])
    (first, second), (var, _) = network.gaussians()
    assert (first[:-1, ~hidden] == 0).all() and (var[:-1, ~hidden] == 0).all()
    assert (second[:-1][~hidden] == 0).all()


@pytest.mark.slow
def test_a_heavy_kl_leaves_the_prior_and_a_start_forgets_all():
    network = started("squares", (False, False), kl_scale=100.0)
    x, y = tf.ones([8, 5]), tf.ones([8, 3])
    order = tf.zeros([1500, 8], tf.int32)
    keep = tf.constant(np.tile([5, 6], (1500, 1)), tf.int32)
    rates = tf.constant(0.02 * np.linspace(1, 0, 1500), tf.float32)
    network.epoch(x, y, order, rates, tf.zeros([1500, 2]), keep)
    for mean, var in zip(*network.gaussians(), strict=True):
        assert_allclose(mean, 0 * mean, atol=0.02)
        assert_allclose(var**0.5, 0.3, rtol=0.02)
    again, fresh = started("squares", (False, False)), VariationalProgram(
        SIZES, "relu", "squares", (False, False), 0.3, 0.02
    )  # fmt: skip
    fresh.start(np.random.default_rng(0))
    for one, other in zip(again.gaussians()[0], fresh.gaussians()[0], strict=True):
        assert_array_equal(one, other)
    assert_allclose(again.gaussians()[1][0] ** 0.5, 0.02, rtol=1e-5)
