"""BaselineClassifier and BaselineRegressor: every baseline as a scikit-learn estimator."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from emtdamp.baselines.methods import AMP, Adam, Method, Problem, check_share
from emtdamp.baselines.network import keep_largest
from emtdamp.errors import UsageError
from emtdamp.estimators.base import FLOATS, ProbabilisticClassifier
from emtdamp.estimators.classifier import EMTDAMPClassifier
from emtdamp.network import GaussianNetwork, Units
from emtdamp.scaling import Scaling, scaling
from emtdamp.training import recipes

if TYPE_CHECKING:
    import keras

Monitor = Callable[[dict[str, float], GaussianNetwork], None]

FOLDS = 5  # of the rows, for the noise variance of a regression
PARAMETERS = """

    Constant inputs are ignored.

    Parameters
    ----------
    method : a method of `emtdamp.baselines` or None, default None
        How it learns and prunes; None is Adam().
    hidden_layer_sizes : int or tuple of int, default (100,)
        Neurons of each hidden layer, 1 or more; one layer at least.
    activation : "relu", "tanh" or "identity", default "relu"
        The nonlinearity of the hidden layers.
    sparsity : float in [0, 1), default 0.0
        Fraction of the neurons of each hidden layer to prune: exactly round(n (1 - sparsity)) stay,
        one at least.
    input_sparsity : float in [0, 1), default 0.0
        The same for the inputs that are not constant.
    standardize : bool, default True
        Centre and scale the inputs as the EM-TDAMP estimators do it, or take them as they are,
        which suits pixels in [0, 1] better.
    epochs : int or "auto", default "auto"
        Passes over the data; "auto" as EM-TDAMP's em_iters.
    batch_size : int or "auto", default "auto"
        Rows of a minibatch; "auto" as EM-TDAMP's.
    random_state : int, RandomState or None, default None
        Of the first weights and the order of rows.

    Attributes
    ----------
    network_ : GaussianNetwork
        Of AMP a `Posterior`, of the others a network of points or, where a method has variances of
        weights, one that predicts by samples; it takes X as `fit` does.
    active_groups_ : tuple of boolean arrays
        Which columns of X, and which neurons of each hidden layer, are left.
    noise_variance_ : float or array
        Of regressions, in units of y squared.
    folds_ : list of Fold
        Of regressions, the networks that have measured the noise, each with the fifth of the rows
        that it was trained without, all in scaled units.
    history_ : list of dict
        One an epoch: mean training loss (AMP: log Z), active groups, seconds.
    n_iter_ : int
        Epochs done.
