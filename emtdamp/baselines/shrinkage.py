"""How the weights of `replicas` shrink: by an L1 penalty, or by an ARD prior with Vadam or IVON."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from emtdamp.baselines import ivon, vadam_ard


class _Adam(NamedTuple):
    mean: tf.Tensor
    momentum: tf.Tensor
    square: tf.Tensor
    count: tf.Tensor


@dataclass(frozen=True)
class L1:
    """Adam on mean loss + strength * sum |theta|; the slope of |theta| at 0 is 0.

    Args:
        rate: above 0.
        threshold: weights of at most this size count as 0.
    """

    rate: float = 1e-2
    threshold: float = 1e-2
    draws: ClassVar[bool] = False

    def init(self, mean: tf.Tensor, rows: tf.Tensor, strength: tf.Tensor) -> _Adam:
        zero = tf.zeros_like(mean)
        return _Adam(mean, zero, zero, tf.zeros([], mean.dtype))

    def draw(self, state: _Adam, noise: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return state.mean

    def step(
        self,
        state: _Adam,
        gradient: tf.Tensor,
        noise: tf.Tensor,
        rows: tf.Tensor,
        strength: tf.Tensor,
        rate: tf.Tensor,
    ) -> _Adam:
        gradient += strength * tf.sign(state.mean)
        count = state.count + 1
        momentum = 0.9 * state.momentum + 0.1 * gradient
        square = 0.999 * state.square + 0.001 * gradient**2
        scale = tf.sqrt(square / (1 - 0.999**count)) + 1e-7
        mean = state.mean - rate * momentum / (1 - 0.9**count) / scale
        return _Adam(mean, momentum, square, count)

    def variance(self, state: _Adam, rows: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(state.mean)


class _ARD(NamedTuple):
    """A Gaussian factor and the Gamma factor beside it."""

    gaussian: Any
    precision: vadam_ard.Gamma

    @property
    def mean(self) -> tf.Tensor:
        return self.gaussian.mean


@dataclass(frozen=True)
class VadamARD:
    """Vadam with an ARD prior, `vadam_ard`; the strength is a, the shape of the hyper-prior.

    Args:
        rate: above 0.
        hyper_rate: b > 0 of the hyper-prior.
        first_std: of each weight at the start, above 0.
        beta2: in [0, 1), of the average of squares.
        threshold: weights whose |mean| / sd is at most this count as 0.
        prior_weight: how often the prior counts; 1 by Bayes' rule.
        hold: steps before the Gamma factor moves. From the start, ARD shrinks weights before the
            data have had their say.
        inverse_temperature: how often each row counts; 1 by Bayes' rule, more is a cold posterior.
        first_precision: of the prior, above 0, until the Gamma factor moves.
    """

    rate: float = 1e-2
    hyper_rate: float = 1e-3
    first_std: float = 0.1
    beta2: float = 0.99
    threshold: float = 1.0
    prior_weight: float = 1.0
    hold: int = 0
    inverse_temperature: float = 1.0
    first_precision: float = 1.0
    draws: ClassVar[bool] = True

    def init(self, mean: tf.Tensor, rows: tf.Tensor, strength: tf.Tensor) -> _ARD:
        before = self.first_precision * tf.ones_like(mean)
        gaussian = vadam_ard.init(mean, self.first_std, self._counted(rows), before)
        return _ARD(gaussian, vadam_ard.Gamma(before, tf.ones_like(before)))

    def draw(self, state: _ARD, noise: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return vadam_ard.draw(state.gaussian, noise, self._counted(rows), self._precision(state))

    def step(
        self,
        state: _ARD,
        gradient: tf.Tensor,
        noise: tf.Tensor,
        rows: tf.Tensor,
        strength: tf.Tensor,
        rate: tf.Tensor,
    ) -> _ARD:
        gaussian = self._moved(state, gradient, noise, rows, rate)
        return self._with_factor(gaussian, state, rows, strength)

    def variance(self, state: _ARD, rows: tf.Tensor) -> tf.Tensor:
        return vadam_ard.variance(state.gaussian, self._counted(rows), self._precision(state))

    def _moved(
        self,
        state: _ARD,
        gradient: tf.Tensor,
        noise: tf.Tensor,
        rows: tf.Tensor,
        rate: tf.Tensor,
    ) -> Any:
        """The Gaussian factor after a step."""
        return vadam_ard.step(
            state.gaussian,
            gradient,
            self._counted(rows),
            self._precision(state),
            rate,
            beta2=self.beta2,
        )

    def _counted(self, rows: tf.Tensor) -> tf.Tensor:
        return self.inverse_temperature * rows

    def _precision(self, state: _ARD) -> tf.Tensor:
        return self.prior_weight * state.precision.mean

    def _with_factor(
        self, gaussian: Any, state: _ARD, rows: tf.Tensor, strength: tf.Tensor
    ) -> _ARD:
        """The Gaussian after a step, and the best Gamma factor beside it."""
        var = self.variance(_ARD(gaussian, state.precision), rows)
        factor = vadam_ard.ard_factor(gaussian.mean, var, strength, self.hyper_rate)
        moves = gaussian.count >= self.hold
        now = [tf.where(moves, *pair) for pair in zip(factor, state.precision, strict=True)]
        return _ARD(gaussian, vadam_ard.Gamma(*now))


@dataclass(frozen=True)
class IvonARD(VadamARD):
    """The same prior with IVON's step, `ivon`, instead of Vadam's."""

    rate: float = 0.1

    def init(self, mean: tf.Tensor, rows: tf.Tensor, strength: tf.Tensor) -> _ARD:
        gamma = super().init(mean, rows, strength).precision
        return _ARD(ivon.init(mean, self.first_std, self._counted(rows), gamma.mean), gamma)

    def draw(self, state: _ARD, noise: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return ivon.draw(state.gaussian, noise, self._counted(rows))

    def variance(self, state: _ARD, rows: tf.Tensor) -> tf.Tensor:
        return ivon.variance(state.gaussian, self._counted(rows))

    def _moved(
        self,
        state: _ARD,
        gradient: tf.Tensor,
        noise: tf.Tensor,
        rows: tf.Tensor,
        rate: tf.Tensor,
    ) -> Any:
        return ivon.step(
            state.gaussian,
            gradient,
            noise,
            self._counted(rows),
            self._precision(state),
            rate,
            beta2=self.beta2,
        )
