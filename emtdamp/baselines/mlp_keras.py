"""Dense networks trained by Adam: the typical MLPs that the report compares itself with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np

from emtdamp.errors import UsageError


@dataclass(frozen=True)
class DenseSettings:
    """A network of one hidden ReLU layer and a softmax, trained by Adam on the cross entropy.

    Args:
        hidden: neurons of the hidden layer, at least 1.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: Adam's; 0.001 is Keras's default.
        schedule: the rate stays "constant", or falls to zero by half a "cosine" over the epochs.
        seed: of initial weights and of the order of the images.

    Raises:
        UsageError: a value is outside its range.
    """

    hidden: int = 128
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.001
    schedule: Literal["constant", "cosine"] = "constant"
    seed: int = 0

    def __post_init__(self):
        for name in ("hidden", "epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}: {getattr(self, name)!r} is not allowed; more than 0 is")
        if self.schedule not in ("constant", "cosine"):
            raise UsageError(
                f"schedule: {self.schedule!r} is not allowed; one of constant, cosine is"
            )


def train_dense(
    settings: DenseSettings,
    images: np.ndarray,
    labels: np.ndarray,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.Model:
    """Train a dense network.

    Args:
        settings: what to train. Sets the global seeds of Python, NumPy and TensorFlow.
        images: (N, I), in [0, 1].
        labels: (N,) integers.
        callbacks: that watch the training, Keras's own.

    Returns:
        A Keras model from (B, I) to class probabilities (B, K).

    >>> images, labels = np.eye(4, dtype="float32"), np.arange(4)
    >>> train_dense(DenseSettings(hidden=2, epochs=1), images, labels).output_shape
    (None, 4)
    """
    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            keras.layers.Dense(settings.hidden, "relu"),
            keras.layers.Dense(int(labels.max()) + 1, "softmax"),
        ]
    )
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        steps = settings.epochs * -(-len(images) // settings.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    # not XLA: compiling each network takes longer than it saves in so short a training
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(
        images, labels, settings.batch_size, settings.epochs, verbose=0, callbacks=[*callbacks]
    )
    return model
