"""The scale on which a network sees its inputs."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from emtdamp.errors import UsageError

# Standard deviations and values: squares of these, and sums of the squares, are finite.
SMALLEST, LARGEST = 1e-140, 1e140
FARTHEST = 1e12  # in units of a column's scale: its square times a variance fits float32


class Scaling(NamedTuple):
    """(x - center) / scale of the live columns, in x's dtype; N values each, constants not live."""

    center: np.ndarray
    scale: np.ndarray
    live: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        center, scale = self.center[self.live], self.scale[self.live]
        out = np.empty((len(x), len(center)), x.dtype)
        for rows in _blocks(x):
            out[rows] = (x[rows][:, self.live] - center) / scale
        check_near(out, np.flatnonzero(self.live))
        return out


def _blocks(x: np.ndarray) -> Iterator[slice]:
    """Rows that stay in cache as float64: several times faster on large data."""
    return (slice(start, start + 500) for start in range(0, len(x), 500))


def check_near(x: np.ndarray, columns: np.ndarray) -> None:
    """Raise UsageError for scaled x (B, N) with values out of reach; N numbers name its columns."""
    if x.size and not (x.max() <= FARTHEST and x.min() >= -FARTHEST):
        row, column = np.argwhere(~(np.abs(x) <= FARTHEST))[0]
        raise UsageError(
            f"row {row} of X is {x[row, column]:.3g} scales away in column {columns[column]}, in "
            f"units of the rows that were learnt from; give values within {FARTHEST:g}"
        )


def check_range(name: str, values: np.ndarray) -> None:
    """Raise UsageError where columns of values (B, N) are too large, or vary too little, to square.

    Constant columns are no concern.
    """
    low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    largest = max(-low.min(), high.max())
    if largest > LARGEST:
        raise UsageError(
            f"{name} has a value of size {largest:.3g}; its square would overflow: divide {name}, "
            f"to values below {LARGEST:g}"
        )
    extent = high - low
    least = extent[extent > 0].min(initial=np.inf)
    if least < SMALLEST:
        raise UsageError(
            f"a column of {name} varies by {least:.3g} only; its square would be 0: "
            f"multiply it, to {SMALLEST:g} at least"
        )


def scaling(x: np.ndarray, weight: np.ndarray, share: float) -> Scaling:
    """Centre by the mean; divide by the larger of standard deviation and `share` of the range.

    So no value of these rows exceeds 1/share, and a pixel that is on in one image of a thousand
    does not become an outlier of 30; at share 1/2 all pixels keep a common unit. Rows count
    `weight` > 0 times. Constant inputs are not live.
    """
    share_of_row = weight / weight.sum()

    def average(values: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        parts = (share_of_row[b] @ values(x[b].astype(np.float64)) for b in _blocks(x))
        return np.sum(list(parts), axis=0)

    center = average(lambda rows: rows)
    sd = np.sqrt(average(lambda rows: (rows - center) ** 2))
    with np.errstate(over="ignore"):
        extent = np.ptp(x, axis=0)
    if not np.isfinite(extent).all():  # of float32 with values at its limits
        extent = np.ptp(x.astype(np.float64), axis=0)
    return of_moments(center, sd, extent, share)


def of_moments(center: np.ndarray, sd: np.ndarray, extent: np.ndarray, share: float) -> Scaling:
    """The rule of `scaling` for columns (N,) of this mean, standard deviation and range."""
    live = extent > 0
    if not live.any():
        live = np.full_like(live, True)  # a model of the mean alone
    scale = np.maximum(sd, share * extent)
    return Scaling(center, np.where(scale > 0, scale, 1.0), live)
