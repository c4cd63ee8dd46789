"""Which rows train and which rows test: the splits that the reproduced studies used."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emtdamp.datasets.loaders import Mnist
from emtdamp.errors import UsageError


class AssignmentSplit(NamedTuple):
    """MNIST with a validation set, all uint8 as in `Mnist`."""

    x_train: NDArray[np.uint8]  # (50000, 28, 28)
    y_train: NDArray[np.uint8]  # (50000,)
    x_val: NDArray[np.uint8]  # (10000, 28, 28)
    y_val: NDArray[np.uint8]  # (10000,)
    x_test: NDArray[np.uint8]  # (10000, 28, 28)
    y_test: NDArray[np.uint8]  # (10000,)


class Fold(NamedTuple):
    """Row numbers of one split."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def report_split(mnist: Mnist, train_size: int = 10_000) -> Mnist:
    """The report's split: the first `train_size` training images, all test images.

    Args:
        train_size: 1 to 60000. The report takes 10,000, in the order of the file; they are not
            drawn, so the classes are nearly but not exactly balanced (863 to 1127 a digit).

    Returns:
        An Mnist whose training arrays are views of the first rows.

    Raises:
        UsageError: train_size is no whole number from 1 to the number of training images.

    >>> from emtdamp.datasets import load_mnist
    >>> report_split(load_mnist()).x_train.shape
    (10000, 28, 28)
    """
    largest = len(mnist.x_train)
    if not isinstance(train_size, Integral) or not 1 <= train_size <= largest:
        raise UsageError(
            f"train_size must be a whole number from 1 to {largest}, got {train_size!r}"
        )
    return mnist._replace(x_train=mnist.x_train[:train_size], y_train=mnist.y_train[:train_size])


def assignment_split(mnist: Mnist) -> AssignmentSplit:
    """The MLP assignment's split: 50,000 images to train, 10,000 to validate, all test images.

    The assignment gives the sizes but not which images. Here the first 50,000 of the training file
    train and the last 10,000 validate, in the file's order: the partition of `mnist.pkl.gz`, the
    copy of MNIST that comes in these three parts.

    Args:
        mnist: the whole data set, as `load_mnist` returns it.

    >>> from emtdamp.datasets import load_mnist
    >>> [len(part) for part in assignment_split(load_mnist())]
    [50000, 50000, 10000, 10000, 10000, 10000]
    """
    x, y, x_test, y_test = mnist
    return AssignmentSplit(x[:50_000], y[:50_000], x[50_000:], y[50_000:], x_test, y_test)


def boston_splits() -> list[Fold]:
    """The 20 standard random splits of Boston housing: 455 rows train, 51 test.

    The splits on which probabilistic backpropagation, MC dropout and deep ensembles were compared,
    order of rows included, so that errors here stand beside published ones. The recipe is one
    legacy NumPy generator, seeded with 1 and asked for 20 permutations of the rows; the first 90 %
    of each train. Scale inputs and target by the training rows of each fold.

    >>> folds = boston_splits()
    >>> len(folds), folds[0].test[:3].tolist()
    (20, [431, 115, 470])
    """
    rows = 506
    end = round(rows * 9.0 / 10)
    rng = np.random.RandomState(1)  # legacy on purpose: the published splits come from it
    return [Fold(p[:end], p[end:]) for p in (rng.permutation(rows) for _ in range(20))]