"""


class Fold(NamedTuple):
    """A network trained without some rows: these rows, scaled, and the network in scaled units."""

    x: np.ndarray
    y: np.ndarray
    network: GaussianNetwork


class _Baseline(BaseEstimator):
    """What both estimators share."""

    def __init__(
        self,
        method: Method | None = None,
        hidden_layer_sizes: int | tuple[int, ...] = (100,),
        activation: str = "relu",
        *,
        sparsity: float = 0.0,
        input_sparsity: float = 0.0,
        standardize: bool = True,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        random_state=None,
    ):
        self.method = method
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.sparsity = sparsity
        self.input_sparsity = input_sparsity
        self.standardize = standardize
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    _share: float  # of the range: `scaling`
    _y_units: Units
    n_features_in_: int

    @abstractmethod
    def _encode(self, y) -> tuple[np.ndarray, int]:
        """Check y: (B,) int32 classes or (B, 1) scaled targets, and the outputs' number."""

    def fit(self, X: ArrayLike, y: ArrayLike, monitor: Monitor | None = None) -> Self:
        """Train on X (B, N) and y (B,), and prune to the sparsity asked for.

        `monitor(row, network)`, if given, is called after each epoch with its row of `history_` and
        the network so far, which takes X as `fit`; the time it takes is not in the row's seconds.
        """
        method, params = self._checked()
        checked = validate_data(self, X, y, dtype=FLOATS)  # pyright: ignore[reportArgumentType]
        X, y = (np.asarray(part) for part in checked)
        self._y_units = Units()
        y, outputs = self._encode(y)
        self._scaling = scaling(X, np.ones(len(X)), self._share)
        if not self.standardize:
            self._scaling = self._scaling._replace(
                center=np.zeros(X.shape[1]), scale=np.ones(X.shape[1])
            )
        x = self._scaling(X)
        random = check_random_state(self.random_state)
        batch = min(recipes.batch_size(params, len(x)), len(x))
        problem = Problem(
            x,
            y,
            rows=np.arange(len(x)),
            outputs=outputs,
            hidden=recipes.hidden(params),
            activation=self.activation,
            keep=recipes.pruning(params, x.shape[1])[1],
            epochs=recipes.iterations(params, len(x), batch),
            batch_size=batch,
            seed=int(random.randint(2**31 - 1)),
            params=params,
        )

        def report(row, network):
            if monitor is not None:
                monitor(row, self._on_raw(network))

        network, self.history_ = method.train(problem, report)
        self.n_iter_ = len(self.history_)
        self._set_network(self._with_noise(network, method, problem))
        return self

    def prune(self, neurons: int | Sequence[int], inputs: int | None = None) -> Self:
        """A copy that keeps the largest groups only, by the norm of their outgoing weights.

        Args:
            neurons: groups to keep of each hidden layer, a number for all or one a layer.
            inputs: columns of X to keep; None keeps the active ones.

        Raises:
            UsageError: a number is below 1 or above the groups that are active.
        """
        check_is_fitted(self, "network_")
        hidden = len(self.network_.active) - 1
        each = [neurons] * hidden if isinstance(neurons, recipes.INTEGER) else [*neurons]
        keep = [int(self.network_.active[0].sum()) if inputs is None else inputs, *each]
        smaller = copy(self)
        smaller._set_network(self._repruned(keep))
        return smaller

    def to_keras(self) -> "keras.Model":
        """The pruned network (AMP: of posterior means) as a plain Keras model of X."""
        check_is_fitted(self, "network_")
        return self.network_.to_keras()

    def _checked(self) -> tuple[Method, dict[str, Any]]:
        """The method, and the parameters as EM-TDAMP's, all of which are in their ranges."""
        method = Adam() if self.method is None else self.method
        if not isinstance(method, Method) or isinstance(method, type):
            raise UsageError(f"method={method!r}; give Adam() or another of emtdamp.baselines")
        for name in ("sparsity", "input_sparsity"):
            check_share(self, name)
        if not isinstance(self.standardize, bool | np.bool_):
            raise UsageError(f"standardize={self.standardize!r}; give True or False")
        epochs = 1 if isinstance(self.epochs, str) and self.epochs == "auto" else self.epochs
        if not isinstance(epochs, int | np.integer) or epochs < 1:
            raise UsageError(f"epochs={self.epochs!r}; give an integer of at least 1 or 'auto'")
        params = EMTDAMPClassifier().get_params()
        for name, value in self.get_params(deep=False).items():
            if name not in ("method", "standardize"):
                params["em_iters" if name == "epochs" else name] = value
        recipes.check(params)
        if not recipes.hidden(params):
            raise UsageError("hidden_layer_sizes=(); give one hidden layer at least")
        return method, params

    def _with_noise(
        self, network: GaussianNetwork, method: Method, problem: Problem
    ) -> GaussianNetwork:
        return network

    def _repruned(self, keep: list[int]) -> GaussianNetwork:
        return keep_largest(self._scaled, keep)

    def _on_raw(self, network: GaussianNetwork) -> GaussianNetwork:
        """The one that takes all columns of X and gives y, both in their units."""
        return replace(
            network,
            inputs=self.n_features_in_,
            kept_inputs=np.flatnonzero(self._scaling.live),
            x_units=Units(self._scaling.center, self._scaling.scale),
            y_units=self._y_units,
        )

    def _set_network(self, network: GaussianNetwork) -> None:
        self._scaled = network
        self.network_ = self._on_raw(network)
        inputs = self._scaling.live.copy()
        inputs[inputs] = network.active[0]
        self.active_groups_ = (inputs, *network.active[1:])

    _scaling: Scaling

    def _validated(self, X) -> np.ndarray:
        check_is_fitted(self, "network_")
        return np.asarray(validate_data(self, X, dtype=FLOATS, reset=False))


