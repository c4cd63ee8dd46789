"""What the pages that solve small cases share: float64 tensors, a batch, a network of ReLUs."""

import numpy as np
import tensorflow as tf

from emtdamp.messages import activations, likelihoods
from emtdamp.messages.damp import Batch, Network

F64 = tf.float64
NETWORK = Network(activations.relu, likelihoods.GaussianNoise())


def f64(value: object) -> tf.Tensor:
    """A float64 tensor."""
    return tf.constant(value, F64)


def batch_of(x: np.ndarray, y: np.ndarray) -> Batch:
    """All rows with weight 1."""
    return Batch(f64(x), f64(y), tf.ones([len(x)], F64))


def with_ones(x: np.ndarray) -> np.ndarray:
    """The inputs and the ones of the bias."""
    return np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
