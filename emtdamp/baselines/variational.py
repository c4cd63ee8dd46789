"""The method `BayesByBackprop`: a Gaussian for every weight, groups dropped by signal to noise.

The layers are those of `bayes_by_backprop`; what a training leaves is a `SampledNetwork`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from emtdamp.baselines.compiled import Program
from emtdamp.baselines.methods import Gradual, Problem, check_positive, shapes
from emtdamp.baselines.network import SampledNetwork
from emtdamp.errors import UsageError


@dataclass(frozen=True)
class BayesByBackprop(Gradual):
    """Bayes by Backprop (Blundell et al. 2015), its groups dropped bit by bit as in `Gradual`.

    Every weight has the prior N(0, prior_sd^2) and the posterior N(mean, sd^2), both learnt by Adam
    from the expected loss, drawn by local reparameterization, plus kl_weight * KL / rows. The group
    that goes first is that of the least signal to noise, sum mean^2 / sum sd^2 over its outgoing
    weights: what Blundell et al. do to single weights. A prediction averages `samples` networks. Of
    a regression the variance of the noise is learnt with the weights.

    Args:
        kl_weight: above 0; 1 is Bayes, less is a cold posterior, of a likelihood that counts more.
        prior_sd: standard deviation of each weight's prior, above 0.
        initial_sd: standard deviation of each weight before training, above 0.
        samples: networks that a prediction averages, 1 or more.
    """

    rate: float = 1e-2
    kl_weight: float = 0.1
    prior_sd: float = 0.1
    initial_sd: float = 0.02
    samples: int = 20

    def __post_init__(self):
        super().__post_init__()
        for name in ("kl_weight", "prior_sd", "initial_sd"):
            check_positive(self, name)
        if not isinstance(self.samples, int) or self.samples < 1:
            raise UsageError(f"samples={self.samples!r}; give an integer of at least 1")

    def program(self, problem: Problem) -> Program:
        return program(*shapes(problem), self.prior_sd, self.initial_sd)

    def begin(self, network: Program, problem: Problem, rng: np.random.Generator) -> None:
        assert isinstance(network, VariationalProgram)
        network.begin_with(self.kl_weight / len(problem.rows), rng)

    def found(self, network: Program, problem: Problem) -> SampledNetwork:
        assert isinstance(network, VariationalProgram)
        mean, var = network.gaussians()
        active = tuple(mask.numpy() > 0 for mask in network.masks)
        return SampledNetwork.of(
            mean, var, active, problem.activation, problem.classes, self.samples, problem.seed
        )


class VariationalProgram(Program):
    """As `Program`, with layers that have a Gaussian for every weight."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: str,
        loss: str,
        prunable: tuple[bool, ...],
        prior_sd: float,
        initial_sd: float,
    ):
        # imported here: TensorFlow Probability takes seconds, and only this method needs it
        from emtdamp.baselines import bayes_by_backprop as layers

        self.kind, self.options = layers.VariationalDense, {"initial_sd": initial_sd}
        self.prior = layers.GaussianPrior(prior_sd)
        self.regression = loss == "squares"
        self.kl_scale = tf.Variable(0.0)
        self.log_noise = keras.Variable(0.0, name="log_noise")
        super().__init__(sizes, activation, loss, prunable)

    def layer(self, units: int, activation: str | None) -> keras.layers.Layer:
        made = self.kind(units, activation, prior=self.prior, kl_scale=1.0, **self.options)
        made.algorithm = "threefry"  # an epoch is always compiled
        return made

    def learns(self) -> list[keras.Variable]:
        return [*self.model.trainable_variables, *[self.log_noise] * self.regression]

    def begin(self, layer: Any, kernel: np.ndarray) -> None:
        layer.kernel_mean.assign(kernel)
        layer.bias_mean.assign(np.zeros(kernel.shape[1]))
        start = np.log(np.expm1(layer.initial_sd))
        for rho in (layer.kernel_rho, layer.bias_rho):
            rho.assign(np.full(rho.shape, start))

    def begin_with(self, kl_scale: float, rng: np.random.Generator) -> None:
        """Set the factor of the KL, the seeds of the draws, and the noise of a regression to 1."""
        self.kl_scale.assign(kl_scale)
        self.log_noise.assign(0.0)
        for layer in self.model.layers:
            layer.random.state.assign(rng.integers(2**31, size=2).astype(np.uint32))

    def objective(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        loss = self.loss(y, self.model(x))
        if self.regression:  # -log N(y; z, v) but for a constant
            log_noise = tf.convert_to_tensor(self.log_noise)
            loss = 0.5 * (loss * tf.exp(-log_noise) + log_noise)
        return loss + self.kl_scale * tf.add_n(self.model.losses)

    def shrink(self, thresholds: tf.Tensor) -> None:
        """There is no group lasso here."""
        del thresholds

    def strength(self, layer: Any, columns: tf.Tensor | None) -> tf.Tensor:
        mean, sd, _, _ = layer.gaussians()
        if columns is not None:
            mean, sd = mean * columns, sd * columns
        signal, noise = (tf.reduce_sum(part**2, axis=1) for part in (mean, sd))
        return tf.math.divide_no_nan(signal, noise)

    def _apply_masks(self) -> None:
        for number, layer in enumerate(self.model.layers):
            kept = tf.ones_like(layer.kernel_kept) * self.masks[number][:, None]
            if number + 1 < len(self.masks):
                kept *= self.masks[number + 1]
            layer.kernel_kept.assign(kept)

    def gaussians(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Means and variances (N+1, J) of each layer, the bias last."""
        means, variances = [], []
        for layer in self.model.layers:
            mean, sd, bias, bias_sd = (part.numpy() for part in layer.gaussians())
            means.append(np.vstack([mean, bias]))
            variances.append(np.vstack([sd, bias_sd]) ** 2)
        return means, variances


@lru_cache(maxsize=8)
def program(
    sizes: tuple[int, ...],
    activation: str,
    loss: str,
    prunable: tuple[bool, ...],
    prior_sd: float,
    initial_sd: float,
) -> VariationalProgram:
    """The program of these settings, compiled once for all fits of the same shapes."""
    return VariationalProgram(sizes, activation, loss, prunable, prior_sd, initial_sd)
