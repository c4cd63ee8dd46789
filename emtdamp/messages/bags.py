"""A network on bags: a layer on each instance, tanh, mean and maximum over the bag, more layers.

Weights are those of `1 + 1 + the rest` layers: (I+1, H) of the instances, (1, 2H) what stands for
mean and maximum of an empty bag, (2H+1, J) and so on. The second is a layer without inputs: its
only row is a bias. x is (B, M, I+1), M instances a bag at most: 1 in the last column where there is
an instance, which is its bias, and 0 all through where there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import tensorflow as tf

from emtdamp.messages import damp, layers, pooling
from emtdamp.messages.damp import Batch, MessagePass, Network
from emtdamp.messages.layers import WeightMessage

Weights = Sequence[tuple[tf.Tensor, tf.Tensor]]
STEP = 128  # capacities are multiples of it, so that splits share compiled epochs


def padded(x: np.ndarray, first: np.ndarray, length: np.ndarray, bags: np.ndarray) -> np.ndarray:
    """(B, M, I+1) of these bags, M the length of the longest bag of all.

    x (instances, I): bag b has `length`[b] rows, 0 or more, from row `first`[b] on.

    >>> x = np.array([[0.5], [0.6], [0.7]])
    >>> padded(x, np.array([0, 1]), np.array([1, 2]), np.array([1, 0]))[..., 0].tolist()
    [[0.6, 0.7], [0.5, 0.0]]
    """
    place = np.arange(max(int(length.max()), 1))
    inside = place < length[bags, None]
    rows = np.where(inside, first[bags, None] + place, 0)
    own = np.pad(x[rows], [(0, 0), (0, 0), (0, 1)], constant_values=1.0)
    return np.where(inside[..., None], own, 0.0)


@dataclass(frozen=True)
class BagNetwork(Network):
    """Settings of module A on bags; the activation of the layers above the pooling is free.

    capacity: as many instances as a minibatch has, or more; `sized` sets it. Bags differ in
    length: what is computed for an instance is computed for so many, not for M a bag.
    """

    capacity: int = 0

    def sized(self, x: np.ndarray) -> Self:
        # room for one where all bags are empty: no maximum is that of none
        return replace(self, capacity=int(np.ceil(max(x[..., -1].sum(), 1) / STEP)) * STEP)

    def message_pass(self, weights: Weights, batch: Batch, noise: tf.Tensor) -> MessagePass:
        own, member = self._instances(batch.x)
        (m, s), (default, _) = weights[:2]
        w, var = layers.forward(own, None, m, s, None)
        x, spread, some = _pooled(w, var, member, weights[1])
        rest = Batch(x, batch.y, batch.weight)
        upper = damp.message_pass(self, weights[2:], rest, noise, var=spread)
        (above,) = upper.inputs
        down = pooling.backward(w, var, member, above)
        count = tf.matmul(member, batch.weight[:, None], transpose_a=True)
        first = layers.to_weights(own, None, m, down.gradient, down.curvature, count, None)
        precision, shift = above
        empty = batch.weight[:, None] * (1.0 - some)
        push = tf.reduce_sum(empty * (shift - default * precision), 0, keepdims=True)
        second = WeightMessage(push, tf.reduce_sum(empty * precision, 0, keepdims=True))
        return upper._replace(messages=[first, second, *upper.messages])

    def propagate(self, weights: Weights, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of the last layer's z, (B, J): prediction."""
        own, member = self._instances(x)
        w, var = layers.forward(own, None, *weights[0], None)
        pooled, spread, _ = _pooled(w, var, member, weights[1])
        return damp.propagate(self, weights[2:], pooled, spread)

    def _instances(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The instances (C, I+1) of all bags, and `pooling`'s member (B, C)."""
        bags, most, columns = x.shape
        flat = tf.reshape(x, [bags * most, columns])
        place = tf.range(bags * most)
        first = tf.where(flat[:, -1] > 0, place, place + bags * most)
        order = tf.argsort(first)[: self.capacity]
        own = tf.gather(flat, order)
        return own, own[:, -1] * tf.one_hot(order // most, bags, axis=0, dtype=x.dtype)


def _pooled(
    w: tf.Tensor, var: tf.Tensor, member: tf.Tensor, default: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean and variance (B, 2H+1) of what the layer above reads; (B, 1) 0 for an empty bag."""
    pooled, some = pooling.forward(w, var, member), tf.reduce_max(member, 1)[:, None]
    mean, spread = (
        tf.where(some > 0, seen, stands) for seen, stands in zip(pooled, default, strict=True)
    )
    x = tf.pad(mean, [[0, 0], [0, 1]], constant_values=1.0)
    return x, tf.pad(spread, [[0, 0], [0, 1]]), some
