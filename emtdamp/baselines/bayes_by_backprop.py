"""Bayes by Backprop (Blundell et al. 2015): Keras layers, a Gaussian for every weight::

    layers = VariationalDense(128, "relu", kl_scale=1 / n), VariationalDense(10, kl_scale=1 / n)
    model = keras.Sequential([keras.Input((784,)), *layers])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y)                       # n rows
    draws(model, x_test, samples=20)      # (20, B, 10) logits, each of other weights

A layer has q(w) = N(mean, sd^2) for each weight, sd = log(1 + exp(rho)), and learns mean and rho by
the gradient of the expected loss: twice the parameters of a point estimate. It adds to the model's
loss what the prior costs, in the one scaling of this module: **kl_scale * KL(q || prior)** beside a
loss that is a mean over rows. With n training rows kl_scale = 1 / n makes the sum the negative
evidence lower bound per row, 1 / n of the paper's equation 1; tau / n with tau < 1 is the "cold"
posterior, of a likelihood raised to 1 / tau.

Each call draws anew, in training and after it. It draws the sums z = x w, not the weights: given x
they are Gaussian, with E z = x mean and var z = x^2 sd^2 (local reparameterization, Kingma et al.
2015, equation 6), a draw for each row, so that the gradient has less noise. In a convolution each
place has its draw too: the distribution of each output is exact, that two places share weights is
left out, as in Shridhar et al. (2019). `baselines.network.SampledNetwork` draws weights.
"""

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from emtdamp.errors import UsageError

tfd = tfp.distributions
register = keras.saving.register_keras_serializable("emtdamp")


class _Settings:
    """A frozen dataclass of numbers in Keras's files."""

    def get_config(self) -> dict[str, float]:
        """The settings by name."""
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_config(cls, config: dict[str, float]):
        """What `get_config` described."""
        return cls(**config)


@register
@dataclass(frozen=True)
class GaussianPrior(_Settings):
    """w ~ N(0, sd^2), each weight by itself. sd: above 0."""

    sd: float = 0.1

    def __post_init__(self):
        _positive("sd", self.sd)

    def kl(self, mean: tf.Tensor, sd: tf.Tensor, noise: tf.Tensor | None = None) -> tf.Tensor:
        """KL(N(mean, sd^2) || prior) of each weight, in nats, in closed form."""
        return tfd.kl_divergence(
            tfd.Normal(mean, sd), tfd.Normal(tf.cast(0.0, mean.dtype), self.sd)
        )

    draws = False  # whether `kl` needs noise


