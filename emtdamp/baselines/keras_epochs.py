"""Adam on any Keras model of Dense and Dropout layers: an epoch is one compiled call.

For networks whose training is nothing but a loss: `mc_dropout` and `gaussian_networks`. Models are
made once for each shape and started anew for each training, so that compiled code is shared.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from emtdamp.errors import EmtdampError

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # of y and the model's output, to a mean


class Trainer:
    """Trains `model` on `loss` from new weights, as often as asked.

    Compiled by XLA unless the model drops neurons: its random numbers are six times slower.
    """

    def __init__(self, model: keras.Model, loss: Loss):
        self.model, self.loss = model, loss
        drops = any(isinstance(layer, keras.layers.Dropout) for layer in model.layers)
        self.epoch = tf.function(self._steps, jit_compile=not drops)
        self.optimizer = keras.optimizers.Adam()
        self.optimizer.build(model.trainable_variables)
        self.fresh = [np.asarray(v) for v in self.optimizer.variables]

    def train(
        self, x: np.ndarray, y: np.ndarray, epochs: int, batch_size: int, rate: float, seed: int
    ) -> list[float]:
        """Leave the trained weights in the model; returns the mean loss of each epoch.

        Args:
            x, y: (N, ...) rows; the last minibatch is filled up with the epoch's first rows.
            epochs, batch_size: both 1 or more.
            rate: Adam's at the start; it falls to 0 along half a cosine.
            seed: of weights (Glorot's uniform, others 0), order and dropout.

        Raises:
            EmtdampError: the loss is no longer finite.
        """
        rng = np.random.default_rng(seed)
        self._start(rng)
        x, y = tf.constant(x), tf.constant(y)
        batch = min(batch_size, len(x))
        steps = -(-len(x) // batch)
        rates = rate * 0.5 * (1 + np.cos(np.pi * np.arange(steps * epochs) / (steps * epochs)))
        losses = []
        for now in np.split(rates.astype(np.float32), epochs):
            order = np.resize(rng.permutation(len(x)), (steps, batch)).astype(np.int32)
            losses.append(float(self.epoch(x, y, tf.constant(order), tf.constant(now))))
            if not np.isfinite(losses[-1]):
                raise EmtdampError(
                    f"the loss is {losses[-1]} in epoch {len(losses)}; use a rate below {rate}"
                )
        return losses

    def _start(self, rng: np.random.Generator) -> None:
        for variable in self.model.trainable_variables:
            limit = (6 / sum(variable.shape)) ** 0.5 if len(variable.shape) == 2 else 0.0
            variable.assign(rng.uniform(-limit, limit, variable.shape))
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        restart(self.model, int(rng.integers(2**31)))

    def _steps(self, x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """The steps whose rows are order (S, B): mean of the losses, each before its step."""
        total = tf.zeros([])
        for step in tf.range(order.shape[0]):
            rows = order[step]
            with tf.GradientTape() as tape:
                output = self.model(tf.gather(x, rows), training=True)
                loss = self.loss(tf.gather(y, rows), output)
            gradients = tape.gradient(loss, self.model.trainable_variables)
            self.optimizer.learning_rate.assign(rate[step])
            self.optimizer.apply(gradients, self.model.trainable_variables)
            total += loss
        return total / order.shape[0]


def restart(model: keras.Model, seed: int) -> None:
    """Let the model's dropout begin with `seed`: what it drops next does not depend on before."""
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
            layer.seed_generator.state.assign([(seed + number) % 2**31, 0])
