"""Predictions of a real output: of one posterior or several, as they are or calibrated.

    fits = [EMTDAMPRegressor(random_state=seed).fit(X, y) for seed in range(5)]
    ensemble([Predictive.of(fit, new_X) for fit in fits])

A posterior of a network has one mode; networks from different starts find others. Averaging them
is the cheapest step from one mode towards the posterior itself (Lakshminarayanan et al. 2017).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import minimize
from sklearn.base import is_regressor

from emtdamp.errors import UsageError

if TYPE_CHECKING:
    from emtdamp.estimators.regressor import EMTDAMPRegressor


class Predictive(NamedTuple):
    """Of B rows: mean (B,); variances (B,) of y about it, and of what is not known of it.

    In the order of `EMTDAMPRegressor.predict(X, return_std="parts")`, which has their roots.
    """

    mean: np.ndarray
    noise: np.ndarray
    model: np.ndarray

    @classmethod
    def of(cls, regressor: "EMTDAMPRegressor", X: ArrayLike) -> "Predictive":
        """The posterior predictive of rows X (B, N) by a fitted regressor with one output.

        Raises UsageError for a classifier, whose predictions have no variance of their own.
        """
        if not is_regressor(regressor):
            raise UsageError(f"{type(regressor).__name__} is no regressor; give one")
        mean, noise, model = regressor.predict(X, return_std="parts")  # pyright: ignore
        return cls(mean, noise**2, model**2)

    @property
    def std(self) -> np.ndarray:
        """(B,) standard deviation of y."""
        return np.sqrt(self.model + self.noise)


def ensemble(members: Sequence[Predictive]) -> Predictive:
    """Mean and variances of the even mixture; that the members' means differ is model variance.

    >>> one, two = Predictive(*np.ones([3, 1])), Predictive(*np.array([[3.0], [1.0], [1.0]]))
    >>> mixture = ensemble([one, two])
    >>> float(mixture.mean[0]), float(mixture.model[0]), float(mixture.noise[0])
    (2.0, 2.0, 1.0)
    """
    if not members:
        raise UsageError("an ensemble of no members; give one at least")
    shapes = sorted({np.shape(member.mean) for member in members})
    if len(shapes) > 1:
        raise UsageError(f"members predict {shapes} rows; let all predict the same")
    mean, noise, model = (np.stack(part) for part in zip(*members, strict=True))
    return Predictive(mean.mean(0), noise.mean(0), model.mean(0) + mean.var(0))


class Calibration(NamedTuple):
    """y ~ mean + sqrt(a model + b noise) t, t Student's with `freedom` degrees.

    `calibrate` finds the three from rows that the posterior has not seen; (1, 1, inf) changes
    nothing.
    """

    a: float = 1.0
    b: float = 1.0
    freedom: float = np.inf

    def __call__(self, predictive: Predictive) -> Any:
        """The distributions of y, a frozen one of `scipy.stats`: logpdf, cdf, interval, ..."""
        scale = np.sqrt(self.a * predictive.model + self.b * predictive.noise)
        return stats.t(self.freedom, loc=predictive.mean, scale=scale)


def calibrate(y: ArrayLike, predictive: Predictive) -> Calibration:
    """The `Calibration` of the highest log density of y (B,), rows held out from training.

    a and b are sought in 0.01 to 100, the degrees of freedom in 2.1 to 200.

    Raises UsageError where y and the predictions are of different lengths, or y is not finite.
    """
    y = np.asarray(y, float)
    if y.shape != predictive.mean.shape:
        raise UsageError(f"y {y.shape} for predictions {predictive.mean.shape}; give as many")
    if not np.isfinite(y).all():
        raise UsageError("y has values that are no finite numbers; leave these rows out")
    bounds = [(np.log(0.01), np.log(100))] * 2 + [(np.log(2.1), np.log(200))]

    def loss(log_values: np.ndarray) -> float:
        return -float(Calibration(*np.exp(log_values))(predictive).logpdf(y).mean())

    starts = [np.log([1.0, 1.0, nu]) for nu in (4.0, 30.0)]
    found = [minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(found, key=lambda result: result.fun)
    return Calibration(*(float(value) for value in np.exp(best.x)))
