"""A network whose weights are Gaussians, whatever trained it and however it predicts.

`GaussianNetwork` holds the arrays and does what needs nothing else: scales rows, draws networks,
drops inactive groups, becomes a Keras model. Its kinds say how the outputs are predicted: by
moments (`posterior.Posterior`), from one value a weight, or by samples (`baselines.network`).
`Predictor` is all that a score asks of any of them, or of anything else.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np

from emtdamp.errors import UsageError
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.scaling import check_near

if TYPE_CHECKING:
    import keras


class Units(NamedTuple):
    """A raw value is center + scale * the network's: numbers, or an array each of one a column."""

    center: np.ndarray | float = 0.0
    scale: np.ndarray | float = 1.0


RAW = Units()  # what goes in and out is what the network sees


CURVES = {"relu": lambda z: np.maximum(z, 0), "identity": lambda z: z, "tanh": np.tanh}
KERAS = {"relu": "relu", "identity": "linear", "tanh": "tanh"}


@dataclass(frozen=True)
class Softmax:
    """Output factor of classes: their probabilities are the softmax of the network's outputs."""


class Predictor(Protocol):
    """What predicts: all that scores, studies and figures of uncertainty ask for.

    x: (B, inputs), in the units of the data. Errors: `UsageError` for rows of another shape, rows
    that are not finite, and `log_probabilities` of a regression.
    """

    def propagate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (B, J) of the network's outputs; of a regression, in y's units."""
        ...

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(B, K) log p(class | x)."""
        ...

    @property
    def noise_variance(self) -> np.ndarray | float:
        """Of y about the network's output, in units of y squared."""
        ...


