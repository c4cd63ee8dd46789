"""EMTDAMPClassifier: EM-TDAMP for classes, as a scikit-learn estimator."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from emtdamp.errors import UsageError
from emtdamp.estimators.base import EMTDAMP, ProbabilisticClassifier
from emtdamp.estimators.parameters import PARAMETERS
from emtdamp.scaling import scaling
from emtdamp.training import recipes


class EMTDAMPClassifier(ProbabilisticClassifier, EMTDAMP):
    __doc__ = """Bayesian neural network for K >= 2 classes, trained and pruned by EM-TDAMP.

    By default in its decoupled form, which is ours and no turbo loop: a variational optimiser by
    natural gradients, near VOGN (Osawa et al. 2019) and IVON (Shen et al. 2024). Its gradients and
    curvatures are one pass of DAMP's messages, near those of probabilistic backpropagation
    (Hernández-Lobato and Adams 2015). Groups are dropped by a hard choice of the largest Bayes
    factors. Nothing is set by EM, except rates where `sparsity` is "auto".

    p(y | z) ∝ prod_{m != y} Phi((z_y - z_m)/sqrt(v)), z the output of the network.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = EMTDAMPClassifier((20,), sparsity=0.5, em_iters=20, random_state=0).fit(X, y)
    >>> int(model.active_groups_[1].sum()), bool(model.score(X, y) > 0.9)
    (10, True)""" + PARAMETERS.format(
        share="a half",
        log_z="of a product not normalised over the classes: no log probability",
    )

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take the posterior as prior for these rows, each counted once.

        `classes`: all classes there will be; needed at the first call unless y has them all.
        Scales are those of the first rows seen.
        """
        return self._partial_fit(X, y, sample_weight, classes)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """(B, K) log posterior predictive probability of each class, weights integrated out."""
        X = self._validated(X)
        return self.posterior_.log_probabilities(X)

    def _encode(self, y, reset, classes):
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        if classes is not None:
            classes = np.unique(classes)
            if classes.dtype.kind == "f" and not np.isfinite(classes).all():
                raise UsageError(f"classes={classes} are not all finite; leave the others out")
        if reset:
            self.classes_ = np.unique(y) if classes is None else classes
        elif classes is not None and not np.array_equal(classes, self.classes_):
            raise UsageError(
                f"classes={classes} are not those of the first call, {self.classes_}; give these, "
                "or none"
            )
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise UsageError(
                f"y has classes {unknown}, which are not among {self.classes_}; give all classes "
                "to the first partial_fit, or start anew with fit and warm_start=False"
            )
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise UsageError(f"y has one class only, {only!r}; give 2 classes or more")
        return np.searchsorted(self.classes_, y).astype(np.int32)

    def _learn_scales(self, X, y, weight):
        self._scaling = scaling(X, weight, 0.5)

    def _scale_y(self, y):
        return y

    @property
    def _outputs(self):
        return len(self.classes_)

    def _noise(self):
        if self.noise == "learn":
            return None
        return 1.0 if self.noise == "auto" else recipes.noise(self.noise, 1.0)

    def _set_posterior(self, posterior):
        super()._set_posterior(posterior)
        self.noise_variance_ = posterior.noise

    def _log_scale(self):
        return 0.0

    def _y_units(self):
        return 0.0, 1.0
