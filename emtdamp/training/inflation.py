"""How far to trust the variances of a fit: one factor, found on rows that it did not learn from.

A fit counts each row c times (`recipes.row_counts`), in a mean-field posterior that knows
nothing of what weights make up for each other. Neither tells how much V, the variance of the
network's output, should be where data are few; rows held out do. The factor f that makes them most
probable under N(z; w, f V) and the likelihood also makes v + f V the mean squared error of new
rows, where the likelihood is Gaussian.
"""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from emtdamp.posterior import Posterior
    from emtdamp.training.recipe import Data

# of the factor; a network that learns all its rows by heart learns hardly any v, and so no V
BOUNDS = (1e-4, 5.35e11)
# sd of what is believed of log f beforehand: a factor of 4 is no surprise
PRIOR_SD = float(np.log(4.0))
LEAST_ROWS = 30  # with fewer rows there are too few to hold out
HELD_OUT = 0.2


class Choice(NamedTuple):
    """The factor, and what it was chosen by: the higher, the better the fit predicted the rows."""

    factor: float
    score: float


def log_density(posterior: "Posterior", x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B,) log predictive density of y at the rows x (B, inputs); of classes: log probability.

    y: (B,) class numbers or (B, J) targets in the network's own units.
    """
    return _at(posterior, *posterior.propagate(x), y)


def _at(posterior: "Posterior", w: np.ndarray, var: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`log_density` where the network's outputs are N(w, var)."""
    if y.ndim == 1:
        return np.take_along_axis(posterior.normalised(w, var), y[:, None], 1)[:, 0]
    noise, targets = tf.constant(posterior.noise, w.dtype), tf.constant(y, w.dtype)
    found = posterior.likelihood(tf.constant(w), tf.constant(var, w.dtype), targets, noise)
    return found.log_partition.numpy()


def hold_out(data: "Data", seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows to learn from, and of a fifth of the distinct ones held out.

    Copies of a row stay together, where `_groups` finds such: where one was learnt, the other is no
    new row. Classes are shared out evenly where there are enough rows of each.
    """
    rows = len(data.x)
    first, group = _groups(data.x)
    labels = data.y[first] if data.y.ndim == 1 else None
    if labels is not None:
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        if counts.min() < 2 or len(counts) > np.ceil(HELD_OUT * len(first)):
            labels = None
    left, out = map(
        np.asarray,
        train_test_split(
            np.arange(len(first)), test_size=HELD_OUT, random_state=seed, stratify=labels
        ),
    )
    if len(first) == rows:
        return left, out
    return np.flatnonzero(np.isin(group, left)), np.flatnonzero(np.isin(group, out))


def _groups(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each group of copies, (G,), and the group of each row, (B,), in order.

    Rows that agree are copies where that cannot be chance: were the columns independent, of the
    distinct rows less than one pair would agree. New rows of a few discrete columns agree as well.
    Every row is its own group where there are too few distinct ones, or half a table is one row.
    """
    _, first, group = np.unique(x, axis=0, return_index=True, return_inverse=True)
    if LEAST_ROWS <= len(first) < len(x):
        counts = [np.unique(column, return_counts=True)[1] for column in x[first].T]
        agree = np.sum([np.log(np.mean((n / len(first)) ** 2) * len(n)) for n in counts])
        most = np.bincount(group.reshape(-1)).max()
        if 2 * np.log(len(first)) - np.log(2) + agree < 0 and most <= HELD_OUT * len(x):
            place = np.argsort(np.argsort(first))
            return np.sort(first), place[group.reshape(-1)]
    return np.arange(len(x)), np.arange(len(x))


def choose(posterior: "Posterior", data: "Data", expected: float) -> Choice:
    """The posterior's `inflation` f, in `BOUNDS`, from rows that it has not seen.

    Maximises the score sum_b weight_b log p(y_b; f) - (log f - log `expected`)^2/(2 `PRIOR_SD`^2),
    the weights relative to their mean: a prediction is judged alike however little a fit counts its
    rows.
    """
    weight = data.weight / data.weight.mean()
    w, var = replace(posterior, inflation=1.0).propagate(data.x)

    def loss(log_factor: float) -> float:
        away = (log_factor - np.log(expected)) / PRIOR_SD
        density = _at(posterior, w, float(np.exp(log_factor)) * var, data.y)
        return 0.5 * away**2 - float(weight @ density)

    grid = np.linspace(np.log(BOUNDS[0]), np.log(BOUNDS[1]), 37)
    found_at = lru_cache(lambda place: loss(grid[place]))
    best = int(np.argmin(np.abs(grid - np.log(expected))))
    while True:  # downhill to the nearest valley: with many classes a prediction takes its time
        places = range(max(best - 1, 0), min(best + 2, len(grid)))
        if best == (least := min(places, key=found_at)):
            break
        best = least
    around = grid[places[0]], grid[places[-1]]
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 0.02})
    return Choice(float(np.exp(found.x)), -float(found.fun))
