"""Monte Carlo dropout: a network that goes on dropping neurons when it predicts.

Gal and Ghahramani (2016): with dropout before the weight layers, training is variational inference
for a mixture of two points a weight, and each pass with neurons dropped is a draw from it.
"""

from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from emtdamp.baselines.keras_epochs import Trainer, restart
from emtdamp.baselines.methods import check_positive, check_share
from emtdamp.errors import UsageError


@dataclass(frozen=True)
class DropoutSettings:
    """A network of one hidden ReLU layer for classes, trained by Adam with dropout.

    The rates were the best of those that `choose_uncertain` tried on held-out training images.

    Args:
        hidden: neurons of the hidden layer, at least 1.
        epochs, batch_size: passes over the images, and images a step, at least 1.
        learning_rate: Adam's at the start, falling to 0 along half a cosine.
        dropout: rate in [0, 1) at which hidden neurons are dropped.
        input_dropout: the same of the inputs.
        seed: of weights, order and what is dropped.

    Raises:
        UsageError: a value is outside its range.
    """

    hidden: int = 128
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-2
    dropout: float = 0.05
    input_dropout: float = 0.2
    seed: int = 0

    def __post_init__(self):
        for name in ("hidden", "epochs", "batch_size", "learning_rate"):
            check_positive(self, name)
        for name in ("dropout", "input_dropout"):
            check_share(self, name)


def train_dropout(settings: DropoutSettings, images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Train on images (N, I) in [0, 1] and labels (N,): a Keras model to logits (B, K).

    >>> images, labels = np.eye(4, dtype="float32"), np.arange(4)
    >>> train_dropout(DropoutSettings(hidden=2, epochs=1), images, labels).output_shape
    (None, 4)
    """
    shape = (images.shape[1], settings.hidden, int(labels.max()) + 1)
    trainer = _trainer(shape, settings.dropout, settings.input_dropout)
    x, y = images.astype(np.float32), labels.astype(np.int32)
    how = settings.epochs, settings.batch_size, settings.learning_rate, settings.seed
    trainer.train(x, y, *how)
    model = keras.models.clone_model(trainer.model)
    model.set_weights(trainer.model.get_weights())
    return model


@lru_cache(maxsize=8)
def _trainer(shape: tuple[int, int, int], dropout: float, input_dropout: float) -> Trainer:
    inputs, hidden, classes = shape
    model = keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dropout(input_dropout, seed=0),
            keras.layers.Dense(hidden, "relu"),
            keras.layers.Dropout(dropout, seed=0),
            keras.layers.Dense(classes),
        ]
    )
    return Trainer(model, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def sampled(model: keras.Model, images: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """(samples, B, K) log probabilities with neurons dropped anew each time, for each image.

    Raises UsageError where `samples` is below 1.

    >>> images, labels = np.eye(4, dtype="float32"), np.arange(4)
    >>> model = train_dropout(DropoutSettings(hidden=2, epochs=1), images, labels)
    >>> sampled(model, images, 3).shape
    (3, 4, 4)
    """
    if not isinstance(samples, int | np.integer) or samples < 1:
        raise UsageError(f"samples={samples!r}; give an integer of at least 1")
    restart(model, seed)
    return _draw(model, tf.constant(images, tf.float32), samples).numpy()


@tf.function  # not by XLA, as in `Trainer`; traced once for each model and number of rows
def _draw(model: keras.Model, x: tf.Tensor, samples: int) -> tf.Tensor:
    def once(_: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(model(x, training=True))

    return tf.map_fn(once, tf.range(samples), fn_output_signature=tf.float32)
