"""Few nonzero weights: the count of them as a penalty (L0), and its convex stand-in (L1).

The best k weights of a linear model are found by trying all subsets, 2^N of them, which is why no
one does it for a network; the L1 norm asks for one convex path. `best_subsets` and `l1_subsets`
give both on columns few enough to compare.

    best_subsets(X, y).squares      # the least that any k columns reach, k = 0 .. N
    l1_subsets(X, y).squares        # what the first k columns of the L1 path reach
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import lars_path
from sklearn.utils import check_X_y

from emtdamp.errors import UsageError

MOST = 16  # columns, 65,536 subsets


class Subsets(NamedTuple):
    """A least-squares fit for each number of columns k = 0 .. N, columns and y centred.

    squares: (N+1,) mean squared residuals of the rows. chosen: (N+1, N), which columns. weights:
    (N+1, N), 0 where a column is not chosen.
    """

    squares: np.ndarray
    chosen: np.ndarray
    weights: np.ndarray


def best_subsets(X: np.ndarray, y: np.ndarray) -> Subsets:
    """The least squares with k nonzero weights at most, for each k, by trying every subset.

    X: (B, N), N at most 16. y: (B,). Raises UsageError for more columns.

    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> best_subsets(X, X @ [3.0, -2.0]).squares.round(9).tolist()
    [13.0, 4.0, 0.0]
    """
    X, y = _centred(X, y)
    columns = X.shape[1]
    fits = []
    for k in range(columns + 1):
        each = (
            _fit(X, y, np.isin(range(columns), kept)) for kept in combinations(range(columns), k)
        )
        fits.append(min(each, key=lambda fit: fit[0]))
    return Subsets(*map(np.array, zip(*fits, strict=True)))


def l1_subsets(X: np.ndarray, y: np.ndarray) -> Subsets:
    """The same for the columns that an L1 penalty chooses, refitted without the penalty.

    For each k the first point of the lasso's path (Efron et al. 2004), from the largest penalty on,
    with k nonzero weights; of fewer where none has k.
    """
    X, y = _centred(X, y)
    columns = X.shape[1]
    chosen = lars_path(X, y, method="lasso")[2].T != 0
    fits = []
    for k in range(columns + 1):
        most = max((mask for mask in chosen if mask.sum() <= k), key=lambda mask: mask.sum())
        fits.append(_fit(X, y, most))
    return Subsets(*map(np.array, zip(*fits, strict=True)))


def hard(z: np.ndarray, penalty: float) -> np.ndarray:
    """argmin_w (w - z)^2 / 2 + penalty [w is not 0], elementwise: z, or 0 below sqrt(2 penalty).

    >>> hard(np.array([-3.0, 1.9, 2.1]), 2.0).tolist()
    [-3.0, 0.0, 2.1]
    """
    return np.where(z**2 > 2 * penalty, z, 0.0)


def soft(z: np.ndarray, penalty: float) -> np.ndarray:
    """argmin_w (w - z)^2 / 2 + penalty abs(w), elementwise: z moved towards 0 by the penalty.

    >>> soft(np.array([-3.0, 1.5, 2.5]), 2.0).tolist()
    [-1.0, 0.0, 0.5]
    """
    return np.sign(z) * np.maximum(np.abs(z) - penalty, 0.0)


def _centred(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, y = check_X_y(X, y, y_numeric=True, dtype="float64")
    if X.shape[1] > MOST:
        raise UsageError(f"X has {X.shape[1]} columns, 2^{X.shape[1]} subsets; give {MOST} at most")
    return X - X.mean(axis=0), y - y.mean()


def _fit(X: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    weights = np.zeros(X.shape[1])
    weights[chosen] = np.linalg.lstsq(X[:, chosen], y, rcond=None)[0]
    return float(np.mean((y - X @ weights) ** 2)), chosen, weights