@register
@dataclass(frozen=True)
class ScaleMixture(_Settings):
    """w ~ share N(0, wide^2) + (1 - share) N(0, narrow^2), equation 7 of Blundell et al. (2015).

    share: in (0, 1). wide, narrow: standard deviations above 0.
    """

    share: float = 0.5
    wide: float = 1.0
    narrow: float = 0.0025

    def __post_init__(self):
        _positive("wide", self.wide)
        _positive("narrow", self.narrow)
        if not 0 < self.share < 1:
            raise UsageError(f"share={self.share!r}; give a number above 0 and below 1")

    def kl(self, mean: tf.Tensor, sd: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """An estimate without bias of each weight's KL, at w = mean + sd noise, noise ~ N(0, 1).

        -H(q) - log p(w): the entropy is exact, and only the expectation of log p is drawn.
        """
        scales = tf.constant([self.wide, self.narrow], mean.dtype)
        shares = tf.constant([self.share, 1 - self.share], mean.dtype)
        each = tfd.Normal(tf.zeros_like(scales), scales).log_prob((mean + sd * noise)[..., None])
        log_prior = tf.reduce_logsumexp(tf.math.log(shares) + each, axis=-1)
        return -tfd.Normal(mean, sd).entropy() - log_prior

    draws = True


class Variational(keras.layers.Layer):
    """What both layers share; `build` of a subclass gives the kernel's shape to `_add`.

    Weights: kernel_mean, kernel_rho, bias_mean, bias_rho; kernel_kept, 1 or 0 and not trained: a
    weight of 0 is dropped, is 0 for good and costs nothing. algorithm: of the draws; "threefry" is
    faster than this one, and runs under XLA only.
    """

    algorithm = "philox"

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        prior: GaussianPrior | ScaleMixture | None = None,
        kl_scale: float = 1.0,
        initial_sd: float = 0.02,
        seed: int | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        if not isinstance(units, int | np.integer) or isinstance(units, bool) or units < 1:
            raise UsageError(f"{units!r} outputs; give an integer of at least 1")
        _positive("initial_sd", initial_sd)
        if not kl_scale >= 0:
            raise UsageError(f"kl_scale={kl_scale!r}; give a number of at least 0, 1 / rows say")
        self.prior = GaussianPrior() if prior is None else prior
        if not isinstance(self.prior, GaussianPrior | ScaleMixture):
            raise UsageError(f"prior={prior!r}; give GaussianPrior() or ScaleMixture()")
        self.units, self.kl_scale, self.initial_sd, self.seed = units, kl_scale, initial_sd, seed
        self.activation = keras.activations.get(activation)
        self.random = keras.random.SeedGenerator(seed)

    def _add(self, shape: tuple[int, ...]) -> None:
        rho = keras.initializers.Constant(float(np.log(np.expm1(self.initial_sd))))
        self.kernel_mean = self.add_weight(shape, "glorot_uniform", name="kernel_mean")
        self.kernel_rho = self.add_weight(shape, rho, name="kernel_rho")
        self.kernel_kept = self.add_weight(shape, "ones", trainable=False, name="kernel_kept")
        self.bias_mean = self.add_weight((self.units,), "zeros", name="bias_mean")
        self.bias_rho = self.add_weight((self.units,), rho, name="bias_rho")

    def gaussians(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Mean and sd of the kernel, 0 where it is dropped, and mean and sd of the bias."""
        kept = tf.convert_to_tensor(self.kernel_kept)
        kernel = self.kernel_mean * kept, tf.nn.softplus(self.kernel_rho) * kept
        return *kernel, tf.convert_to_tensor(self.bias_mean), tf.nn.softplus(self.bias_rho)

    def kl(self) -> tf.Tensor:
        """KL(q || prior) of all weights that are left, in nats, in closed form or estimated."""
        total = tf.zeros([])
        for mean, rho, kept in (
            (self.kernel_mean, self.kernel_rho, self.kernel_kept),
            (self.bias_mean, self.bias_rho, 1.0),
        ):
            noise = self._normal(mean.shape) if self.prior.draws else None
            each = self.prior.kl(tf.convert_to_tensor(mean), tf.nn.softplus(rho), noise)
            total += tf.reduce_sum(each * kept)
        return total

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """What the layer does to x but for bias and activation: linear in both."""
        raise NotImplementedError

    def moments(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance of the sums z under q, given x."""
        mean, sd, bias, bias_sd = self.gaussians()
        return self.linear(x, mean) + bias, self.linear(x**2, sd**2) + bias_sd**2

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """A draw for each row; adds kl_scale * KL to the model's losses."""
        self.add_loss(self.kl_scale * self.kl())
        mean, var = self.moments(x)
        return self.activation(mean + tf.sqrt(var) * self._normal(tf.shape(mean)))

    def _normal(self, shape: Any) -> tf.Tensor:
        # keras.random.normal leaves the algorithm to TensorFlow, whose choice takes 20 times as
        # long in compiled loops
        seed = tf.cast(self.random.next(), tf.int32)
        return tf.random.stateless_normal(shape, seed, alg=self.algorithm)

    def get_config(self) -> dict[str, Any]:
        """The settings, for Keras's files."""
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "kl_scale": self.kl_scale,
            "initial_sd": self.initial_sd,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Variational":
        """What `get_config` described."""
        prior = keras.saving.deserialize_keras_object(config["prior"])
        return cls(**config | {"prior": prior})


@register
class VariationalDense(Variational):
    """z = x w + b, x (B, I), w (I, units): `keras.layers.Dense` with a Gaussian for every weight.

    Args:
        units: outputs, 1 or more.
        activation: of the sums, as Keras's layers take it.
        prior: GaussianPrior() if None, or a ScaleMixture.
        kl_scale: factor of the KL beside a loss that is a mean over rows, at least 0: 1 / rows is
            Bayes, less is a colder posterior.
        initial_sd: standard deviation of every weight before training, above 0. Small, so that
            training begins as that of a point estimate does.
        seed: of the draws; None: another at each construction.

    Raises:
        UsageError: a setting is out of range.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the weights for inputs (B, I)."""
        self._add((int(input_shape[-1] or 0), self.units))

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return x @ kernel


@register
class VariationalConv2D(Variational):
    """`keras.layers.Conv2D` with a Gaussian for every weight; images (B, H, W, C).

    Args:
        filters: outputs, 1 or more.
        kernel_size: height and width, or one number for both.
        activation, prior, kl_scale, initial_sd, seed: as `VariationalDense`'s.
        strides: steps between places, in both directions.
        padding: "valid" or "same".

    Raises:
        UsageError: a setting is out of range.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        activation: Any = None,
        *,
        strides: int = 1,
        padding: str = "valid",
        **options: Any,
    ):
        super().__init__(filters, activation, **options)
        both = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(both) != 2 or min(both) < 1:
            raise UsageError(f"kernel_size={kernel_size!r}; give one or two integers of at least 1")
        if padding not in ("valid", "same"):
            raise UsageError(f"padding={padding!r}; use valid or same")
        self.kernel_size, self.strides, self.padding = both, strides, padding

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the weights for images (B, H, W, C)."""
        self._add((*self.kernel_size, int(input_shape[-1] or 0), self.units))

    def linear(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return keras.ops.conv(x, kernel, self.strides, self.padding)

    def get_config(self) -> dict[str, Any]:
        """The settings, for Keras's files."""
        config = super().get_config()
        config["filters"] = config.pop("units")
        return config | {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }


def layers(model: keras.Model) -> list[Variational]:
    """Those layers of the model that have a Gaussian for every weight, from the inputs on.

    Raises:
        UsageError: there is none.
    """
    found = [layer for layer in model.layers if isinstance(layer, Variational)]
    if not found:
        raise UsageError(f"{model.name} has no layer of this module; use VariationalDense, say")
    return found


def signal_to_noise(layer: Variational) -> np.ndarray:
    """abs(mean) / sd of each weight of the kernel, in its shape; 0 where it is dropped.

    By it Graves (2011) and Blundell et al. (2015, section 5.1) say which weights can go.
    """
    mean, sd, _, _ = (np.asarray(part, float) for part in layer.gaussians())
    return np.divide(np.abs(mean), sd, out=np.zeros_like(sd), where=sd > 0)


def drop_weights(model: keras.Model, share: float) -> int:
    """Drop the weights of the least signal to noise, of all kernels together.

    Args:
        share: of all the kernels' weights, in [0, 1), that is dropped after the call, those
            dropped before included: 0.9 leaves a tenth. Dropped weights never come back.

    Returns:
        How many weights are left.

    Raises:
        UsageError: `share` is out of range, or no layer of this module.
    """
    _check_share(share)
    found = layers(model)
    ratios = [signal_to_noise(layer) for layer in found]
    kept = [np.asarray(layer.kernel_kept) > 0 for layer in found]
    flat = np.concatenate([np.where(k, r, -1.0).ravel() for k, r in zip(kept, ratios, strict=True)])
    left = min(len(flat) - round(share * len(flat)), int(sum(k.sum() for k in kept)))
    stays = np.zeros(len(flat), bool)
    stays[np.argsort(-flat, kind="stable")[:left]] = True
    parts = np.split(stays, np.cumsum([r.size for r in ratios])[:-1])
    for layer, part in zip(found, parts, strict=True):
        layer.kernel_kept.assign(part.reshape(layer.kernel_kept.shape).astype(np.float32))
    return left


class GradualWeights(keras.callbacks.Callback):
    """Drops weights by signal to noise after each epoch of `fit`, by the ramp of Zhu and Gupta.

    Dropped after the share t in [0, 1] of the ramp: share (1 - (1 - t)^3), as groups in `Gradual`.

    Args:
        share: of all the kernels' weights, in [0, 1), dropped at the end.
        begin_at, end_at: share of the epochs where the ramp begins and ends.

    Raises:
        UsageError: a setting is out of range.
    """

    def __init__(self, share: float, begin_at: float = 0.2, end_at: float = 0.6):
        super().__init__()
        _check_share(share)
        if not 0 <= begin_at < end_at <= 1:
            raise UsageError(
                f"begin_at={begin_at!r}, end_at={end_at!r}; give 0 <= begin < end <= 1"
            )
        self.share, self.begin_at, self.end_at = share, begin_at, end_at

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Drop what the ramp asks for after this epoch."""
        done = (epoch + 1) / self.params["epochs"]
        ramp = np.clip((done - self.begin_at) / (self.end_at - self.begin_at), 0, 1)
        if ramp > 0:
            drop_weights(self.model, self.share * (1 - (1 - ramp) ** 3))


def draws(model: keras.Model, x: np.ndarray, samples: int = 20, seed: int = 0) -> np.ndarray:
    """What the model gives for x in `samples` passes, (samples, B, ...), each with other draws.

    The predictive distribution is their average, for logits that of the softmax of each. The same
    seed gives the same draws again, and sets the layers' seeds.

    Raises:
        UsageError: fewer than one sample, or no layer of this module.
    """
    if not isinstance(samples, int | np.integer) or isinstance(samples, bool) or samples < 1:
        raise UsageError(f"samples={samples!r}; give an integer of at least 1")
    for number, layer in enumerate(layers(model)):
        layer.random.state.assign([seed, number])
    once = tf.function(lambda rows: model(rows, training=False))
    x = tf.convert_to_tensor(x)
    return np.stack([once(x).numpy() for _ in range(samples)])


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise UsageError(f"share={share!r}; give a number at least 0 and below 1")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise UsageError(f"{name}={value!r}; give a number above 0")
