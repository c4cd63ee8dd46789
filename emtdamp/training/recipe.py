"""What a fit is given: its settings and its data."""

from typing import NamedTuple

import numpy as np

from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.messages.prior import GroupPrior
from emtdamp.training.forms import Form, Schedule

SMALL = 2000  # rows below which training runs in float64 and is padded


class Recipe(NamedTuple):
    """How to train; `estimators.parameters` documents each, `recipes` has the defaults."""

    hidden: tuple[int, ...]
    outputs: int
    likelihood: GaussianNoise | ProbitProduct
    activation: str
    form: Form
    epochs: int
    batch_size: int
    exchanges: int  # with module B an epoch
    rules: tuple[str, ...]  # of the inputs and each hidden layer, as `GroupPrior` has them
    keep: tuple[int, ...]  # groups to keep where steered
    slab: float  # prior variance of a weight times the fan-in of its layer
    learn_slab: bool
    share_incoming: bool
    noise: float  # v at the start
    inflation: float | None  # of the outputs' variances; None: each row counts once in them
    schedule: Schedule  # total 0: `epochs` of them

    @property
    def module(self) -> GroupPrior:
        """Module B."""
        return GroupPrior(
            self.rules, learn_slab=self.learn_slab, share_incoming=self.share_incoming
        )

    def slabs(self, inputs: int) -> list[float]:
        """Prior variance of an active weight, a layer each."""
        return [self.slab / n for n in (inputs, *self.hidden)]


class Data(NamedTuple):
    """x (B, N) centred and scaled; y (B, J) float or (B,) int32; weight (B,) > 0."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def padded_shape(rows: int, inputs: int) -> tuple[int, int]:
    """Shape of the array that holds (rows, inputs): below `SMALL` rows one of few."""
    if rows >= SMALL:
        return rows, inputs
    return _up(rows, 256), _up(inputs, 32) if inputs < 64 else inputs


def _up(number: int, least: int) -> int:
    """The next power of two, `least` at least."""
    return max(least, 1 << (number - 1).bit_length())
