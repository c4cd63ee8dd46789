"""Pruned groups leave the arithmetic: the same fit on smaller arrays, and the way back.

Where the number of groups is given (`prior.GroupPrior`, "steered"), an inactive group is certain to
be so: a prior precision of 1e8/slab holds its weights at 0. Its row, the column that feeds its
neuron and its column of the data can be dropped: what is left follows the same path up to rounding,
as long as the choice of groups stands. So a fit shrinks once, when the ramp is over, and the choice
is final then. Where rho or a slab is learnt, or activities are soft, all groups have a say, and
nothing is dropped; nor is it where groups share weights, a case too rare for the code that it would
take.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.messages.damp import Layer
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GroupPrior, PriorInfo
from emtdamp.training.em import Progress

# Of one core of a server of 2023 (AMD EPYC 9004): what tracing and compiling an epoch takes, and
# what arrays of half the size save an operation of the four products a weight and sample.
COMPILE_SECONDS = 6.0
OPERATIONS_A_SECOND = 7.5e10


class Kept(NamedTuple):
    """Which groups are left, and what the others had: the fit before it shrank."""

    groups: tuple[np.ndarray, ...]  # indices, of the inputs and each hidden layer's neurons
    progress: Progress
    info: PriorInfo


def operations(sizes: Sequence[int]) -> int:
    """Additions and multiplications that a sample costs in layers of these sizes, one pass."""
    return sum(8 * (n + 1) * j for n, j in pairwise(sizes))


def worthwhile(before: Sequence[int], after: Sequence[int], samples: float) -> bool:
    """Whether the `samples` still to be seen save more time than compiling anew takes.

    From sizes alone, not from a clock, so that a seed gives the same result on a busy machine.
    """
    saved = (operations(before) - operations(after)) * samples
    return saved > OPERATIONS_A_SECOND * COMPILE_SECONDS


def consider(
    log_odds: Sequence[np.ndarray], outputs: int, module: GroupPrior, samples: float
) -> tuple[np.ndarray, ...] | None:
    """The groups to go on with, those active now; None where all should stay."""
    if module.learn_slab or module.share_incoming or not {*module.rules} <= {"dense", "steered"}:
        return None
    groups = tuple(np.flatnonzero(odds > 0) for odds in log_odds)
    before = [*map(len, log_odds), outputs]
    after = [*map(len, groups), outputs]
    if min(after) == 0 or not worthwhile(before, after, samples):
        return None
    return groups


def columns(kept: Kept) -> np.ndarray:
    """Of the data: the inputs that are left, and the ones of the bias."""
    return np.append(kept.groups[0], kept.info.log_odds[0].shape[0])


def drop(kept: Kept) -> Progress:
    """The fit with the kept groups alone."""
    places = _places(kept)

    def small(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return [tf.constant(v.numpy()[place]) for v, place in zip(values, places, strict=True)]

    return _through(small, kept.progress)


def marked(progress: Progress, kept: Kept) -> Progress:
    """The whole fit with the choice noted in it, as those who are left."""
    left = tuple(
        np.isin(np.arange(odds.shape[0]), groups)
        for odds, groups in zip(kept.info.log_odds, kept.groups, strict=True)
    )
    return progress._replace(
        prior=progress.prior._replace(left=tuple(tf.constant(mask) for mask in left))
    )


def put_back(kept: Kept, progress: Progress, info: PriorInfo) -> tuple[Progress, PriorInfo]:
    """The whole fit: dropped groups as they were, the others as they are now."""
    places = _places(kept)
    shelved = iter(_parts(kept.progress))

    def large(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        whole = [old.numpy().copy() for old in next(shelved)]
        for array, value, place in zip(whole, values, places, strict=True):
            array[place] = value.numpy()
        return [tf.constant(array) for array in whole]

    llr, odds = [], []
    for old, old_odds, new, new_odds, groups in zip(
        kept.info.llr, kept.info.log_odds, info.llr, info.log_odds, kept.groups, strict=True
    ):
        value, left = old.numpy().copy(), np.zeros(old.shape[0], bool)
        value[groups], left[groups] = new.numpy(), new_odds.numpy() > 0
        llr.append(tf.constant(value))
        odds.append(tf.constant(_odds(value, left, old_odds.numpy())))
    whole = marked(_through(large, progress), kept)
    return whole, info._replace(llr=tuple(llr), log_odds=tuple(odds))


def _odds(llr: np.ndarray, left: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Log-odds whose threshold is midway between the groups left and dropped, as `steered_rho`'s.

    No evidence stays -inf, and where nothing is dropped all are +inf.
    """
    possible = before > -np.inf
    out = possible & ~left
    if not left.any() or not out.any():
        return np.where(left, np.inf, -np.inf)
    odds = llr - 0.5 * (llr[left].min() + llr[out].max())
    odds = np.where(left, np.maximum(odds, 1e-9), np.minimum(odds, -1e-9))
    return np.where(possible, odds, -np.inf)


def _places(kept: Kept) -> list[tuple[np.ndarray, ...]]:
    """Of each layer's arrays: the rows and columns that are left, the bias's row among them."""
    places = []
    for number, layer in enumerate(kept.progress.state.layers):
        rows, width = layer.mean.shape
        last = number + 1 == len(kept.groups)
        across = np.arange(width) if last else kept.groups[number + 1]
        places.append(np.ix_(np.append(kept.groups[number], rows - 1), across))
    return places


def _parts(progress: Progress) -> list[tuple[tf.Tensor, ...]]:
    """All that has the shape of the weights: six quantities, an array a layer each."""
    layers = progress.state.layers
    flat = [(*layer[:3], *layer.prior) for layer in layers]
    return [*zip(*flat, strict=True), progress.average]


def _through(change, progress: Progress) -> Progress:
    """The same with `change` applied to each of `_parts`."""
    mean, precision, velocity, sharp, shift, average = (change(p) for p in _parts(progress))
    layers = tuple(
        Layer(m, lam, d, Gaussian(p, h))
        for m, lam, d, p, h in zip(mean, precision, velocity, sharp, shift, strict=True)
    )
    state = progress.state._replace(layers=layers)
    return progress._replace(state=state, average=tuple(average))
