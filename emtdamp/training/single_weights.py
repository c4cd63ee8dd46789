"""Classifiers that lose single weights: the compiled epochs with `WeightPrior` for module B.

The estimators prune what goes out of an input or a neuron, all or nothing. Here every weight is
its own group, in a stack of layers (`damp.Network`) or on bags (`bags.BagNetwork`). All rows are
one minibatch. A weight is kept by its mean in units of its deviation, fewer and fewer on the ramp
of `forms.Schedule`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages import damp
from emtdamp.messages.damp import Batch, Network
from emtdamp.messages.likelihoods import ProbitProduct
from emtdamp.messages.weight_prior import WeightPrior
from emtdamp.training import em, fitting, recipes
from emtdamp.training.forms import Decoupled, Schedule

Shapes = tuple[tuple[int, int], ...]


class Settings(NamedTuple):
    """How to train; how often a row counts in the end is `recipes.counts`.

    slab: prior variance of a weight times the fan-in of its layer, as the estimators have it; in
    a layer without inputs, the variance is 1. epochs: steps, of all rows each, 1 or more.
    inflation: factor on the outputs' variance, as `Posterior.inflation`.
    """

    slab: float = recipes.SLAB
    epochs: int = 100
    inflation: float = 1.0


class SparsePosterior(NamedTuple):
    """mean, var: (N+1, J) a layer, 0 where a weight is pruned."""

    network: Network
    mean: tuple[np.ndarray, ...]
    var: tuple[np.ndarray, ...]
    inflation: float

    @property
    def parameters(self) -> int:
        """Weights and biases left."""
        return sum(int(np.count_nonzero(var)) for var in self.var)

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(B, K) log p(class | x) by moments; x as in training."""
        dtype = self.mean[0].dtype
        weights = [tuple(map(tf.constant, pair)) for pair in zip(self.mean, self.var, strict=True)]
        w, var = self.network.sized(x).propagate(weights, tf.constant(x, dtype))
        noise = tf.ones([], dtype)
        return ProbitProduct().log_probabilities(w, self.inflation * var, noise).numpy()


def train(
    network: Network,
    shapes: Shapes,
    x: np.ndarray,
    y: np.ndarray,
    keep: int,
    settings: Settings,
    seed: int = 0,
) -> SparsePosterior:
    """The posterior of `keep` weights.

    Args:
        network: with `ProbitProduct()`, whose v is 1.
        shapes: (N+1, J) of each layer, as the network wants them.
        x: what the network takes, finite: (B, N+1) with ones in the last column, or bags.
        y: (B,) classes from 0, two of them at least.
        keep: from 1 to all weights and biases.
        seed: of the first weights.

    Raises:
        UsageError: anything that is not so.
        EmtdampError: messages that are no longer finite.
    """
    x, y = np.asarray(x), np.asarray(y)
    _check(network, shapes, x, y, keep, settings)
    dtype, fan_in = np.float64, [max(n - 1, 1) for n, _ in shapes]
    module, epochs = WeightPrior(shapes), float(settings.epochs)
    progress = _start(module, fan_in, settings.slab, seed, dtype)
    counts = recipes.counts(sum(int(np.prod(shape)) for shape in shapes), len(y))
    schedule = Schedule(
        total=epochs,
        warmup=0.2 * epochs,
        lr=epochs**-0.5,
        memory=recipes.MIN_MEMORY,
        width_start=counts / 4,
        width_end=counts,
    )
    data = Batch(tf.constant(x, dtype), tf.constant(y, tf.int32), tf.ones(len(y), dtype))
    epochs = fitting.Epochs(
        em.epochs_function(network.sized(x), module, Decoupled(), 1),
        data,
        len(y),
        fitting.EPOCHS_A_CALL,
        tf.constant(schedule, dtype),
        (tf.constant(keep),),
    ).compiled(progress)
    seeds, odds = [(seed, number) for number in range(settings.epochs)], np.empty(0)
    for done in range(0, settings.epochs, epochs.most):
        progress, told, totals = epochs(progress, seeds[done : done + epochs.most])
        fitting.check(totals, 1, done)
        odds = told[0][-1]
    active = module.active(odds)
    means, variances = [], []
    for on, mean, layer in zip(active, progress.average, progress.state.layers, strict=True):
        precision = progress.width * layer.precision + layer.prior.precision
        means.append(np.where(on, mean.numpy(), 0))
        variances.append(np.where(on, 1 / precision.numpy(), 0))
    return SparsePosterior(network, tuple(means), tuple(variances), settings.inflation)


def _check(
    network: Network, shapes: Shapes, x: np.ndarray, y: np.ndarray, keep: int, settings: Settings
) -> None:
    if network.likelihood != ProbitProduct():
        raise UsageError(f"likelihood={network.likelihood}; give ProbitProduct(), of classes")
    sizes = settings.slab, settings.inflation
    whole = isinstance(settings.epochs, recipes.INTEGER) and settings.epochs >= 1
    if not whole or not all(0 < size < np.inf for size in sizes):
        raise UsageError(f"{settings}; give a whole number of epochs, and finite numbers above 0")
    if x.shape[-1] != shapes[0][0] or len(x) != len(y) or y.ndim != 1:
        raise UsageError(
            f"x has shape {x.shape} and y {y.shape}; give rows of {shapes[0][0]} columns, the last "
            "of ones, and a class for each"
        )
    if not np.isfinite(x).all():
        raise UsageError("x contains NaN or infinity; give finite numbers")
    classes, outputs = np.unique(y), shapes[-1][1]
    if y.dtype.kind not in "iu" or classes[0] < 0 or classes[-1] >= outputs:
        raise UsageError(f"y has classes {classes[:20]}; give integers from 0 to {outputs - 1}")
    if len(classes) < 2:
        raise UsageError(f"y has one class only, {classes[0]}; give 2 classes or more")
    most = sum(int(np.prod(shape)) for shape in shapes)
    if not isinstance(keep, recipes.INTEGER) or not 1 <= keep <= most:
        raise UsageError(f"keep={keep}; give a number of weights from 1 to {most}")


def _start(
    module: WeightPrior, fan_in: Sequence[int], slab: float, seed: int, dtype: type
) -> em.Progress:
    """As `starts.start`: means N(0, 2/fan_in), of biases 0, in messages of precision fan_in/3."""
    rng = np.random.default_rng(seed)
    means = []
    for shape, n in zip(module.shapes, fan_in, strict=True):
        mean = rng.normal(size=shape) * np.sqrt(2 / n)
        mean[-1] = 0
        means.append(mean.astype(dtype))
    slabs = [
        slab / n if rows > 1 else 1.0 for n, (rows, _) in zip(fan_in, module.shapes, strict=True)
    ]
    state = damp.init(
        means, [n / 3 for n in fan_in], [1 / s for s in slabs], 1.0, Schedule(0.0).prior_count
    )
    state = tf.nest.map_structure(lambda value: tf.constant(value, dtype), state)
    zero, average = tf.zeros([], dtype), tuple(layer.mean for layer in state.layers)
    return em.Progress(state, average, module.init(slabs), zero, zero + 1)
