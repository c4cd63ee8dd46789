"""A client: it answers a message with what its own rows say, and keeps nothing but them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.federated import wire
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays, Weights
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.damp import Batch, Layer, Network, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import EXTRINSIC_RANGE, PriorInfo
from emtdamp.scaling import check_range
from emtdamp.training import em, fitting
from emtdamp.training.recipe import SMALL, Data, Recipe


@dataclass(frozen=True)
class Held:
    """Module B of a client: its state is the layers' priors, the server's, and stays as it came."""

    repeats = True

    def groups(self, shapes):
        """As `GroupPrior.groups`: none is for the client to choose."""
        return []

    def step(self, state, messages, keep):
        """As `GroupPrior.step`."""
        return state, state, PriorInfo((), (), (), tf.zeros([]))


class Client:
    """Rows x (B, N) and their y, as `Federation` has it, of the client `number` (from 0).

    `like`: rows to pad to, so that clients of one process share compiled epochs. Raises
    UsageError for rows that do not belong together, are not finite, or have other classes.
    """

    def __init__(
        self, settings: Federation, number: int, x: np.ndarray, y: np.ndarray, like: int = 0
    ):
        self.settings, self.number = settings, number
        self.x, self.y = _checked(settings, np.asarray(x), np.asarray(y))
        self.like = max(like, len(x))
        self._scaled: tuple[bytes, Batch] | None = None

    def summary(self) -> Arrays:
        """Sums that the server makes the scales from: no row travels, columns' extremes do."""
        found: Arrays = {
            "client": np.asarray(self.number, np.int32),
            "rows": np.asarray(len(self.x), np.int64),
        }
        for name, values in (("x", self.x), ("y", self.y)):
            if name == "y" and self.settings.classes:
                continue
            values = values.astype(np.float64)
            mean = values.mean(axis=0) if len(values) else np.zeros(values.shape[1])
            found |= {
                f"{name}_mean": mean,
                f"{name}_scatter": ((values - mean) ** 2).sum(axis=0),
                f"{name}_low": values.min(axis=0, initial=np.inf),
                f"{name}_high": values.max(axis=0, initial=-np.inf),
            }
        return found

    def answer(self, message: Arrays) -> Arrays:
        """The posterior by these rows, counted n/n_k times where the rule says so.

        `message` is `server.message`'s. Raises EmtdampError where the messages of its own
        rows are no longer finite.
        """
        settings, own = self.settings, len(self.x)
        layers, done = wire.unpack(message), int(message["round"])
        reply: Arrays = {
            "client": np.asarray(self.number, np.int32),
            "round": np.asarray(done, np.int32),
            "rows": np.asarray(own, np.int64),
            "count": message["count"],
            **{name: np.zeros([]) for name in ("noise", "noise_rows", "log_partition")},
        }
        if own == 0:
            return reply | wire.pack(layers, settings.half)
        rows, inputs = int(message["rows"]), len(message["columns"])
        recipe = settings.recipe(rows, int(message["clients"]), inputs)
        steps = -(-own // recipe.batch_size)
        dtype = np.float64 if rows < SMALL else np.float32
        schedule = settings.schedule(recipe, rows, int(message["clients"]), own, done)
        before = float(done * settings.passes * steps)
        progress = _progress(message, layers, recipe, before, dtype)
        network = Network(ACTIVATIONS[recipe.activation], recipe.likelihood)
        epochs = fitting.Epochs(
            em.epochs_function(network, Held(), recipe.form, 1),
            self._batch(message, dtype),
            min(recipe.batch_size, self.like),  # the rest of a minibatch would be padding
            settings.passes,
            tf.constant(schedule, dtype),
            (),
        ).compiled(progress)
        first = done * settings.passes
        seeds = [self._seed(number) for number in range(first, first + settings.passes)]
        progress, _, totals = epochs(progress, seeds)
        fitting.check(totals, steps, first)
        sums = np.array([totals.noise, totals.rows, totals.log_partition], np.float64).sum(1)
        sums[:2] /= self.weight
        state = progress.state
        count = float(state.count)
        found = tuple(
            Weights(layer.mean.numpy()[place], layer.precision.numpy()[place] / count)
            for layer, place in zip(state.layers, _places(message, recipe), strict=True)
        )
        reply |= {
            "count": np.asarray(count),
            "noise": np.asarray(sums[0]),
            "noise_rows": np.asarray(sums[1]),
            "log_partition": np.asarray(sums[2] / (steps * settings.passes)),
        }
        return reply | wire.pack(found, settings.half)

    @property
    def weight(self) -> float:
        """Of each row, so that a minibatch weighs as much as a full one, as the server counts them.

        The curvature is a minibatch's. Of 5 rows in minibatches of 100 it would be a twentieth of
        what the server takes it for.
        """
        size = self.settings.batch_size
        return -(-len(self.x) // size) * size / len(self.x)

    def _seed(self, number: int) -> tuple[int, int]:
        """The seed of a pass; that of the first client is a fit's of all rows."""
        return (self.settings.seed + 1_000_003 * self.number) % 2**31, number

    def _batch(self, message: Arrays, dtype: type) -> Batch:
        """The rows on the server's scales, padded; kept, as the scales never change."""
        scales = [message[name] for name in ("columns", "center", "scale", "y_center", "y_scale")]
        key = b"".join(array.tobytes() for array in scales)
        if self._scaled is None or self._scaled[0] != key:
            columns, center, scale, y_center, y_scale = scales
            x = ((self.x[:, columns] - center) / scale).astype(dtype)
            y = self.y if self.settings.classes else (self.y - y_center) / y_scale
            data = Data(x, y, np.full(len(x), self.weight))
            self._scaled = key, fitting.padded(data, (self.like, x.shape[1]), dtype)
        return self._scaled[1]


def _checked(settings: Federation, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "biuf":
            raise UsageError(f"{name} is of {values.dtype}; give numbers")
    wanted = "(B,) class numbers" if settings.classes else f"(B, {settings.outputs}) targets"
    shape = (len(x),) if settings.classes else (len(x), settings.outputs)
    if x.ndim != 2 or y.shape != shape:
        raise UsageError(f"x {x.shape} and y {y.shape}; give x (B, N) and y as {wanted}")
    if x.shape[1] == 0:
        raise UsageError(f"x {x.shape} has no column; give one at least")
    if len(x) and not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageError("x or y has a value that is not finite; leave such rows out")
    if len(x) == 0:
        return x, y.astype(np.int32 if settings.classes else np.float64)
    check_range("x", x)
    if not settings.classes:
        return x, y.astype(np.float64)
    if y.dtype.kind not in "iu" or not (0 <= y.min() and y.max() < settings.outputs):
        raise UsageError(f"y is not of the classes 0 to {settings.outputs - 1}; encode it so")
    return x, y.astype(np.int32)


def _places(message: Arrays, recipe: Recipe) -> list[tuple[np.ndarray, ...]]:
    """Where the rows and columns that travel are in a layer with all its groups."""
    inputs = len(message["columns"])
    groups = [message[f"active.{number}"] for number in range(len(recipe.hidden) + 1)]
    ends = [*groups[1:], np.arange(recipe.outputs)]
    return [
        np.ix_(np.append(rows, all_), columns)
        for rows, columns, all_ in zip(groups, ends, (inputs, *recipe.hidden), strict=True)
    ]


def _progress(
    message: Arrays, layers: tuple[Weights, ...], recipe: Recipe, k: float, dtype: type
) -> em.Progress:
    """Where the client starts, all groups in it, those that were dropped held at 0."""
    sizes = [len(message["columns"]), *recipe.hidden, recipe.outputs]
    count, made, priors = float(message["count"]), [], []
    slabs = recipe.slabs(sizes[0])
    for number, (weights, place) in enumerate(zip(layers, _places(message, recipe), strict=True)):
        shape, slab = (sizes[number] + 1, sizes[number + 1]), slabs[number]
        mean, precision = np.zeros(shape), np.zeros(shape)
        mean[place], precision[place] = weights.mean, count * weights.curvature
        sharp = np.full(shape, EXTRINSIC_RANGE[1] / slab)
        sharp[np.append(message[f"active.{number}"], sizes[number])] = 1 / slab
        prior = Gaussian(tf.constant(sharp, dtype), tf.zeros(shape, dtype))
        mean, precision = tf.constant(mean, dtype), tf.constant(precision, dtype)
        made.append(Layer(mean, precision, tf.zeros_like(mean), prior))
        priors.append(prior)
    noise, count, k, one = (
        tf.constant(float(value), dtype) for value in (message["noise"], count, k, 1.0)
    )
    state = State(tuple(made), noise, count)
    held: Any = tuple(priors)  # with `Held`, module B's state is the layers' priors
    return em.Progress(state, tuple(layer.mean for layer in made), held, k, one)