@dataclass(frozen=True)
class GaussianNetwork:
    """L layers of Gaussian weights, of which groups may be inactive; a `Predictor`.

    The fields are those of `posterior.Posterior`, which says what each is. A subclass defines
    `propagate` and `log_probabilities`.
    """

    mean: tuple[np.ndarray, ...]
    var: tuple[np.ndarray, ...]
    active: tuple[np.ndarray, ...]
    log_odds: tuple[np.ndarray, ...]
    _: KW_ONLY
    noise: float
    activation: str
    likelihood: GaussianNoise | ProbitProduct | Softmax
    inputs: int
    kept_inputs: np.ndarray
    x_units: Units = RAW
    y_units: Units = RAW

    @abstractmethod
    def propagate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (B, J) of the output at inputs x (B, inputs), in y's units.

        Variances are of the network's output alone, `noise_variance` not included.
        """

    @abstractmethod
    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(B, K) log p(class | x). Raises UsageError for a regression."""

    @property
    def classes(self) -> bool:
        """Whether the outputs are of classes, not of a regression."""
        return not isinstance(self.likelihood, GaussianNoise)

    @property
    def logit_scale(self) -> float:
        """What a softmax multiplies the outputs by to rank classes as the likelihood does."""
        return 1.0

    @staticmethod
    def strength(mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        """(N,) by which the groups (N, J) of a layer are ranked: the norms of their means."""
        return np.linalg.norm(mean, axis=1)

    def sample(self, x: np.ndarray, samples: int, seed: int) -> np.ndarray:
        """Outputs (samples, B, J) of networks whose weights are drawn from their Gaussians."""
        if not isinstance(samples, int | np.integer) or isinstance(samples, bool) or samples < 1:
            raise UsageError(f"samples={samples!r}; give an integer of at least 1")
        x, rng = self.scaled(x), np.random.default_rng(seed)
        outputs = np.stack([self.forward(x, self._drawn(rng)) for _ in range(samples)])
        return outputs * self.y_units.scale + self.y_units.center

    def _drawn(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        for m, s in zip(self.mean, self.var, strict=True):
            yield m + np.sqrt(s) * rng.standard_normal(m.shape).astype(m.dtype)

    def forward(self, u: np.ndarray, weights: Iterable[np.ndarray]) -> np.ndarray:
        """Outputs (B, J) in the network's own units, of L arrays of weights at rows of `scaled`."""
        for number, w in enumerate(weights):
            u = u @ w
            if number + 1 < len(self.mean):
                u = np.pad(CURVES[self.activation](u), [(0, 0), (0, 1)], constant_values=1.0)
        return u

    @property
    def noise_variance(self) -> np.ndarray | float:
        """v in units of y squared; of each output where these have units of their own."""
        return self.noise * self.y_units.scale**2

    def prune(self) -> Self:
        """The same predictions from smaller arrays: inactive inputs and neurons are dropped.

        A layer that loses all its neurons keeps its bias alone (a constant network).
        """
        mean, var = [], []
        for number in range(len(self.mean)):
            rows = np.append(self.active[number], True)
            last = number + 1 == len(self.mean)
            columns = slice(None) if last else self.active[number + 1]
            mean.append(np.ascontiguousarray(self.mean[number][rows][:, columns]))
            var.append(np.ascontiguousarray(self.var[number][rows][:, columns]))
        return replace(
            self,
            mean=tuple(mean),
            var=tuple(var),
            active=tuple(a[a] for a in self.active),
            log_odds=tuple(o[a] for o, a in zip(self.log_odds, self.active, strict=True)),
            kept_inputs=self.kept_inputs[self.active[0]],
        )

    @property
    def parameters(self) -> int:
        """How many weights and biases `prune` leaves, all that can differ from 0."""
        sizes = [int(a.sum()) for a in self.active] + [self.mean[-1].shape[1]]
        return sum((n + 1) * j for n, j in pairwise(sizes))

    def to_keras(self) -> "keras.Model":
        """The pruned network of posterior means as plain Dense layers on raw inputs (B, inputs).

        The units of inputs and outputs are folded into the first and last layers. A layer that
        lost all its neurons becomes one neuron of weight 0: Keras has no empty layers. Classes end
        in a softmax of the outputs times `logit_scale`, which ranks them as the mean network does;
        it knows nothing of the weights' variances.
        """
        import keras

        small = self.prune()
        kernels = [m[:-1].astype(np.float64) for m in small.mean]
        biases = [m[-1].astype(np.float64) for m in small.mean]
        center, scale = (np.broadcast_to(a, self.inputs)[small.kept_inputs] for a in self.x_units)
        kernels[0] = kernels[0] / scale[:, None]
        biases[0] = biases[0] - center @ kernels[0]
        first = np.zeros((self.inputs, kernels[0].shape[1]))
        first[small.kept_inputs] = kernels[0]
        kernels[0] = first
        y_center, y_scale = self.y_units
        if self.classes:
            y_scale, y_center = self.logit_scale, 0.0
        kernels[-1] = kernels[-1] * y_scale
        biases[-1] = biases[-1] * y_scale + y_center
        for number in range(len(kernels) - 1):
            if not kernels[number].shape[1]:
                kernels[number] = np.zeros((len(kernels[number]), 1))
                biases[number] = np.zeros(1)
                kernels[number + 1] = np.zeros((1, kernels[number + 1].shape[1]))
        activations = [KERAS[self.activation]] * (len(kernels) - 1)
        activations.append("softmax" if self.classes else "linear")
        model = keras.Sequential([keras.Input((self.inputs,))])
        for kernel, bias, name in zip(kernels, biases, activations, strict=True):
            layer = keras.layers.Dense(kernel.shape[1], activation=name)
            model.add(layer)
            layer.set_weights([_as_float32(kernel), _as_float32(bias)])
        return model

    def save(self, path: str | Path) -> Path:
        """Write everything to a file: a `Posterior` can, what a baseline left is saved as Keras."""
        raise UsageError(f"cannot save to {path}: use to_keras().save(...)")

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """The kept columns, scaled, in the weights' type, the ones of the bias appended."""
        x = np.asarray(x)
        if x.dtype.kind not in "buif":
            raise UsageError(f"x has dtype {x.dtype}; give an array of real numbers")
        if x.ndim != 2 or x.shape[1] != self.inputs:
            raise UsageError(
                f"x has shape {x.shape}; this network takes (B, {self.inputs}), the columns it "
                "was trained on, also after pruning"
            )
        center, scale = (np.broadcast_to(a, self.inputs)[self.kept_inputs] for a in self.x_units)
        with np.errstate(over="ignore"):
            x = ((x[:, self.kept_inputs] - center) / scale).astype(self.mean[0].dtype)
        check_near(x, self.kept_inputs)
        return np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)


def _as_float32(weights: np.ndarray) -> np.ndarray:
    """What Keras stores; raises UsageError where the units of X or y do not fit its range."""
    with np.errstate(over="ignore", under="ignore"):
        small = weights.astype(np.float32)
    if not np.isfinite(small).all() or ((small == 0) & (weights != 0)).any():
        size = np.abs(weights[weights != 0])
        raise UsageError(
            f"weights on raw inputs and outputs are of size {size.min():.3g} to {size.max():.3g}, "
            "which float32 does not hold; fit X and y in other units"
        )
    return small
