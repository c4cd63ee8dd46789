"""A small convolutional network for images of one channel, with or without Gaussian weights.

Two convolutions 5x5 with stride 2 and a dense layer. With a Gaussian for every weight it is the
Bayesian network of Shridhar et al. (2019), of the layers of `bayes_by_backprop`.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy.special import log_softmax

from emtdamp.baselines import bayes_by_backprop as layers
from emtdamp.baselines.methods import check_positive
from emtdamp.errors import UsageError

FILTERS = (16, 32)


@dataclass(frozen=True)
class ConvolutionalSettings:
    """Trained by Adam, whose step falls to 0 along half a cosine.

    Args:
        bayesian: whether weights are Gaussians, or numbers.
        epochs, batch_size: passes over the images, and images a step, at least 1.
        learning_rate: Adam's at the start, above 0.
        kl_weight: above 0; 1 is Bayes, less a colder posterior, as in `BayesByBackprop`.
        prior_sd: standard deviation of each weight's prior, above 0.
        seed: of weights, order and draws.

    Raises:
        UsageError: a value is outside its range.
    """

    bayesian: bool = True
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-2
    kl_weight: float = 0.1
    prior_sd: float = 0.1
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "kl_weight", "prior_sd"):
            check_positive(self, name)


# The best of those that `choose_uncertain` tried on held-out training images.
POINT = ConvolutionalSettings(bayesian=False, learning_rate=5e-3)
BAYESIAN = ConvolutionalSettings()


def train(settings: ConvolutionalSettings, images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Train on images (N, H, W) in [0, 1] and labels (N,): a model of images to logits (B, K).

    Raises:
        UsageError: the images have no three axes, or there are not as many labels.

    >>> images, labels = np.random.default_rng(0).random((8, 12, 12)), np.arange(8) % 2
    >>> train(ConvolutionalSettings(epochs=1), images, labels).output_shape
    (None, 2)
    """
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise UsageError(
            f"images have shape {images.shape}, labels {labels.shape}; give (N, H, W) and (N,)"
        )
    keras.utils.set_random_seed(settings.seed)
    model = _network(settings, images.shape[1:], int(labels.max()) + 1, len(images))
    steps = settings.epochs * -(-len(images) // settings.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    how: dict[str, Any] = {"epochs": settings.epochs, "batch_size": settings.batch_size}
    model.fit(images.astype(np.float32), labels, verbose=0, **how)  # pyright: ignore
    return model


def _network(
    settings: ConvolutionalSettings, shape: tuple[int, ...], classes: int, rows: int
) -> keras.Model:
    if settings.bayesian:
        options: dict[str, Any] = {
            "prior": layers.GaussianPrior(settings.prior_sd),
            "kl_scale": settings.kl_weight / rows,
        }
        convolution, dense = layers.VariationalConv2D, layers.VariationalDense
        each: Any = [{"seed": settings.seed + number} | options for number in range(3)]
    else:
        convolution, dense, each = keras.layers.Conv2D, keras.layers.Dense, [{}] * 3
    first, second = (
        convolution(filters, 5, activation="relu", strides=2, padding="same", **given)
        for filters, given in zip(FILTERS, each[:2], strict=True)
    )
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Reshape((*shape, 1)),
            first,
            second,
            keras.layers.Flatten(),
            dense(classes, **each[2]),
        ]
    )


def sampled(model: keras.Model, images: np.ndarray, samples: int, seed: int = 0) -> np.ndarray:
    """(S, B, K) log probabilities of images (B, H, W): of `samples` draws, or of the only network.

    >>> images, labels = np.random.default_rng(0).random((8, 12, 12)), np.arange(8) % 2
    >>> sampled(train(ConvolutionalSettings(epochs=1), images, labels), images, 3).shape
    (3, 8, 2)
    """
    images = images.astype(np.float32)
    if any(isinstance(layer, layers.Variational) for layer in model.layers):
        return log_softmax(layers.draws(model, images, samples, seed), axis=-1)
    return log_softmax(model.predict(images, verbose=0)[None], axis=-1)  # pyright: ignore
