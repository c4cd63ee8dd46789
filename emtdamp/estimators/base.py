"""What both estimators share: parameters, checks, scaling, fitting, the streaming posterior."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from emtdamp.errors import UsageError
from emtdamp.estimators import continuing
from emtdamp.estimators.parameters import PAPER
from emtdamp.network import Units
from emtdamp.posterior import Posterior
from emtdamp.scaling import Scaling, check_range
from emtdamp.training import fitting, inflation, recipes, starts
from emtdamp.training.em import Progress
from emtdamp.training.recipe import SMALL, Data, Recipe

if TYPE_CHECKING:
    import keras

NO_WEIGHT = 1e-30  # of the largest weight: rows of less would have weight 0 in float32
MOST_WEIGHT = 1e9  # on average, and its inverse the least
FLOATS = [np.float64, np.float32]

Monitor = Callable[[dict[str, float], Posterior], None]


class ProbabilisticClassifier(ClassifierMixin):
    """What follows from `predict_log_proba` and `classes_`."""

    classes_: np.ndarray

    @abstractmethod
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """(B, K) logarithm of the probability of each class."""

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """(B, K) probability of each class."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """(B,) the class of the highest probability."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]


class EMTDAMP(BaseEstimator):
    """What both estimators share; subclasses say how y is encoded and predicted."""

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        sparsity=0.0,
        input_sparsity=0.0,
        em_iters="auto",
        update="decoupled",
        window=4.0,
        batch_size="auto",
        slab="auto",
        noise="auto",
        inflation="auto",
        inner_iters=1,
        damping="auto",
        soft=False,
        share_incoming=False,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        warm_start=False,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.sparsity = sparsity
        self.input_sparsity = input_sparsity
        self.em_iters = em_iters
        self.update = update
        self.window = window
        self.batch_size = batch_size
        self.slab = slab
        self.noise = noise
        self.inflation = inflation
        self.inner_iters = inner_iters
        self.damping = damping
        self.soft = soft
        self.share_incoming = share_incoming
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """The algorithm of the paper (Xu, Liu, Zhang and Lau 2024), as far as it is known to us.

        The posterior after a minibatch is the prior of the next, with a forgetting window; modules
        A and B exchange extrinsic messages of soft activities; EM finds the groups' rho, the hidden
        layers' slabs and the noise. `overrides`: parameters that are to differ; a `sparsity` gives
        the number of groups, rho is then steered to it; `inner_iters` is the paper's T.

        The default of the constructor is another algorithm, see `update`.
        """
        return cls(**PAPER | overrides)

    # Of the fit.
    n_features_in_: int
    _scaling: Scaling
    _progress: Progress
    _chosen: Recipe | None = None  # the one that held-out rows have chosen

    @abstractmethod
    def _encode(self, y, reset, classes) -> np.ndarray:
        """Check y and encode it, (B, J) float or (B,) int."""

    @abstractmethod
    def _learn_scales(self, X, y, weight) -> None:
        """Learn the scales of X, and of y where it has one."""

    @abstractmethod
    def _scale_y(self, y) -> np.ndarray: ...

    @property
    @abstractmethod
    def _outputs(self) -> int:
        """Width of the last layer."""

    @abstractmethod
    def _noise(self) -> float | None:
        """v in scaled units, None if it is to be learnt."""

    @abstractmethod
    def _log_scale(self) -> float:
        """What the scaling of y adds to the log density of a row."""

    @abstractmethod
    def _y_units(self) -> tuple:
        """Centre and scale of y."""

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        monitor: Monitor | None = None,
    ) -> Self:
        """Learn the posterior of the weights from X (B, N) and y; rows count `sample_weight`.

        `monitor(row, posterior)`, if given, is called after each EM iteration with its row of
        `history_` and the `Posterior` so far, of which `posterior_` is the last or, with
        `early_stopping`, the best; the time it takes is not in the row's seconds.
        """
        recipes.check(self.get_params())
        warm = self.warm_start and hasattr(self, "_progress")
        if warm:
            continuing.check_network(self, X, "set warm_start=False")
        with self._all_or_nothing():
            X, y, weight = self._validate(X, y, sample_weight, reset=not warm)
            if warm:
                continuing.check_data(self, X, y)
            else:
                self._forget()
                self._learn_scales(X, y, weight)
            progress = starts.restart(self._progress) if warm else None
            self._train(X, y, weight, progress, monitor=monitor)
        self._warn_of_an_empty_layer()
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        recipes.check(self.get_params())
        first = not hasattr(self, "posterior_")
        if not first:
            continuing.check_network(self, X, "start anew with fit")
        with self._all_or_nothing():
            X, y, weight = self._validate(X, y, sample_weight, first, classes)
            progress = getattr(self, "_progress", None)
            if first:
                self._check_first_batch(y)
                self._learn_scales(X, y, weight)
            if progress is not None:
                continuing.warn_of_new_columns(self, X)
                progress = starts.settle(progress)
            self._train(X, y, weight, progress, streaming=True)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What fails in the block leaves the estimator as it was."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _check_first_batch(self, y):
        """Raise where a stream cannot begin with these y."""

    def to_keras(self) -> "keras.Model":
        """The pruned network of posterior means as a plain Keras model, scales folded in."""
        check_is_fitted(self, "posterior_")
        return self.posterior_.to_keras()

    def _validate(self, X, y, sample_weight, reset, classes=None):
        with np.errstate(invalid="ignore"):  # scikit-learn sums X, which float32 may not hold
            X, y = validate_data(
                self,
                X,
                y,
                dtype=FLOATS,
                multi_output=True,
                y_numeric=is_regressor(self),
                reset=reset,
            )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not (weight > 0).any():
            raise UsageError("sample_weight is 0 for every row; give at least one row a weight")
        counted = weight > NO_WEIGHT * weight.max()
        mean = np.mean(weight[counted] / weight.max()) * weight.max()
        if not 1 / MOST_WEIGHT <= mean <= MOST_WEIGHT:
            raise UsageError(
                f"sample_weight is {mean:.3g} on average; it says how often a row counts: divide "
                f"it by its mean ({1 / MOST_WEIGHT:g} to {MOST_WEIGHT:g} is allowed)"
            )
        check_range("X", np.asarray(X))
        return X[counted], self._encode(y, reset, classes)[counted], weight[counted]

    def _forget(self):
        for name in ("_progress", "_statistics", "_chosen"):
            vars(self).pop(name, None)

    def _train(self, X, y, weight, progress, streaming=False, monitor=None):
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        held_out = None
        if self.early_stopping and not streaming:
            X, held_x, y, held_y, weight, held_weight = self._split(X, y, weight, seed)
            held_x = self._scaling(held_x)
            held_out = Data(held_x, self._scale_y(held_y), held_weight)
        data = Data(self._scaling(X), self._scale_y(y), weight)
        rows = len(data.x)
        recipe = self._recipe(data)
        small, params = inflation.LEAST_ROWS <= rows < SMALL, self.get_params()
        if streaming:
            recipe = recipes.stream(recipe, params)
        if rows >= SMALL and not streaming:
            self._chosen = None  # so many rows need no choice
        if self._chosen is not None:  # for the posterior to go on from
            recipe = recipe._replace(inflation=self._chosen.inflation)
            if self.slab == "auto" and self._chosen.slab in recipes.slabs(params, recipe):
                recipe = recipe._replace(slab=self._chosen.slab)
        elif small and self.inflation == "auto" and not streaming:
            recipe = self._chosen = self._by_held_out_rows(recipe, data, seed)
        elif streaming and progress is not None:
            recipe = recipe._replace(inflation=self.posterior_.inflation)
        if self.inflation != "auto":
            recipe = recipe._replace(inflation=float(self.inflation))
        if progress is not None:
            if not streaming:
                recipe = recipes.warm(recipe, rows, float(progress.state.count))
            if self._noise() is not None:
                state = progress.state._replace(noise=np.asarray(recipe.noise))
                progress = progress._replace(state=state)

        def report(row, posterior):
            if self.verbose:
                print(", ".join(f"{name} {value:.4g}" for name, value in row.items()))
            if monitor is not None:
                monitor(row, self._on_raw(posterior))

        trained = fitting.train(
            data,
            recipe,
            seed,
            progress,
            held_out,
            int(self.n_iter_no_change),
            report if self.verbose or monitor is not None else None,
            first=0 if progress is None else int(progress.k),
        )
        self._progress = trained.progress
        if not streaming:  # `partial_fit` goes on with the groups that are left
            steps = np.maximum(self._progress.k, recipes.STREAM_RAMP)
            self._progress = self._progress._replace(k=steps)
        self._set_posterior(trained.posterior)
        self.history_ = trained.history
        self.n_iter_ = len(trained.history)
        if progress is None or self.slab != "learn":
            self.slab_ = recipe.slab
        self.log_partition_ = trained.log_partition - self._log_scale()

    def _recipe(self, data: Data, part_of: int | None = None) -> Recipe:
        return recipes.make(self.get_params(), data, self._outputs, self._noise(), part_of)

    def _by_held_out_rows(self, recipe: Recipe, data: Data, seed: int) -> Recipe:
        """With the `inflation` and the slab that suit like fits without a fifth of the rows.

        Minibatches and padding are those of all rows, so that all run the same compiled epochs.
        """
        rows = len(data.x)
        left, out = inflation.hold_out(data, seed)
        some, others = (Data(*(part[index] for part in data)) for index in (left, out))
        found = []
        for slab in recipes.slabs(self.get_params(), recipe):
            inner = self._recipe(some, part_of=rows)._replace(slab=slab)
            posterior = fitting.train(some, inner, seed, padded_like=rows).posterior
            chosen = inflation.choose(posterior, others, expected=posterior.inflation)
            found.append((chosen.score, slab, chosen.factor))
        _, slab, factor = max(found)
        return recipe._replace(slab=slab, inflation=factor)

    def _on_raw(self, posterior: Posterior) -> Posterior:
        """The one that takes all columns of X and gives y, both in their units."""
        return replace(
            posterior,
            inputs=self.n_features_in_,
            kept_inputs=np.flatnonzero(self._scaling.live),
            x_units=Units(self._scaling.center, self._scaling.scale),
            y_units=Units(*self._y_units()),
        )

    def _set_posterior(self, posterior: Posterior):
        self.posterior_ = self._on_raw(posterior)
        live = self._scaling.live
        inputs = live.copy()
        inputs[live] = posterior.active[0]
        self.active_groups_ = (inputs, *posterior.active[1:])

    def _warn_of_an_empty_layer(self):
        """Say that EM has left nothing of the inputs or of a hidden layer: X is not heard."""
        for number, active in enumerate(self.active_groups_):
            given = "sparsity" if number else "input_sparsity"
            if isinstance(getattr(self, given), str) and not active.any():
                where = f"neuron of hidden layer {number}" if number else "input"
                warnings.warn(
                    f"no {where} is left, so that every row gets the same prediction: X may say "
                    f"nothing about y; if you know that it does, give {given} as a fraction, more "
                    "rows, or more em_iters",
                    stacklevel=3,
                )
                return

    def _split(self, X, y, weight, seed) -> list[np.ndarray]:
        stratify = y if y.ndim == 1 else None
        try:
            return train_test_split(  # pyright: ignore[reportReturnType]
                X,
                y,
                weight,
                test_size=self.validation_fraction,
                random_state=seed,
                stratify=stratify,
            )
        except ValueError as error:
            raise UsageError(
                f"early_stopping cannot hold out {self.validation_fraction} of {len(X)} rows "
                f"({error}); give more rows, another validation_fraction, or early_stopping=False"
            ) from error

    def _validated(self, X) -> np.ndarray:
        check_is_fitted(self, "posterior_")
        with np.errstate(invalid="ignore"):
            return np.asarray(validate_data(self, X, dtype=FLOATS, reset=False))
