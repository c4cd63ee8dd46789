"""Many small networks trained side by side, one compiled call for all: to prune weight by weight.

A replica is a network with its own training rows and its own strength of regularisation. All
weights of all replicas are one array (R, P), which a `Rule` of `shrinkage` moves.
Shapes: R replicas, P weights and biases of a network, B rows of a minibatch, K classes, S steps.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from emtdamp.errors import EmtdampError, UsageError

ACTIVATIONS = {"relu": tf.nn.relu, "tanh": tf.tanh, "identity": tf.identity}


class Architecture(Protocol):
    """What is trained: hashable, as programs are compiled once for each."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the arrays that a network's P numbers are cut into."""
        ...

    def prepared(self, data: Any, order: np.ndarray) -> Any:
        """The data with room for minibatches (..., B) of rows."""
        ...

    def logits(self, theta: tf.Tensor, data: Any, rows: tf.Tensor) -> tf.Tensor:
        """(R, B, K) of networks theta (R, P) for the rows (R, B) of the data."""
        ...


@dataclass(frozen=True)
class Dense:
    """Dense layers; the data are x (R, rows, I), so that each replica may have scales of its own.

    Args:
        sizes: inputs, neurons of the hidden layers, classes; every layer has biases.
        activation: "relu", "tanh" or "identity", of the hidden layers.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"

    def __post_init__(self):
        check_activation(self.activation)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((n + 1, j) for n, j in pairwise(self.sizes))

    def prepared(self, data: Any, order: np.ndarray) -> Any:
        return data

    def logits(self, theta: tf.Tensor, data: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        u = tf.gather(data, rows, batch_dims=1)
        *hidden, last = unpacked(theta, self.shapes)
        for w in hidden:
            u = ACTIVATIONS[self.activation](affine(u, w))
        return affine(u, last)


def check_activation(name: str) -> None:
    """Raise UsageError unless it is one of `ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise UsageError(f"activation={name!r}; use one of {', '.join(ACTIVATIONS)}")


def size(architecture: Architecture) -> int:
    """P: weights and biases.

    >>> size(Dense((4, 8, 3)))
    67
    """
    return sum(int(np.prod(shape)) for shape in architecture.shapes)


def unpacked(theta: tf.Tensor, shapes: tuple[tuple[int, ...], ...]) -> list[tf.Tensor]:
    """(R, P) as arrays (R, *shape)."""
    parts = tf.split(theta, [int(np.prod(shape)) for shape in shapes], axis=1)
    return [tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, shapes, strict=True)]


def affine(u: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """(R, B, J) of u (R, B, N) and w (R, N+1, J), the bias last."""
    return tf.matmul(u, w[:, :-1]) + w[:, -1:]


def start(architecture: Architecture, replicas: int, rng: np.random.Generator) -> np.ndarray:
    """(R, P) Glorot's uniform weights, biases and other vectors 0."""
    parts = []
    for shape in architecture.shapes:
        part = np.zeros((replicas, *shape))
        if len(shape) == 2:
            limit = (6 / (shape[0] - 1 + shape[1])) ** 0.5
            part[:, :-1] = rng.uniform(-limit, limit, part[:, :-1].shape)
        parts.append(part.reshape(replicas, -1))
    return np.concatenate(parts, axis=1).astype(np.float32)


class Rule(Protocol):
    """How weights (R, P) move. rows, strength: (R, 1) training rows N and regularisation."""

    @property
    def rate(self) -> float:
        """Of the first step; it falls to 0 along half a cosine."""
        ...

    @property
    def draws(self) -> bool:
        """Whether gradients are taken at weights drawn."""
        ...

    def init(self, mean: tf.Tensor, rows: tf.Tensor, strength: tf.Tensor) -> Any:
        """The state that the first step starts from; it has the field `mean`."""
        ...

    def draw(self, state: Any, noise: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Weights at which to take the gradient."""
        ...

    def step(
        self,
        state: Any,
        gradient: tf.Tensor,
        noise: tf.Tensor,
        rows: tf.Tensor,
        strength: tf.Tensor,
        rate: tf.Tensor,
    ) -> Any:
        """After a minibatch whose mean loss has this gradient."""
        ...

    def variance(self, state: Any, rows: tf.Tensor) -> tf.Tensor:
        """Of the weights; 1 where they have none, so that |mean| / sd ranks by size."""
        ...


class Trained(NamedTuple):
    """mean, var: (R, P) of each weight; var is 1 where the rule has none."""

    mean: np.ndarray
    var: np.ndarray

    def pruned(self, left: int) -> np.ndarray:
        """(R, P) means, 0 but for the `left` weights of each replica of largest |mean| / sd."""
        if not 0 <= left <= self.mean.shape[1]:
            raise UsageError(f"{left} weights to keep of {self.mean.shape[1]}")
        ratio = np.abs(self.mean) / np.sqrt(self.var)
        rank = np.argsort(np.argsort(-ratio, axis=1, kind="stable"), axis=1)
        return np.where(rank < left, self.mean, 0)

    def over(self, threshold: float) -> np.ndarray:
        """(R, P) means, 0 where |mean| / sd is not above the threshold."""
        return np.where(np.abs(self.mean) > threshold * np.sqrt(self.var), self.mean, 0)

    def left(self, threshold: float) -> np.ndarray:
        """(R,) weights whose |mean| / sd is above the threshold."""
        return (np.abs(self.mean) > threshold * np.sqrt(self.var)).sum(axis=1)


def orders(rows: list[np.ndarray], batch: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """(S, R, B) minibatches: permutations of each replica's own rows, one after another."""
    found = np.empty((steps, len(rows), batch), np.int32)
    for replica, own in enumerate(rows):
        rounds = -(-steps * batch // len(own))
        drawn = rng.permuted(np.tile(own, (rounds, 1)), axis=1).ravel()[: steps * batch]
        found[:, replica] = drawn.reshape(steps, batch)
    return found


def train(
    architecture: Architecture,
    rule: Rule,
    data: Any,
    labels: np.ndarray,
    rows: list[np.ndarray],
    strengths: np.ndarray,
    steps: int,
    batch: int,
    seed: int,
    calls: int = 50,
) -> Trained:
    """Train a network on each of R lists of rows.

    Args:
        architecture: of all networks.
        rule: how they learn.
        data: what `architecture.logits` takes, as tensors.
        labels: (rows,) classes from 0.
        rows: R arrays of the rows that a replica learns from, one at least in each.
        strengths: (R,) of regularisation.
        steps: of each replica; a multiple of calls.
        batch: rows of a minibatch.
        seed: of the first weights, the order of rows and the weights drawn.
        calls: of the compiled program that do all steps.

    Raises:
        UsageError: no rows, or lists of other lengths than strengths.
        EmtdampError: weights are no longer finite: the rate was too large.
    """
    if len(rows) != len(strengths) or not all(len(own) for own in rows):
        raise UsageError(
            f"{len(rows)} lists of rows, {len(strengths)} strengths; none may be empty"
        )
    if steps % calls:
        raise UsageError(f"steps={steps}; give a multiple of calls={calls}")
    rng = np.random.default_rng(seed)
    sizes = tf.constant([[float(len(own))] for own in rows])
    strength = tf.constant(np.reshape(strengths, (-1, 1)), tf.float32)
    state = rule.init(tf.constant(start(architecture, len(rows), rng)), sizes, strength)
    rates = rule.rate * 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps))
    order = orders(rows, batch, steps, rng)
    data = architecture.prepared(data, order)
    y = tf.constant(labels, tf.int32)
    run = program(architecture, rule)
    each = steps // calls
    for call in range(calls):
        now = slice(call * each, (call + 1) * each)
        rate = tf.constant(rates[now], tf.float32)
        # drawn here: XLA's generator on a processor takes longer than all the rest of a step
        shape = (each, *state.mean.shape) if rule.draws else (each, 1, 1)
        noise = tf.constant(rng.standard_normal(shape, np.float32))
        state = run(state, data, y, tf.constant(order[now]), sizes, strength, rate, noise)
    mean, var = state.mean.numpy(), rule.variance(state, sizes).numpy()
    if not (np.isfinite(mean).all() and np.isfinite(var).all()):
        raise EmtdampError(f"weights are no longer finite; use a rate below {rule.rate}")
    return Trained(mean, var)


@lru_cache(maxsize=16)
def program(architecture: Architecture, rule: Rule) -> Any:
    """Some steps of all replicas as one compiled call."""

    @tf.function(jit_compile=True, autograph=False)
    def run(state, data, y, order, sizes, strength, rate, noises):
        def body(k, state):
            noise = noises[k]
            theta = rule.draw(state, noise, sizes)
            with tf.GradientTape() as tape:
                tape.watch(theta)
                logits = architecture.logits(theta, data, order[k])
                each = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.gather(y, order[k]), logits
                )
                loss = tf.reduce_sum(tf.reduce_mean(each, axis=1))
            gradient = tape.gradient(loss, theta)
            return k + 1, rule.step(state, gradient, noise, sizes, strength, rate[k])

        steps = order.shape[0]
        return tf.while_loop(lambda k, _: k < steps, body, (tf.constant(0), state))[1]

    return run


@lru_cache(maxsize=16)
def _log_probabilities(architecture: Architecture) -> Any:
    @tf.function(jit_compile=True, autograph=False)
    def run(theta, data, rows):
        return tf.nn.log_softmax(architecture.logits(theta, data, rows))

    return run


def log_probabilities(
    architecture: Architecture, theta: np.ndarray, data: Any, rows: np.ndarray
) -> np.ndarray:
    """(R, B, K) of each network theta (R, P) for the rows (B,)."""
    each = np.tile(rows, (len(theta), 1))
    data = architecture.prepared(data, each)
    each = tf.constant(each, tf.int32)
    return _log_probabilities(architecture)(tf.constant(theta), data, each).numpy()
