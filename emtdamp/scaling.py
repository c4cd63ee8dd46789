"""The scale on which a network sees its inputs."""

from typing import NamedTuple

import numpy as np


class Scaling(NamedTuple):
    """(x - center) / scale; N values each. Columns that are not live are constant."""

    center: np.ndarray
    scale: np.ndarray
    live: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.center) / self.scale


def scaling(x: np.ndarray, weight: np.ndarray, share: float) -> Scaling:
    """Centre by the mean; divide by the larger of standard deviation and `share` of the range.

    So no value of these rows exceeds 1/share, and a pixel that is on in one image of a thousand
    does not become an outlier of 30; at share 1/2 all pixels keep a common unit. Rows count
    `weight` > 0 times. Constant inputs are not live.
    """
    center = np.average(x, axis=0, weights=weight)
    sd = np.sqrt(np.average((x - center) ** 2, axis=0, weights=weight))
    live = np.ptp(x, axis=0) > 0
    if not live.any():
        live[:] = True  # a model of the mean alone
    scale = np.maximum(sd, share * np.ptp(x, axis=0))
    return Scaling(center, np.where(scale > 0, scale, 1.0), live)
