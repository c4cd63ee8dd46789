"""Bags of instances with one label each: a network that pools the instances of a bag.

Bags have different lengths. They lie one after another in one array, and segment operations pool
what belongs together, so that nothing is padded to the longest bag. An empty bag has no mean and no
maximum; what stands for these is learnt. Shapes: R replicas, B bags of a minibatch, I inputs,
H neurons of the first hidden layer.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from emtdamp.baselines.replicas import ACTIVATIONS, affine, check_activation, unpacked
from emtdamp.errors import UsageError


class Bags(NamedTuple):
    """Instances of all bags, in the order of the bags.

    x: (instances, I), or (R, instances, I) for replicas with scales of their own. first, length:
    (bags,) integers, where each bag begins and how many instances it has, 0 or more. capacity:
    instances of a minibatch at most.
    """

    x: np.ndarray
    first: np.ndarray
    length: np.ndarray
    capacity: int


def pack(x: ArrayLike, bag: ArrayLike, bags: int | None = None) -> Bags:
    """Instances by bag.

    Args:
        x: (instances, I) finite numbers, in any order.
        bag: (instances,) the bag of each, integers from 0.
        bags: how many there are; bags that no instance names are empty. None: up to the last named.

    Raises:
        ValueError: x is not finite or not two-dimensional, as scikit-learn says it.
        UsageError: a bag's number is no integer from 0 to bags - 1.

    >>> packed = pack([[1.0], [2.0], [3.0]], [2, 0, 2])
    >>> packed.x.ravel().tolist(), packed.first.tolist(), packed.length.tolist()
    ([2.0, 1.0, 3.0], [0, 1, 1], [1, 0, 2])
    """
    x = np.asarray(check_array(x, dtype="float32", input_name="x"))
    bag = np.asarray(column_or_1d(bag))
    check_consistent_length(x, bag)
    if bag.dtype.kind not in "iu":
        raise UsageError(f"bag has dtype {bag.dtype}; give integers from 0")
    number = int(bag.max()) + 1 if bags is None else bags
    wrong = bag[(bag < 0) | (bag >= number)]
    if len(wrong):
        raise UsageError(f"bag {wrong[0]}: give integers from 0 to {number - 1}")
    length = np.bincount(bag, minlength=number).astype(np.int32)
    first = (np.cumsum(length) - length).astype(np.int32)
    return Bags(x[np.argsort(bag, kind="stable")], first, length, len(x))


def labels_of(bag: ArrayLike, label: ArrayLike) -> np.ndarray:
    """(bags,) the label of each bag from those of its instances (instances,), which must agree.

    >>> labels_of([0, 0, 1], [1, 1, 0]).tolist()
    [1, 0]
    """
    bag, label = np.asarray(bag), np.asarray(label)
    check_consistent_length(bag, label)
    found = np.full(int(bag.max()) + 1, -1)
    found[bag] = label
    unlike = bag[found[bag] != label]
    if len(unlike):
        raise UsageError(f"bag {unlike[0]} has instances with different labels; give each bag one")
    if (found < 0).any():
        raise UsageError(f"bag {int(np.argmin(found))} has no instance: give its label yourself")
    return found


@dataclass(frozen=True)
class MeanMax:
    """Instances to H neurons; their mean and maximum over a bag, 2H, to a hidden layer; classes.

    The slides' network is 166-10-meanmax-10-2. Its dense layers have 1,902 weights and biases and
    the slides say 1,922: 20 more are a learnt value for each of the 2H pooled outputs of an empty
    bag. That is this book's reading.

    Args:
        inputs: I.
        instance: H.
        hidden: neurons after the pooling.
        classes: 2 or more; a softmax is over them.
        activation: "relu", "tanh" or "identity", of both hidden layers.
    """

    inputs: int
    instance: int = 10
    hidden: int = 10
    classes: int = 2
    activation: str = "tanh"

    def __post_init__(self):
        check_activation(self.activation)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        pooled = 2 * self.instance
        return (
            (self.inputs + 1, self.instance),
            (pooled,),
            (pooled + 1, self.hidden),
            (self.hidden + 1, self.classes),
        )

    def prepared(self, data: Bags, order: np.ndarray) -> Bags:
        """The data with room for the largest of the minibatches (..., B)."""
        return data._replace(capacity=int(data.length[order].sum(axis=-1).max()))

    def logits(self, theta: tf.Tensor, data: Bags, rows: tf.Tensor) -> tf.Tensor:
        first, default, second, last = unpacked(theta, self.shapes)
        curve = ACTIVATIONS[self.activation]
        index, segment, length = layout(data, rows)
        x = tf.convert_to_tensor(data.x)
        own = tf.gather(x, index) if len(x.shape) == 2 else tf.gather(x, index, batch_dims=1)
        u = pool(curve(affine(own, first)), segment, length, default)
        return affine(curve(affine(u, second)), last)


def layout(data: Bags, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The instances of some bags, one bag after another.

    Args:
        data: with first, length and capacity C.
        rows: (R, B) bags.

    Returns:
        (R, C) rows of x; (R, C) which of the B bags each belongs to, B where there is none any
        more; (R, B) lengths of the bags.
    """
    length = tf.gather(data.length, rows)
    ends = tf.cumsum(length, axis=1)
    place = tf.range(data.capacity)
    past = place[None, :, None] >= ends[:, None, :]
    segment = tf.reduce_sum(tf.cast(past, tf.int32), axis=2)
    offset = tf.pad(tf.gather(data.first, rows) - (ends - length), [(0, 0), (0, 1)])
    index = place + tf.gather(offset, segment, batch_dims=1)
    return tf.where(segment < rows.shape[1], index, 0), segment, length


def pool(u: tf.Tensor, segment: tf.Tensor, length: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """(R, B, 2H) mean and maximum over each bag's instances; `default` for an empty bag.

    Args:
        u: (R, C, H).
        segment: (R, C) from 0 to B; what is in B counts for nothing.
        length: (R, B).
        default: (R, 2H).
    """
    replicas, bags, width = u.shape[0], length.shape[1], u.shape[2]
    ids = tf.reshape(segment + (bags + 1) * tf.range(replicas)[:, None], [-1])
    flat, number = tf.reshape(u, [-1, width]), replicas * (bags + 1)
    total = tf.math.unsorted_segment_sum(flat, ids, number)
    largest = tf.math.unsorted_segment_max(flat, ids, number)
    some = tf.maximum(tf.cast(length, u.dtype), 1)[:, :, None]
    shape = (replicas, bags + 1, width)
    mean = tf.reshape(total, shape)[:, :-1] / some
    pooled = tf.concat([mean, tf.reshape(largest, shape)[:, :-1]], axis=2)
    return tf.where(length[:, :, None] > 0, pooled, default[:, None])
