"""One dense layer: exact sums, the symmetry of weights and inputs, limits that are exact."""

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.messages import layers
from emtdamp.messages.layers import Trace


def draw(*shape, seed=0, positive=False):
    values = np.random.default_rng(seed).normal(size=shape)
    return tf.constant(np.exp(values) if positive else values)


def test_forward_moments_are_those_of_the_sum_of_products():
    x, d = draw(4, 6), draw(4, 6, seed=1, positive=True)
    m, s = draw(6, 3, seed=2), draw(6, 3, seed=3, positive=True)
    w, var = layers.forward(x, d, m, s, None)
    rng = np.random.default_rng(4)
    n = 200000
    inputs = x + tf.sqrt(d) * rng.normal(size=(n, 4, 6))
    weights = m + tf.sqrt(s) * rng.normal(size=(n, 6, 3))
    z = np.einsum("nbi,nij->nbj", inputs, weights)
    np.testing.assert_allclose(w, z.mean(0), atol=5 * np.sqrt(var / n).max())
    np.testing.assert_allclose(var, z.var(0), rtol=0.05)


@pytest.mark.parametrize("passes", [1, 2])
def test_inputs_and_weights_get_the_same_message_with_their_roles_exchanged(passes):
    # z_j = sum_n x_n W_nj for one sample is a layer with "samples" j, "inputs" W_.j, "weights" x
    x, m = draw(1, 6), draw(6, 3, seed=2)
    s = draw(6, 3, seed=3, positive=True)
    g, gam = draw(1, 3, seed=4), draw(1, 3, seed=5)  # Gam may be negative: the clips agree too
    old = swapped = None
    if passes == 2:
        old = Trace(draw(1, 6, seed=6), draw(6, 3, seed=7), draw(1, 3, seed=8))
        swapped = Trace(*(tf.transpose(a) for a in (old.m, old.x, old.g)))
    message = layers.to_inputs(x, m, s, g, gam, old)
    column = [tf.transpose(a) for a in (m, s, x, g, gam)]
    one = tf.ones([3, 1], tf.float64)
    mirror = layers.to_weights(*column, one, swapped)
    precision = tf.transpose(mirror.precision)[:, :-1]
    shift = tf.transpose(mirror.gradient + column[2] * mirror.precision)[:, :-1]
    np.testing.assert_allclose(message.precision, precision, rtol=1e-12)
    np.testing.assert_allclose(message.shift, shift, rtol=1e-12)


def test_messages_to_weights_add_over_samples_and_weights_count_samples():
    x, d = draw(5, 4), draw(5, 4, seed=1, positive=True)
    m, g = draw(4, 3, seed=2), draw(5, 3, seed=3)
    gam = draw(5, 3, seed=4, positive=True) * 30
    count = tf.constant([[1.0], [2.0], [0.0], [1.0], [3.0]], tf.float64)
    whole = layers.to_weights(x, d, m, g, gam, count, None)
    index = [0, 1, 1, 3, 4, 4, 4]
    again = [tf.gather(a, index) for a in (x, d, g, gam)]
    one = tf.ones([7, 1], tf.float64)
    repeated = layers.to_weights(again[0], again[1], m, again[2], again[3], one, None)
    for a, b in zip(whole, repeated, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_negative_precision_is_clipped_and_the_push_is_kept():
    x, d = draw(1, 3), draw(1, 3, seed=1, positive=True)
    m, g, gam = (
        draw(3, 2, seed=2),
        tf.fill([1, 2], tf.constant(5.0, tf.float64)),
        tf.zeros([1, 2], tf.float64),
    )
    message = layers.to_weights(x, d, m, g, gam, tf.ones([1, 1], tf.float64), None)
    np.testing.assert_array_equal(message.precision, 0)
    push = tf.transpose(x) @ g + m * (tf.transpose(d) @ tf.square(g))
    np.testing.assert_allclose(message.gradient, push, rtol=1e-12)
