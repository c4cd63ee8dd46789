"""What travels: flat dictionaries of NumPy arrays, the same whatever carries them.

A message of the server has `round`, `rows` (of all) and `clients` (that have some), `noise` (v),
`count` (minibatches in the curvature), `columns`, `center` and `scale` (of the inputs), `y_center`
and `y_scale`, and of each layer l `mean.l`, `curvature.l` and `active.l` (its groups, that is its
inputs or neurons, that are left). A client's answer has `client`, `round`, `rows`, `count`, `noise`
and `noise_rows` (a sum of E[eps^2] and its rows), `log_partition`, `mean.l`, `curvature.l`.

Only what is left travels: layers are (active inputs + 1, active outputs), the bias's row last.
The curvature is Lam/n, the precision that a minibatch of likelihood has on average; as it spans
many decades, its logarithm is what is halved.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emtdamp.errors import EmtdampError

Arrays = dict[str, np.ndarray]
TINY = 1e-30  # a curvature of 0, as its logarithm travels


class Weights(NamedTuple):
    """Of a layer, (N+1, J) each: the posterior's mean, and a minibatch's average precision."""

    mean: np.ndarray
    curvature: np.ndarray


class Refused(EmtdampError):
    """An answer that the server does not use; the text says whose and why."""


def pack(layers: Sequence[Weights], half: bool) -> Arrays:
    """`mean.l` and `curvature.l` as they travel."""
    found: Arrays = {}
    for number, (mean, curvature) in enumerate(layers):
        if half:
            found[f"mean.{number}"] = mean.astype(np.float16)
            found[f"curvature.{number}"] = np.log(np.maximum(curvature, TINY)).astype(np.float16)
        else:
            found[f"mean.{number}"] = mean.astype(np.float32)
            found[f"curvature.{number}"] = curvature.astype(np.float32)
    return found


def unpack(arrays: Arrays) -> tuple[Weights, ...]:
    """What `pack` packed, as float64."""
    layers = sum(name.startswith("mean.") for name in arrays)
    found = []
    for number in range(layers):
        mean, curvature = arrays[f"mean.{number}"], arrays[f"curvature.{number}"]
        if curvature.dtype == np.float16:
            curvature = np.exp(curvature.astype(np.float64))
        found.append(Weights(mean.astype(np.float64), curvature.astype(np.float64)))
    return tuple(found)


def size(arrays: Arrays) -> int:
    """Bytes of the arrays, names and framing apart."""
    return sum(np.asarray(array).nbytes for array in arrays.values())
