"""From stored images to what a network is fed: scaled rows, one-hot labels, minibatches."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emtdamp.errors import UsageError

if TYPE_CHECKING:
    import tensorflow as tf


def scale_images(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey values 0..255 as rows of float32 in [0, 1]: divided by 255 and flattened.

    The report divides in float64 and leaves the rounding to float32 to Keras; dividing in float32
    gives the same bits for each of the 256 grey values and takes half the memory.

    Args:
        images: (B, height, width), uint8.

    Returns:
        (B, height * width) float32.

    Raises:
        UsageError: the images are not uint8, thus perhaps scaled already.

    >>> import numpy as np
    >>> scale_images(np.array([[[0, 51], [102, 255]]], dtype=np.uint8)).tolist()
    [[0.0, 0.20000000298023224, 0.4000000059604645, 1.0]]
    """
    if images.dtype != np.uint8:
        raise UsageError(
            f"images must be uint8 grey values from 0 to 255, got {images.dtype}; "
            "pass them as the loader returns them"
        )
    return np.divide(images.reshape(len(images), -1), np.float32(255), dtype=np.float32)


def one_hot(labels: ArrayLike, classes: int = 10) -> NDArray[np.float32]:
    """Class numbers as rows with a single 1: (B,) integers in 0..classes-1 to (B, classes) float32.

    Raises:
        UsageError: a label is not a whole number from 0 to classes - 1.

    >>> one_hot([2, 0], classes=3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(
            f"labels must be one row of whole numbers, got {labels.dtype} of shape {labels.shape}"
        )
    allowed = (labels >= 0) & (labels < classes)
    if not allowed.all():
        raise UsageError(f"labels must be 0 to {classes - 1}, got {labels[~allowed][0]}")
    return np.eye(classes, dtype=np.float32)[labels]


def batches(x: NDArray, y: NDArray, batch_size: int, seed: int | None = None) -> tf.data.Dataset:
    """Minibatches of (x, y) as a tf.data pipeline, prepared while the previous one is in use.

    Each pass gives every row once; the last minibatch may be smaller. With a seed the rows come in
    a new order at each pass, shuffled over the whole set, and the seed alone fixes the series of
    orders, whatever TensorFlow's global seed is; without a seed they come in the order given, as an
    evaluation needs.

    Args:
        x, y: arrays with the same number of rows.
        batch_size: 1 or more; the report uses 100.
        seed: 0 to 2^32 - 1 (as Keras allows), or None for no shuffling.

    Raises:
        UsageError: batch_size or seed is not allowed, or x and y differ in length or are empty.

    >>> import numpy as np
    >>> [b.numpy().tolist() for _, b in batches(np.zeros((5, 1)), np.arange(5), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise UsageError(f"batch_size must be a whole number of 1 or more, got {batch_size!r}")
    if seed is not None and not (isinstance(seed, Integral) and 0 <= seed < 2**32):
        raise UsageError(
            f"seed must be a whole number from 0 to {2**32 - 1}, or None, got {seed!r}"
        )
    if len(x) != len(y) or len(x) == 0:
        raise UsageError(
            f"x and y must have the same number of rows, at least 1, got {len(x)} and {len(y)}"
        )
    import tensorflow as tf  # takes seconds, and the loaders do without

    n = len(x)
    if seed is None:
        rows = tf.data.Dataset.range(n)
    else:
        rng = np.random.default_rng(seed)
        order = tf.data.Dataset.from_generator(  # called anew, and drawn anew, at each pass
            lambda: iter([rng.permutation(n)]),
            output_signature=tf.TensorSpec((n,), tf.int64),
        )
        rows = order.unbatch()
    x, y = tf.constant(x), tf.constant(y)
    dataset = rows.batch(batch_size).map(lambda i: (tf.gather(x, i), tf.gather(y, i)))
    return dataset.prefetch(tf.data.AUTOTUNE)