class BaselineClassifier(ProbabilisticClassifier, _Baseline):
    __doc__ = (
        """A network for K >= 2 classes, trained and pruned by one of the baselines.

    >>> from sklearn.datasets import load_iris
    >>> from emtdamp.baselines import BaselineClassifier, Gradual
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BaselineClassifier(Gradual(), (20,), sparsity=0.5, random_state=0).fit(X, y)
    >>> int(model.active_groups_[1].sum()), bool(model.score(X, y) > 0.9)
    (10, True)"""
        + PARAMETERS
    )

    _share = 0.5

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """(B, K) logarithm of the probability of each class."""
        X = self._validated(X)
        return self.network_.log_probabilities(X)

    def _encode(self, y):
        check_classification_targets(y)
        self.classes_, y = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            raise UsageError(f"y has one class only, {self.classes_[0]!r}; give 2 classes or more")
        return y.astype(np.int32), len(self.classes_)


class BaselineRegressor(RegressorMixin, _Baseline):
    __doc__ = (
        """A network for a real output, trained and pruned by one of the baselines.

    y = z + eps, z the output of the network, eps ~ N(0, v). v is the mean squared residual of rows
    held out, less the variance of z where weights have one: five more networks, trained and pruned
    alike, each without a fifth of the rows; after `prune` it is that of the five pruned alike. AMP
    learns v by EM, with the dense network.

    >>> from sklearn.datasets import load_diabetes
    >>> from emtdamp.baselines import BaselineRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BaselineRegressor(hidden_layer_sizes=(5,), epochs=20, random_state=0).fit(X, y)
    >>> mean, std = model.predict(X[:2], return_std=True)
    >>> mean.shape, bool(40 < std[0] < 70)
    ((2,), True)"""
        + PARAMETERS
    )

    _share = 0.1

    def predict(
        self, X: ArrayLike, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """(B,) mean; with `return_std` also the standard deviation of y, noise included."""
        X = self._validated(X)
        mean, var = self.network_.propagate(X)
        if not return_std:
            return mean[:, 0]
        return mean[:, 0], np.sqrt(var[:, 0] + self.noise_variance_)

    def _encode(self, y):
        y = column_or_1d(y, dtype=np.float64, warn=True)
        self._y_units = Units(float(y.mean()), float(y.std()) or 1.0)
        return ((y - self._y_units.center) / self._y_units.scale)[:, None], 1

    def _with_noise(self, network, method, problem):
        self.folds_: list[Fold] = []
        if isinstance(method, AMP):
            return network
        if len(problem.x) < FOLDS:
            raise UsageError(
                f"the noise variance needs {FOLDS} rows at least, got {len(problem.x)} samples"
            )
        folds = KFold(FOLDS, shuffle=True, random_state=problem.seed % 2**31)
        for number, (rows, held_out) in enumerate(folds.split(problem.x)):
            less = problem._replace(rows=rows, seed=(problem.seed + number + 1) % 2**31)
            trained, _ = method.train(less)
            self.folds_.append(Fold(problem.x[held_out], problem.y[held_out], trained))
        return self._measured(network)

    def _measured(self, network: GaussianNetwork) -> GaussianNetwork:
        """The network with the noise of the rows held out."""
        if not self.folds_:
            return network
        squares = []
        for fold in self.folds_:
            mean, var = fold.network.propagate(fold.x)
            squares.append((mean - fold.y) ** 2 - var)
        return replace(network, noise=max(float(np.mean(np.concatenate(squares))), 1e-12))

    def _repruned(self, keep):
        folds = [f._replace(network=keep_largest(f.network, keep)) for f in self.folds_]
        other = copy(self)
        other.folds_ = folds
        return other._measured(keep_largest(self._scaled, keep))

    def _set_network(self, network):
        super()._set_network(network)
        self.noise_variance_ = float(self.network_.noise_variance)
