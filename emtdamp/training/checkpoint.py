"""The one state of a fit in a file: `em.Progress` at rest to an .npz and back, bit for bit.

state.layers.0.mean       an array a leaf, named by the way to it
state.layers.0.prior.precision
prior.logit_rho.1
k
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from emtdamp.errors import DAMAGED, UsageError
from emtdamp.messages.damp import Layer, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import PriorState
from emtdamp.training.em import Progress


def save(progress: Progress, path: str | Path) -> Path:
    """Write it to `path`, whole or not at all; `fitting.train` goes on from what `load` reads."""
    return write(dict(zip(names(progress), tf.nest.flatten(progress), strict=True)), path)


def write(arrays: Mapping[str, Any], path: str | Path) -> Path:
    """Write arrays by name to an .npz, whole or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:  # np.savez would add a suffix of its own
        np.savez(file, **arrays)
    partial.replace(path)
    return path


def load(path: str | Path) -> Progress:
    """Read what `save` wrote. Raises UsageError for other files, FileNotFoundError for none."""
    try:
        with Path(path).open("rb") as raw:
            arrays = dict(np.load(raw, allow_pickle=False))
        layers, left = (
            len({name.split(".")[2] for name in arrays if name.startswith(start)})
            for start in ("state.layers.", "prior.left.")
        )
        blank = _blank(layers, left)
        flat = [arrays.pop(name) for name in names(blank)]
    except DAMAGED as error:
        raise UsageError(f"{path} is no file that checkpoint.save wrote: {error}") from error
    if arrays:
        raise UsageError(
            f"{path} has {', '.join(sorted(arrays))}, which no fit has; checkpoint.save writes none"
        )
    return tf.nest.pack_sequence_as(blank, flat)


def _blank(layers: int, left: int) -> Progress:
    """A progress of this structure, of zeros."""
    layer = Layer(0, 0, 0, Gaussian(0, 0))
    each = (0,) * layers
    return Progress(State((layer,) * layers, 0, 0), each, PriorState(each, each, (0,) * left), 0, 0)


def names(tree: Any, way: str = "") -> Iterator[str]:
    """Of each leaf, in the order of `tf.nest.flatten`."""
    if not isinstance(tree, tuple):
        yield way
        return
    fields = getattr(tree, "_fields", range(len(tree)))
    for field, part in zip(fields, tree, strict=True):
        yield from names(part, f"{way}.{field}" if way else str(field))
