"""EMTDAMPRegressor: EM-TDAMP for real outputs, as a scikit-learn estimator."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from emtdamp.errors import UsageError
from emtdamp.estimators import linear
from emtdamp.estimators.base import EMTDAMP
from emtdamp.estimators.parameters import PARAMETERS
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.posterior import Posterior
from emtdamp.scaling import Scaling, check_range, scaling
from emtdamp.training import recipes


class EMTDAMPRegressor(RegressorMixin, EMTDAMP):
    __doc__ = """Bayesian neural network for real outputs, trained and pruned by EM-TDAMP.

    By default in its decoupled form, which is ours, as `EMTDAMPClassifier` describes it; EM learns
    the noise v.

    y = z + eps, z the output of the network, eps ~ N(0, v); y is standardised inside, and v is one
    number there: outputs with noise of their own are better learnt one by one. Without
    hidden layers the posterior is exact: Bayesian linear regression, whatever the inputs'
    correlations, and batches given to `partial_fit` leave what one `fit` leaves.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = EMTDAMPRegressor(hidden_layer_sizes=(), input_sparsity=0.5).fit(X, y)
    >>> mean, std = model.predict(X[:2], return_std=True)
    >>> mean.shape, bool(40 < std[0] < 70), int(model.active_groups_[0].sum())
    ((2,), True, 5)""" + PARAMETERS.format(
        share="a tenth",
        log_z="the log evidence, for the linear model exact and of all rows",
    )

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take the posterior as prior for these rows, each counted once.

        Scales are those of the first rows seen; the linear model revises them with each batch.
        """
        return self._partial_fit(X, y, sample_weight)

    def _check_first_batch(self, y):
        if recipes.hidden(self.get_params()) and not np.ptp(y, axis=0).all():
            raise UsageError(
                "y is constant in the batch that a stream begins with, which sets its scale; "
                "begin with rows of two values of y at least"
            )

    def predict(
        self, X: ArrayLike, return_std: bool | str = False
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """(B,) or (B, J) posterior predictive mean.

        `return_std`: True adds the standard deviation of y, noise included; "parts" adds the
        noise's and the model's instead, whose squares sum to its square.
        """
        if not isinstance(return_std, bool | np.bool_) and str(return_std) != "parts":
            raise UsageError(f"return_std={return_std!r}; use False, True or 'parts'")
        X = self._validated(X)
        if self._linear is None:
            mean, var = self.posterior_.propagate(X)
        else:
            mean, var = self._propagate_linear(X, self._linear)
        if not return_std:
            return self._shape(mean)
        noise = np.broadcast_to(self.posterior_.noise_variance, var.shape)
        parts = [self._shape(np.sqrt(part)) for part in (noise, var)]
        if return_std == "parts":
            return self._shape(mean), *parts
        return self._shape(mean), np.hypot(*parts)

    def _propagate_linear(self, X, fit):
        """As `Posterior.propagate`, with the weights' whole covariance."""
        x = self._scaling(X)
        mean = x @ fit.mean
        var = np.einsum("bn,nm,bm->b", x, fit.cov, x) + fit.noise / self._statistics.size
        return mean * self._y_scale + self._y_center, var[:, None] * self._y_scale**2

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _shape(self, y):
        return y[:, 0] if self._one_output else y

    def _encode(self, y, reset, classes):
        y = np.asarray(y, np.float64)
        one, y = y.ndim == 1, y.reshape(len(y), -1)
        if not np.isfinite(y).all():
            raise UsageError("y has values that are no finite numbers; leave these rows out")
        check_range("y", y)
        if reset:
            self._one_output = one
        elif y.shape[1] != self._outputs:
            raise UsageError(
                f"y has {y.shape[1]} outputs, the posterior to go on from {self._outputs}; give as "
                "many, or start anew with fit and warm_start=False"
            )
        return y

    def _learn_scales(self, X, y, weight):
        self._scaling = scaling(X, weight, 0.1)
        self._y_center = np.average(y, axis=0, weights=weight)
        var = np.average((y - self._y_center) ** 2, axis=0, weights=weight)
        if not isinstance(self.noise, str):  # one v in the units of y needs one scale
            var = np.full_like(var, var.mean())
        self._y_scale = np.where(var > 0, np.sqrt(var), 1.0)

    def _scale_y(self, y):
        return (y - self._y_center) / self._y_scale

    @property
    def _outputs(self):
        return len(self._y_center)

    def _noise(self):
        if isinstance(self.noise, str):
            return None
        if np.ptp(self._y_scale) > 0:
            raise UsageError(
                f"noise={self.noise!r} is one variance for outputs that a fit with noise='auto' "
                "has given scales of their own; give 'auto', or start anew with warm_start=False"
            )
        return recipes.noise(self.noise, float(self._y_scale[0] ** 2))

    def _y_units(self):
        return self._y_center, self._y_scale

    def _log_scale(self):
        return float(np.log(self._y_scale).sum())

    def _set_posterior(self, posterior):
        super()._set_posterior(posterior)
        noise = np.asarray(self.posterior_.noise_variance)
        self.noise_variance_ = float(noise[0]) if self._one_output else noise

    def _train(self, X, y, weight, progress, streaming=False, monitor=None):
        if recipes.hidden(self.get_params()):
            self._linear = None
            super()._train(X, y, weight, progress, streaming, monitor)
        else:
            self._train_linear(X, y, weight, streaming)

    def _train_linear(self, X, y, weight, streaming):
        """Exact: all that batches leave behind are their sums, and scales follow from these."""
        sums = linear.collect(X, y, weight)
        if streaming and hasattr(self, "_statistics"):
            sums = linear.merge(self._statistics, sums)
        self._statistics = sums
        inputs = X.shape[1]
        scale, varies = linear.scales(sums)
        if not isinstance(self.noise, str):
            scale[inputs:] = np.sqrt(np.mean(scale[inputs:] ** 2))
        live = varies[:inputs] if varies[:inputs].any() else np.ones(inputs, bool)
        self._scaling = Scaling(sums.mean[:inputs], scale[:inputs], live)
        self._y_center, self._y_scale = sums.mean[inputs:], scale[inputs:]
        standard = linear.select(
            linear.rescale(linear.without_rounding(sums, varies), scale),
            np.append(live, np.ones(y.shape[1], bool)),
        )
        count = int(live.sum())
        (rule,), (keep,) = recipes.pruning(self.get_params(), count)
        self.slab_ = recipes.slab(self.get_params(), (rule,))
        fit = linear.fit(
            standard,
            count,
            self.slab_ / count,
            self._noise(),
            rule,
            keep,
        )
        self._linear = fit
        var = np.append(np.diag(fit.cov), fit.noise / sums.size)[:, None]
        self._set_posterior(
            Posterior(
                mean=(np.pad(fit.mean, [(0, 1), (0, 0)]),),
                var=(np.tile(var, y.shape[1]),),
                active=(fit.active,),
                log_odds=(fit.log_odds,),
                noise=fit.noise,
                activation=self.activation,
                likelihood=GaussianNoise(),
                inputs=count,
                kept_inputs=np.arange(count),
            )
        )
        self.log_partition_ = fit.log_evidence - sums.size * self._log_scale()
        self.history_, self.n_iter_ = [], 1
