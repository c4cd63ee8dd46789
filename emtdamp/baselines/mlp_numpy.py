"""A multilayer perceptron in NumPy alone: losses, activations, starts, gradient descent and Adam.

    network = MLP(Settings(activation="relu"), inputs=784, outputs=10)
    history = network.train(x, one_hot, epochs=15, validation=(x_val, one_hot_val))
    labels = network.predict(x_test)

What an assignment's program is described to have, with a minibatch as one array: a step is three
products of matrices a layer. All parameters lie in one vector, of which the layers' weights and
biases are views, so that an optimiser is two or three lines. Shapes: B rows, I inputs, J outputs of
a layer, K outputs of the network, P parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emtdamp.errors import EmtdampError, UsageError

Array = NDArray[np.floating]


class Activation(NamedTuple):
    """A nonlinearity of (B, J), and how a gradient goes back through it.

    value: of the sums. back: the outputs and the loss's gradient by them, to its gradient by the
    sums; all five derivatives are functions of the outputs alone.
    """

    value: Callable[[Array], Array]
    back: Callable[[Array, Array], Array]


def _sigmoid(sums: Array) -> Array:
    """1 / (1 + exp(-s)), by the hyperbolic tangent: nothing overflows."""
    return 0.5 + 0.5 * np.tanh(0.5 * sums)


def _softmax(sums: Array) -> Array:
    """exp(s_k) / sum exp(s) of each row, the largest taken off first: nothing overflows."""
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


ACTIVATIONS = {
    "relu": Activation(lambda s: np.maximum(s, 0), lambda out, by: by * (out > 0)),
    "sigmoid": Activation(_sigmoid, lambda out, by: by * out * (1 - out)),
    # the Jacobian diag(p) - p p' times the gradient, without the Jacobian
    "softmax": Activation(
        _softmax, lambda out, by: out * (by - (out * by).sum(axis=1, keepdims=True))
    ),
    "tanh": Activation(np.tanh, lambda out, by: by * (1 - out * out)),
    "linear": Activation(lambda s: s, lambda out, by: by),
}


class Penalty(NamedTuple):
    """What a weight adds to the loss, times alpha, and its derivative; biases add nothing."""

    value: Callable[[Array], float]
    slope: Callable[[Array], Array]


PENALTIES = {
    "none": Penalty(lambda w: 0.0, np.zeros_like),
    "l1": Penalty(lambda w: float(np.abs(w).sum()), np.sign),
    "l2": Penalty(lambda w: float(np.vdot(w, w)), lambda w: 2 * w),
}
LOSSES = ("cross_entropy", "squared_error")
STARTS = ("glorot", "gaussian", "random")
OPTIMIZERS = ("gd", "adam")


@dataclass(frozen=True)
class Settings:
    """What a network is, and how it is trained; the defaults are the assignment's baseline.

    Args:
        hidden: neurons of each hidden layer, none or more.
        activation: of the hidden layers, one of `ACTIVATIONS`.
        output: of the last layer, one of `ACTIVATIONS`.
        loss: "cross_entropy", the mean over rows of -sum_k y_k log p_k, after a softmax;
            "squared_error", the mean over rows and outputs.
        penalty: "none", "l1" (alpha sum abs(w)) or "l2" (alpha sum w^2), as Keras's regularizers.
        alpha: its factor, at least 0.
        start: weights drawn from U(-s, s) with s^2 = 6 / (I + J) ("glorot", Glorot and Bengio
            2010; biases 0), or weights and biases from N(0, scale^2) ("gaussian") or
            U(-scale, scale) ("random").
        scale: of the last two, above 0.
        optimizer: "gd", gradient descent, or "adam" (Kingma and Ba 2015, algorithm 1).
        rate: the step's factor, above 0.
        batch_size: rows a step; the last minibatch of an epoch has what is left.
        beta1, beta2, epsilon: Adam's, the betas in [0, 1), epsilon above 0.
        every: steps between two entries of the history.
        seed: of the start and of the order of the rows.
        dtype: "float32" or "float64", of all arithmetic.

    Raises:
        UsageError: a value is not one of these.
    """

    hidden: tuple[int, ...] = (500, 250, 100)
    activation: str = "sigmoid"
    output: str = "softmax"
    loss: str = "cross_entropy"
    penalty: str = "none"
    alpha: float = 0.01
    start: str = "glorot"
    scale: float = 0.05
    optimizer: str = "gd"
    rate: float = 0.01
    batch_size: int = 64
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    every: int = 200
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self):
        allowed = {
            "activation": tuple(ACTIVATIONS),
            "output": tuple(ACTIVATIONS),
            "loss": LOSSES,
            "penalty": tuple(PENALTIES),
            "start": STARTS,
            "optimizer": OPTIMIZERS,
            "dtype": ("float32", "float64"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UsageError(f"{name}={getattr(self, name)!r}; use one of {', '.join(values)}")
        if self.loss == "cross_entropy" and self.output != "softmax":
            raise UsageError(
                f"output={self.output!r} with loss='cross_entropy'; the cross entropy is of"
                " probabilities: use output='softmax', or loss='squared_error'"
            )
        for each in self.hidden:
            _at_least_1("hidden", each)
        for name in ("batch_size", "every"):
            _at_least_1(name, getattr(self, name))
        if not isinstance(self.seed, Integral) or self.seed < 0:
            raise UsageError(f"seed={self.seed!r}; give a whole number of at least 0")
        for field in fields(self):
            if field.type is float:
                self._check_real(field.name)

    def _check_real(self, name: str) -> None:
        value = getattr(self, name)
        lowest_allowed = name in ("alpha", "beta1", "beta2")
        highest = 1.0 if name.startswith("beta") else np.inf
        number = float(value) if isinstance(value, Real) else np.nan
        if not (0 < number < highest or (lowest_allowed and number == 0)):
            low = "at least 0" if lowest_allowed else "above 0"
            raise UsageError(f"{name}={value!r}; give a number {low} and below {highest:g}")


class Layer(NamedTuple):
    """Views of a vector: weights (I, J) and bias (J,)."""

    weights: Array
    bias: Array


class History(NamedTuple):
    """A training, an entry every so many steps: (T,) each.

    step: steps done. loss: mean loss of the minibatches since the entry before, penalty included.
    validation: loss on the validation rows, penalty included; nan without such rows.
    """

    step: NDArray[np.integer]
    loss: Array
    validation: Array


class MLP:
    """A network of `Settings`: outputs, loss, gradients, and steps that train it.

    Args:
        settings: what it is.
        inputs, outputs: columns of x and of y.

    Attributes:
        theta: (P,) all parameters. layers: their weights and biases, views of it.
        steps: done so far; `train` goes on where it stopped.

    >>> x, y = np.eye(3), np.eye(3)
    >>> network = MLP(Settings(hidden=(4,), optimizer="adam", rate=0.05), inputs=3, outputs=3)
    >>> history = network.train(x, y, epochs=100)
    >>> network.predict(x).tolist()
    [0, 1, 2]
    """

    def __init__(self, settings: Settings, inputs: int, outputs: int):
        _at_least_1("inputs", inputs)
        _at_least_1("outputs", outputs)
        self.settings = settings
        self.sizes = (inputs, *settings.hidden, outputs)
        self.steps = 0
        parameters = sum((before + 1) * after for before, after in pairwise(self.sizes))
        self.theta = np.zeros(parameters, settings.dtype)
        self.layers = self._views(self.theta)
        self._rng = np.random.default_rng(settings.seed)
        for layer in self.layers:
            self._draw(layer)
        self._moments = np.zeros((2, parameters), settings.dtype)  # Adam's

    def _views(self, vector: Array) -> list[Layer]:
        """The layers that lie in (P,) one after the other, weights before the bias."""
        found, begin = [], 0
        for before, after in pairwise(self.sizes):
            middle, end = begin + before * after, begin + (before + 1) * after
            found.append(Layer(vector[begin:middle].reshape(before, after), vector[middle:end]))
            begin = end
        return found

    def _draw(self, layer: Layer) -> None:
        s, rng = self.settings, self._rng
        if s.start == "glorot":
            limit = np.sqrt(6 / sum(layer.weights.shape))
            layer.weights[:] = rng.uniform(-limit, limit, layer.weights.shape)
            return
        for part in layer:
            if s.start == "gaussian":
                part[:] = s.scale * rng.standard_normal(part.shape)
            else:
                part[:] = rng.uniform(-s.scale, s.scale, part.shape)

    def forward(self, x: Array) -> list[Array]:
        """The rows (B, I) themselves and the outputs (B, J) of each layer, the last (B, K)."""
        s = self.settings
        found = [x]
        for number, layer in enumerate(self.layers, 1):
            name = s.output if number == len(self.layers) else s.activation
            found.append(ACTIVATIONS[name].value(found[-1] @ layer.weights + layer.bias))
        return found

    def loss(self, x: ArrayLike, y: ArrayLike) -> float:
        """Mean loss of rows x (B, I) with targets y (B, K), penalty included."""
        x, y = self._checked(x, y)
        return self._loss(self.forward(x)[-1], y)

    def _loss(self, out: Array, y: Array) -> float:
        s = self.settings
        if s.loss == "cross_entropy":
            tiny = np.finfo(out.dtype).tiny  # a probability may have become 0
            data = -float(np.vdot(y, np.log(np.maximum(out, tiny)))) / len(y)
        else:
            data = float(np.square(out - y).mean())
        if s.penalty == "none":
            return data
        value = PENALTIES[s.penalty].value
        return data + s.alpha * sum(value(layer.weights) for layer in self.layers)

    def gradient(self, x: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
        """The loss of rows x (B, I) with targets y (B, K), and its gradient (P,) by `theta`."""
        return self._gradient(*self._checked(x, y))

    def _gradient(self, x: Array, y: Array) -> tuple[float, Array]:
        s = self.settings
        outs = self.forward(x)
        if s.loss == "cross_entropy":  # softmax's Jacobian times -y / p, where a row of y sums to 1
            by = (outs[-1] - y) / len(y)
        else:
            by = ACTIVATIONS[s.output].back(outs[-1], 2 * (outs[-1] - y) / y.size)
        found = np.empty_like(self.theta)
        slots = self._views(found)
        for number in range(len(slots) - 1, -1, -1):
            weights = self.layers[number].weights
            np.matmul(outs[number].T, by, out=slots[number].weights)
            by.sum(axis=0, out=slots[number].bias)
            if s.penalty != "none":
                slots[number].weights[:] += s.alpha * PENALTIES[s.penalty].slope(weights)
            if number:
                by = ACTIVATIONS[s.activation].back(outs[number], by @ weights.T)
        return self._loss(outs[-1], y), found

    def step(self, x: ArrayLike, y: ArrayLike) -> float:
        """One step of the optimiser on rows x (B, I) with targets y (B, K); the loss before it."""
        return self._step(*self._checked(x, y))

    def _step(self, x: Array, y: Array) -> float:
        s = self.settings
        with np.errstate(over="ignore", invalid="ignore"):  # told below, with a way out
            loss, gradient = self._gradient(x, y)
        if not np.isfinite(loss):
            raise EmtdampError(
                f"the loss is {loss} in step {self.steps + 1}; use a rate below {s.rate}"
            )
        self.steps += 1
        if s.optimizer == "gd":
            gradient *= s.rate
            self.theta -= gradient
            return loss
        mean, square = self._moments
        mean += (1 - s.beta1) * (gradient - mean)
        square += (1 - s.beta2) * (gradient * gradient - square)
        of_mean, of_square = (1 - beta**self.steps for beta in (s.beta1, s.beta2))
        self.theta -= s.rate * (mean / of_mean) / (np.sqrt(square / of_square) + s.epsilon)
        return loss

    def train(
        self,
        x: ArrayLike,
        y: ArrayLike,
        epochs: int,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> History:
        """Train over minibatches in a new order each epoch, and watch the loss.

        Args:
            x: (N, I) rows.
            y: (N, K) targets; for the cross entropy each row is a distribution, as of
                `datasets.one_hot`.
            epochs: passes over them, at least 1.
            validation: rows and targets whose loss is computed every `every` steps.

        Returns:
            The history of this call; its last entry is of the last step.

        Raises:
            UsageError: shapes do not fit, or a value is not finite.
            EmtdampError: the loss has become infinite; the steps before are kept.
        """
        x, y = self._checked(x, y)
        watched = None if validation is None else self._checked(*validation)
        _at_least_1("epochs", epochs)
        size = self.settings.batch_size
        last = epochs * -(-len(x) // size)
        entries, losses, done = [], [], 0
        for _ in range(epochs):
            order = self._rng.permutation(len(x))
            for begin in range(0, len(x), size):
                rows = order[begin : begin + size]
                losses.append(self._step(x[rows], y[rows]))
                done += 1
                if self.steps % self.settings.every == 0 or done == last:
                    entries.append((self.steps, np.mean(losses), self._validation(watched)))
                    losses = []
        return History(*(np.array(column) for column in zip(*entries, strict=True)))

    def _validation(self, watched: tuple[Array, Array] | None) -> float:
        return np.nan if watched is None else self._loss(self.forward(watched[0])[-1], watched[1])

    def evaluate(self, x: ArrayLike) -> Array:
        """The network's outputs (B, K) for rows x (B, I)."""
        return self.forward(self._rows(x))[-1]

    def predict(self, x: ArrayLike) -> NDArray[np.integer]:
        """The number (B,) of the largest output for rows x (B, I)."""
        return self.evaluate(x).argmax(axis=1)

    def _checked(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        x, y = self._rows(x), _finite("y", y, self.settings.dtype)
        if y.shape != (len(x), self.sizes[-1]):
            raise UsageError(
                f"y has shape {y.shape}; give one target a row and output,"
                f" {(len(x), self.sizes[-1])}: labels by datasets.one_hot"
            )
        if self.settings.loss == "cross_entropy":
            sums = y.sum(axis=1)
            if (y < 0).any() or not np.allclose(sums, 1, atol=1e-4):
                worst = sums[np.abs(sums - 1).argmax()]
                raise UsageError(
                    f"rows of y are to be at least 0 and to sum to 1, got {y.min():g} and a sum of"
                    f" {worst:g}; for other targets use loss='squared_error'"
                )
        return x, y

    def _rows(self, x: ArrayLike) -> Array:
        x = _finite("x", x, self.settings.dtype)
        if x.ndim != 2 or x.shape[1] != self.sizes[0] or len(x) == 0:
            raise UsageError(
                f"x has shape {x.shape}; give at least one row of {self.sizes[0]} columns"
            )
        return x


def _finite(name: str, values: ArrayLike, dtype: str) -> Array:
    try:
        found = np.asarray(values, dtype)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is no array of numbers: {error}") from error
    if not np.isfinite(found).all():
        raise UsageError(f"{name} has values that are not finite; leave out or replace these")
    return found


def _at_least_1(name: str, value: object) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise UsageError(f"{name}={value!r}; give a whole number of at least 1")
