"""What training leaves: a Gaussian for each weight and an activity for each group.

A `Posterior` predicts (by moments in one pass, or by samples of the weights), drops its inactive
groups, turns into a plain Keras model, and is saved as arrays and JSON, never pickled. It takes and
gives raw values where it knows their units, as that of a fitted estimator does.
"""

import json
import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf

from emtdamp.errors import DAMAGED, UsageError
from emtdamp.messages import damp
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.damp import Network
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.network import GaussianNetwork, Units

LIKELIHOODS: dict[str, type] = {"gaussian": GaussianNoise, "probit": ProbitProduct}
FORMAT = 4  # of the file
_ELEMENTS = 4_000_000  # of the largest array that a prediction makes
_FEW_CLASSES = 10  # up to these a prediction is over before XLA has compiled it
# softmax(1.702 z/sqrt(v)) is within 0.01 of the probit of two classes (Camilli 1994, "Origin of
# the scaling constant d = 1.7 in item response theory")
_PROBIT_SLOPE = 1.702


@dataclass(frozen=True)
class Posterior(GaussianNetwork):
    """Posterior of a network with L layers of weights: what a fit leaves.

    Parameters
    ----------
    mean, var : L arrays (N+1, J)
        Of the weights, the bias's row last; zero in the rows of inactive groups.
    active, log_odds : L arrays (n,)
        Of the inputs and of each hidden layer's neurons; log_odds is +inf where nothing was pruned.
    noise : float
        v, of the network's outputs.
    activation : str
        "relu", "tanh" or "identity".
    likelihood : GaussianNoise or ProbitProduct
        The output factor.
    inputs : int
        Columns of x that it takes, also after pruning.
    kept_inputs : integer array
        Which of these the first layer reads; all, before `prune`.
    x_units, y_units : Units
        Centre and scale of the columns, and of a regression's outputs.
    inflation : float above 0
        Factor on the outputs' variances, which are all that a prediction says of the weights:
        `var` counts each row several times, and its groups are independent. In `var` itself it
        would bend the mean: of a wide Gaussian a ReLU passes on more than of a narrow one.
    """

    likelihood: GaussianNoise | ProbitProduct  # pyright: ignore[reportIncompatibleVariableOverride]
    inflation: float = 1.0

    def propagate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (B, J) of the output at inputs x (B, inputs), by moments, in y's units.

        Variances are of the network's output alone, `noise_variance` not included.
        """
        center, scale = self.y_units
        w, var = self._moments(self.scaled(x))
        return w * scale + center, var * scale**2

    def _moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of z (B, J) in the network's own units, from `scaled`."""
        weights = [
            (tf.constant(m), tf.constant(s)) for m, s in zip(self.mean, self.var, strict=True)
        ]
        network = Network(ACTIVATIONS[self.activation], self.likelihood)
        widest = max(m.shape[1] for m in self.mean)
        parts = [
            [part.numpy() for part in damp.propagate(network, weights, tf.constant(rows))]
            for rows in _chunks(x, widest)
        ]
        w, var = zip(*parts, strict=True)
        return np.concatenate(w), np.concatenate(var) * self.inflation

    def sample(self, x: np.ndarray, samples: int, seed: int) -> np.ndarray:
        """Outputs (samples, B, J) of networks whose weights are drawn from the posterior.

        Their distances from their mean are multiplied by the root of `inflation`.
        """
        outputs = super().sample(x, samples, seed)
        if self.inflation != 1.0:
            mean, _ = self.propagate(x)
            outputs = mean + self.inflation**0.5 * (outputs - mean)
        return outputs

    def log_probabilities(
        self, x: np.ndarray, samples: int | None = None, seed: int = 0
    ) -> np.ndarray:
        """(B, K) log p(class | x): from moments, or the mean of `samples` networks' probabilities.

        Raises UsageError for a regression posterior.
        """
        if samples is None:
            return self.normalised(*self._moments(self.scaled(x)))
        drawn = self.sample(x, samples, seed)
        flat = drawn.reshape(-1, drawn.shape[-1])
        each = self.normalised(flat, np.full_like(flat, 1e-6 * self.noise)).reshape(drawn.shape)
        return np.logaddexp.reduce(each, axis=0) - math.log(samples)

    def normalised(self, w: np.ndarray, var: np.ndarray) -> np.ndarray:
        """(B, K) log p(class) where the network's outputs are N(w, var), (B, K) both."""
        if not isinstance(self.likelihood, ProbitProduct):
            raise UsageError("log_probabilities needs classes; this posterior is a regression's")
        rows, classes = w.shape
        noise = tf.constant(self.noise, w.dtype)
        size = max(1, _ELEMENTS // (classes * classes * self.likelihood.nodes))
        predictive = _predictive(self.likelihood, classes, w.dtype.name)
        if classes > _FEW_CLASSES:  # compiled for the number of rows: one of few
            size = min(size, 1 << max(rows - 1, 0).bit_length())
            more = [(0, -rows % size), (0, 0)]
            w, var = np.pad(w, more), np.pad(var, more, constant_values=1.0)
        parts = [
            predictive(w[i : i + size], var[i : i + size], noise).numpy()
            for i in range(0, max(len(w), 1), size)
        ]
        return np.concatenate(parts)[:rows]

    @property
    def logit_scale(self) -> float:
        """Of a softmax nearest the probit of variance v: 1.702 / sqrt(v)."""
        return _PROBIT_SLOPE / math.sqrt(self.noise)

    def save(self, path: str | Path) -> Path:
        """Write everything to one .npz (arrays, and the settings as JSON text)."""
        name = next(n for n, kind in LIKELIHOODS.items() if isinstance(self.likelihood, kind))
        settings = {
            "format": FORMAT,
            "noise": self.noise,
            "inflation": self.inflation,
            "activation": self.activation,
            "likelihood": [name, asdict(self.likelihood)],
            "inputs": self.inputs,
            "layers": len(self.mean),
        }
        arrays = {
            f"{part}_{number}": array
            for part in ("mean", "var", "active", "log_odds")
            for number, array in enumerate(getattr(self, part))
        }
        for name in ("x_units", "y_units"):
            center, scale = getattr(self, name)
            arrays |= {f"{name}_center": np.asarray(center), f"{name}_scale": np.asarray(scale)}
        path = Path(path)
        with path.open("wb") as file:  # np.savez would add a suffix of its own
            np.savez(file, settings=json.dumps(settings), kept_inputs=self.kept_inputs, **arrays)
        return path


def load_posterior(path: str | Path) -> Posterior:
    """Read what `Posterior.save` wrote; predictions are bitwise those of the saved one."""
    try:
        settings, arrays = _read(path)
        parts = {
            part: tuple(arrays[f"{part}_{number}"] for number in range(settings["layers"]))
            for part in ("mean", "var", "active", "log_odds")
        }
        kept_inputs = arrays["kept_inputs"]
        x_units, y_units = (
            Units(*(_number(arrays[f"{name}_{part}"]) for part in Units._fields))
            for name in ("x_units", "y_units")
        )
        name, options = settings["likelihood"]
        likelihood = LIKELIHOODS[name](**options)
        _check_arrays(parts, kept_inputs)
    except UsageError:
        raise
    except DAMAGED as error:
        raise UsageError(f"{path} is no file that Posterior.save wrote: {error}") from error
    return Posterior(
        **parts,
        noise=settings["noise"],
        activation=settings["activation"],
        likelihood=likelihood,
        inputs=settings["inputs"],
        kept_inputs=kept_inputs,
        x_units=x_units,
        y_units=y_units,
        inflation=settings["inflation"],
    )


def _read(path: str | Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Settings and arrays of a file."""
    with Path(path).open("rb") as raw:
        try:
            file = np.load(raw, allow_pickle=False)
        except ValueError as error:  # what NumPy says of a file that is not its own
            raise UsageError(f"{path} is no file that Posterior.save wrote: {error}") from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise UsageError(f"{path} is no file that Posterior.save wrote: it holds one array")
        settings = json.loads(str(file["settings"]))
        if settings["format"] != FORMAT:
            raise UsageError(
                f"{path} has format {settings['format']}; this version reads format {FORMAT}"
            )
        return settings, dict(file)


def _check_arrays(parts: dict[str, tuple[np.ndarray, ...]], kept_inputs: np.ndarray) -> None:
    """Raise ValueError where the arrays are those of no network."""
    rows = len(kept_inputs)
    for number, (mean, var, active, odds) in enumerate(zip(*parts.values(), strict=True)):
        shapes = [part.shape for part in (mean, var, active, odds)]
        if shapes != [(rows + 1, mean.shape[-1])] * 2 + [(rows,)] * 2:
            raise ValueError(f"layer {number + 1} has arrays of shapes {shapes}")
        if not (np.isfinite(mean).all() and np.isfinite(var).all() and (var >= 0).all()):
            raise ValueError(f"layer {number + 1} has means or variances that are none")
        rows = mean.shape[1]


def _number(array: np.ndarray) -> np.ndarray | float:
    """A Python number where it was one, whose type arithmetic does not take over."""
    return array if array.ndim else float(array)


@lru_cache(maxsize=32)
def _predictive(likelihood: ProbitProduct, classes: int, dtype: str):
    """`log_probabilities` as one graph for any number of rows; of many classes under XLA."""
    rows = tf.TensorSpec([None, classes], dtype)
    return tf.function(
        likelihood.log_probabilities,
        input_signature=[rows, rows, tf.TensorSpec([], dtype)],
        jit_compile=classes > _FEW_CLASSES,
        autograph=False,
    )


def _chunks(x: np.ndarray, width: int) -> list[np.ndarray]:
    size = max(1, _ELEMENTS // max(width, x.shape[1]))
    return [x[i : i + size] for i in range(0, max(len(x), 1), size)]
