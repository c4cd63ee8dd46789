"""Networks for a real output that say how noisy it is: at each x, or the same everywhere.

y ~ N(m(x), s^2(x)) by maximum likelihood: Nix and Weigend (1994) for one network that has its own
s(x), *heteroscedastic*; several from different starts are the deep ensemble of Lakshminarayanan et
al. (2017). With one s for all x they are *homoscedastic*, the noise of EM-TDAMP and of most others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from emtdamp.baselines.keras_epochs import Trainer
from emtdamp.baselines.methods import check_positive
from emtdamp.errors import UsageError
from emtdamp.predictive import Predictive, ensemble


@dataclass(frozen=True)
class GaussianSettings:
    """Networks of one hidden ReLU layer, trained by Adam on the Gaussian log density.

    `HETEROSCEDASTIC` and `HOMOSCEDASTIC` are the best of those that `choose_uncertain` tried on
    held-out training rows.

    Args:
        heteroscedastic: whether the noise depends on x, or all rows share one.
        members: networks of the ensemble, 1 or more.
        hidden: neurons of the hidden layer.
        epochs, batch_size: passes over the rows, and rows a step.
        learning_rate: Adam's at the start, falling to 0 along half a cosine.
        seed: of weights and order.

    Raises:
        UsageError: a value is outside its range.
    """

    heteroscedastic: bool = True
    members: int = 5
    hidden: int = 50
    epochs: int = 15
    batch_size: int = 50
    learning_rate: float = 1e-2
    seed: int = 0

    def __post_init__(self):
        for name in ("members", "hidden", "epochs", "batch_size", "learning_rate"):
            check_positive(self, name)


HETEROSCEDASTIC = GaussianSettings()
HOMOSCEDASTIC = GaussianSettings(heteroscedastic=False, epochs=60)


@keras.saving.register_keras_serializable("emtdamp")
class CommonLogVariance(keras.layers.Layer):
    """Means (B, 1) to (B, 2): beside each the log variance that all rows share."""

    def build(self, input_shape):
        self.log_variance = self.add_weight(shape=(1,), initializer="zeros")

    def call(self, mean):
        return keras.ops.concatenate([mean, keras.ops.zeros_like(mean) + self.log_variance], -1)


def log_density(y: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """(B,) log N(y; m, s^2) where the output (B, 2) is m and log s^2."""
    normal = tfp.distributions.Normal(output[:, 0], tf.exp(0.5 * output[:, 1]))
    return normal.log_prob(y)


def train_gaussians(settings: GaussianSettings, x: np.ndarray, y: np.ndarray) -> list[keras.Model]:
    """Train on raw rows x (N, I), y (N,): Keras models from x to (B, 2), mean and log variance.

    Both are in y's units; constant columns of x are ignored.

    Raises UsageError where shapes do not fit, or values are not finite.

    >>> x = np.linspace(0, 1, 20)[:, None]
    >>> models = train_gaussians(GaussianSettings(members=2, epochs=1), x, x[:, 0])
    >>> len(models), models[0].output_shape
    (2, (None, 2))
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
        raise UsageError(f"x has shape {x.shape}, y {y.shape}; give (N, I) and (N,)")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageError("x or y has values that are no finite numbers; leave these rows out")
    center, scale = x.mean(axis=0), np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
    middle, unit = y.mean(), y.std() or 1.0
    rows = ((x - center) / scale).astype(np.float32)
    targets = ((y - middle) / unit).astype(np.float32)
    trainer = _trainer(x.shape[1], settings.hidden, settings.heteroscedastic)
    found = []
    for number in range(settings.members):
        how = settings.epochs, settings.batch_size, settings.learning_rate
        trainer.train(rows, targets, *how, seed=settings.seed + 1000 * number)
        network = keras.models.clone_model(trainer.model)
        network.set_weights(trainer.model.get_weights())
        units = keras.layers.Rescaling([unit, 1.0], [middle, 2 * np.log(unit)])
        first = keras.layers.Normalization(mean=center, variance=scale**2)
        found.append(keras.Sequential([keras.Input(x.shape[1:]), first, network, units]))
    return found


@lru_cache(maxsize=8)
def _trainer(inputs: int, hidden: int, heteroscedastic: bool) -> Trainer:
    model = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(hidden, "relu")])
    if heteroscedastic:
        model.add(keras.layers.Dense(2))
    else:
        model.add(keras.layers.Dense(1))
        model.add(CommonLogVariance())
    return Trainer(model, lambda y, output: -tf.reduce_mean(log_density(y, output)))


def predictive(models: Sequence[keras.Model], x: np.ndarray) -> Predictive:
    """The even mixture of the networks at rows x (B, I), by the law of total variance.

    Its `noise` is the mean of the networks' variances (aleatoric), its `model` the variance of
    their means (epistemic).
    """
    members = []
    for model in models:
        mean, log_variance = np.asarray(model(tf.constant(x, tf.float32)), float).T
        members.append(Predictive(mean, np.exp(log_variance), np.zeros_like(mean)))
    return ensemble(members)
