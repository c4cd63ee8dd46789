"""Adam on a Keras network whose groups shrink and are pruned: an epoch is one compiled call.

Every gradient baseline is a `Plan` for the same step: Adam's update; where asked a proximal step
that shrinks the groups of outgoing weights; the smallest groups dropped where the plan keeps fewer
than before; what is dropped set to 0. Shapes: I inputs, B minibatch, S steps, G prunable layers
(the inputs and each hidden layer), N groups of one of these.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from emtdamp.network import KERAS


class Plan(NamedTuple):
    """What the steps of a training do.

    rate: (S,) Adam's learning rate > 0. penalty: (S, G) >= 0, of the group lasso: the proximal step
    shortens each group's norm by rate * penalty * sqrt(its weights). keep: (S, G) groups that are
    left after the step, never rising.
    """

    rate: np.ndarray
    penalty: np.ndarray
    keep: np.ndarray


class Program:
    """A network of `sizes` (I, hidden, outputs) with Adam's state; outputs are linear.

    loss: "classes", the cross entropy of the softmax, in nats; "squares", the mean squared error.
    prunable: of each of the G layers of groups, whether the plan may shrink or drop some.
    """

    def __init__(
        self, sizes: tuple[int, ...], activation: str, loss: str, prunable: tuple[bool, ...]
    ):
        self.sizes, self.prunable = sizes, prunable
        self.model = keras.Sequential([keras.Input((sizes[0],))])
        for neurons in sizes[1:-1]:
            self.model.add(self.layer(neurons, KERAS[activation]))
        self.model.add(self.layer(sizes[-1], None))
        self.learnt = self.learns()
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(self.learnt)
        self.fresh = [np.asarray(v) for v in self.optimizer.variables]
        self.masks = [tf.Variable(tf.ones([n])) for n in sizes[:-1]]
        self.loss = (
            keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            if loss == "classes"
            else keras.losses.MeanSquaredError()
        )

    def layer(self, units: int, activation: str | None) -> keras.layers.Layer:
        """A layer of the network."""
        return keras.layers.Dense(units, activation)

    def learns(self) -> list[keras.Variable]:
        """What the optimizer changes."""
        return self.model.trainable_variables

    def start(self, rng: np.random.Generator) -> None:
        """Glorot's uniform weights, biases 0 (Keras's defaults), all groups, no moments."""
        for layer, (rows, columns) in zip(self.model.layers, pairwise(self.sizes), strict=True):
            limit = (6 / (rows + columns)) ** 0.5
            self.begin(layer, rng.uniform(-limit, limit, (rows, columns)))
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        self.set_masks([np.ones(n) for n in self.sizes[:-1]])

    def begin(self, layer: Any, kernel: np.ndarray) -> None:
        """Give a layer its first weights."""
        layer.set_weights([kernel, np.zeros(kernel.shape[1])])

    def set_masks(self, masks: list[np.ndarray]) -> None:
        """Keep the groups where the masks (N,) are 1."""
        for mask, value in zip(self.masks, masks, strict=True):
            mask.assign(value)
        self._apply_masks()

    def weights(self) -> list[np.ndarray]:
        """(N+1, J) of each layer, the bias last."""
        return [np.vstack([*map(np.array, layer.get_weights())]) for layer in self.model.layers]

    def compile(self, *arguments: tf.Tensor) -> None:
        """Compile the epoch where its shapes are new, by running one; `start` comes after."""
        before = self.epoch.experimental_get_tracing_count()
        self.epoch.get_concrete_function(*arguments)
        if self.epoch.experimental_get_tracing_count() > before:
            self.epoch(*arguments)

    @tf.function
    def resume(self, weights: list[tf.Tensor]) -> None:
        """Give the network these weights, as `model.get_weights` has them; no moments."""
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.weights, weights, strict=True):
            variable.assign(value)

    @tf.function(jit_compile=True)
    def epoch(
        self,
        x: tf.Tensor,
        y: tf.Tensor,
        order: tf.Tensor,
        rate: tf.Tensor,
        penalty: tf.Tensor,
        keep: tf.Tensor,
    ) -> tf.Tensor:
        """The steps whose rows of x are order (S, B): mean of the losses, each before its step."""
        total = tf.zeros([])
        steps = order.shape[0]
        for step in tf.range(steps):
            rows = order[step]
            loss, gradients = self._gradients(tf.gather(x, rows), tf.gather(y, rows))
            self.optimizer.learning_rate.assign(rate[step])
            self.optimizer.apply(gradients, self.learnt)
            self.shrink(rate[step] * penalty[step])
            if any(self.prunable):
                self.drop(keep[step])
                self._apply_masks()
            total += loss
        return total / steps

    @tf.function(jit_compile=True)
    def sensitivities(self, x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """(N,) of each layer's groups: derivative of the loss by a factor on the group, at 1."""
        _, gradients = self._gradients(x, y)
        kernels = [layer.kernel for layer in self.model.layers]
        return [tf.reduce_sum(g * w, axis=1) for g, w in zip(gradients[::2], kernels, strict=True)]

    def _gradients(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = self.objective(x, y)
        return loss, tape.gradient(loss, self.learnt)

    def objective(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """What a step lowers: a mean over the rows (B, I) and their classes or targets."""
        return self.loss(y, self.model(x))

    def shrink(self, thresholds: tf.Tensor) -> None:
        """The group lasso's proximal step; thresholds (G,)."""
        for number, layer in enumerate(self.model.layers):
            if self.prunable[number]:
                layer.kernel.assign(shrink(layer.kernel, thresholds[number]))

    def drop(self, keep: tf.Tensor) -> None:
        """Leave the `keep` (G,) strongest groups of those that are left.

        Last layer first, so that an input's norm counts the neurons that are left.
        """
        for number in reversed(range(len(self.masks))):
            if self.prunable[number]:
                mask = self.masks[number]
                columns = self.masks[number + 1] if number + 1 < len(self.masks) else None
                strength = self.strength(self.model.layers[number], columns)
                mask.assign(largest(strength, mask, keep[number]))

    def strength(self, layer: Any, columns: tf.Tensor | None) -> tf.Tensor:
        """(N,) by which the groups into a layer are ranked; columns (J,): its neurons left."""
        kernel = layer.kernel if columns is None else layer.kernel * columns
        return tf.norm(kernel, axis=1)

    def _apply_masks(self) -> None:
        """Zero the weights out of dropped groups, and those into dropped neurons."""
        for number, layer in enumerate(self.model.layers):
            kernel = layer.kernel * self.masks[number][:, None]
            if number + 1 < len(self.masks):
                kernel = kernel * self.masks[number + 1]
                layer.bias.assign(layer.bias * self.masks[number + 1])
            layer.kernel.assign(kernel)


def shrink(kernel: tf.Tensor, threshold: tf.Tensor | float) -> tf.Tensor:
    """The proximal step of the group lasso on the rows of (N, J), threshold * sqrt(J) each.

    argmin_w |w - u|^2 / 2 + t |w| = max(0, 1 - t / |u|) u, the row's norm shorter by t, or 0.
    """
    norm = tf.norm(kernel, axis=1, keepdims=True)
    short = threshold * kernel.shape[1] ** 0.5
    return kernel * tf.maximum(0.0, 1.0 - short / tf.maximum(norm, 1e-12))


def largest(norms: tf.Tensor, mask: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Mask (N,) of the `keep` largest of those in `mask`; the first of equal ones."""
    order = tf.argsort(tf.where(mask > 0, norms, -1.0), direction="DESCENDING", stable=True)
    return tf.cast(tf.argsort(order) < keep, tf.float32)


@lru_cache(maxsize=8)
def program(
    sizes: tuple[int, ...], activation: str, loss: str, prunable: tuple[bool, ...]
) -> Program:
    """The program of these settings, compiled once for all fits of the same shapes."""
    return Program(sizes, activation, loss, prunable)
