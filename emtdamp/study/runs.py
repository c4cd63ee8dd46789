"""One training of EM-TDAMP on a data set of the package, watched and scored: `emtdamp train`.

    task = runs.mnist(train_size=10_000)
    result = runs.train(task, runs.Settings(hidden=128, sparsity=0.5))
    result.metrics["test_accuracy"], result.posterior.to_keras()

The test rows are only looked at: nothing in the training depends on them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import confusion_matrix

from emtdamp import datasets, metrics
from emtdamp.errors import UsageError
from emtdamp.estimators.classifier import EMTDAMPClassifier
from emtdamp.estimators.regressor import EMTDAMPRegressor
from emtdamp.network import Predictor
from emtdamp.posterior import Posterior
from emtdamp.training import recipes

Auto = Literal["auto"]
# Scores of the test rows in the history, and the report's names of them.
COLUMNS = {
    "accuracy": "val_accuracy",
    "precision_macro": "val_precision",
    "recall_macro": "val_recall",
    "f1_macro": "val_f1",
    "predictive_entropy": "avg_entropy",
    "nll": "val_nll",
    "rmse": "val_rmse",
    "log_likelihood": "val_log_likelihood",
}
TESTED = ("accuracy", "nll", "brier", "ece", "rmse", "nmse", "log_likelihood")


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the estimators check them, and all their other parameters are defaults.

    hidden: neurons of the one hidden layer. em_iters, batch_size: as the estimators'.
    sparsity, input_sparsity: fraction of the hidden neurons and inputs to prune, "auto": rho by EM.
    update: form of the minibatches' steps, as the estimators'. seed: of everything random.
    """

    hidden: int = 128
    batch_size: int | Auto = "auto"
    em_iters: int | Auto = "auto"
    sparsity: float | Auto = 0.0
    input_sparsity: float | Auto = 0.0
    update: str = "decoupled"
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """The estimators' parameters."""
        given = asdict(self)
        hidden, seed = given.pop("hidden"), given.pop("seed")
        return {"hidden_layer_sizes": (hidden,), "random_state": seed, **given}

    def resolved(self, rows: int) -> "Settings":
        """The same with the numbers that "auto" stands for on `rows` training rows."""
        batch = recipes.batch_size(self.parameters(), rows)
        epochs = recipes.iterations(self.parameters(), rows, batch)
        return replace(self, batch_size=batch, em_iters=epochs)


class Task(NamedTuple):
    """Rows to train on and rows to score; x (N, I), y (N,) labels 0..classes-1 or targets."""

    about: dict[str, Any]  # what the metrics say of it
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int  # 0: targets


class Result(NamedTuple):
    """A finished run; `posterior` is the pruned network's and takes x as the task has it."""

    settings: Settings
    history: pd.DataFrame  # a row an EM iteration
    metrics: dict[str, Any]  # of the last iteration
    posterior: Posterior
    rho: np.ndarray  # (J,) posterior activity of the hidden neurons, pruned ones included
    predicted: np.ndarray  # test rows: (N, K) probabilities, or (N, 2) mean and sd of y

    def confusion_matrix(self, task: Task) -> np.ndarray:
        """(K, K) counts of the task's test rows; rows are labels, columns predictions."""
        p = self.predicted
        return confusion_matrix(task.y_test, p.argmax(axis=1), labels=range(task.classes))


def mnist(train_size: int = 10_000) -> Task:
    """The first `train_size` training images and all test images, pixels in [0, 1].

    Raises:
        UsageError: `train_size` is out of range, or so small that a digit is missing.
        DataError: the data file is missing or altered.
    """
    images = datasets.load_mnist()
    split = datasets.report_split(images, train_size)
    missing = np.setdiff1d(np.arange(10), split.y_train)
    if len(missing):
        least = 1 + max(int((images.y_train == digit).argmax()) for digit in range(10))
        raise UsageError(
            f"train_size: {train_size} is not allowed; among these images there is no "
            f"{', '.join(map(str, missing))}, from {least} on all digits are there"
        )
    return Task(
        {"train_size": train_size},
        datasets.scale_images(split.x_train),
        split.y_train,
        datasets.scale_images(split.x_test),
        split.y_test,
        classes=10,
    )


def boston(split: int = 0) -> Task:
    """One of the 20 standard splits of Boston housing, 455 rows to train on and 51 to test.

    Raises:
        UsageError: `split` is not 0 to 19.
        DataError: the data file is missing or altered.
    """
    folds = datasets.boston_splits()
    if split not in range(len(folds)):
        raise UsageError(f"split: {split!r} is not allowed; a whole number from 0 to 19 is")
    data, fold = datasets.load_boston(), folds[split]
    return Task(
        {"split": split, "train_size": len(fold.train)},
        data.data[fold.train],
        data.target[fold.train],
        data.data[fold.test],
        data.target[fold.test],
        classes=0,
    )


def predict(task: Task, predictor: Predictor) -> np.ndarray:
    """What is predicted of the test rows: (N, K) probabilities, or (N, 2) mean and sd of y."""
    if task.classes:
        return np.exp(predictor.log_probabilities(task.x_test))
    mean, var = predictor.propagate(task.x_test)
    return np.hstack([mean, np.sqrt(var + predictor.noise_variance)])


def score(task: Task, predicted: np.ndarray) -> dict[str, float]:
    """Every score of what `predict` returns."""
    if task.classes:
        return metrics.classification_scores(task.y_test, predicted)
    return metrics.regression_scores(task.y_test, *predicted.T)


def train(
    task: Task,
    settings: Settings,
    callback: Callable[[dict[str, float]], None] = lambda row: None,
) -> Result:
    """Train, and score the pruned posterior on the test rows after each EM iteration.

    Args:
        task: `mnist` or `boston`.
        settings: what to run.
        callback: called with the history's row after each iteration.

    Returns:
        Result of the last iteration.

    Raises:
        UsageError: a setting is out of range.
        EmtdampError: a message is no longer finite.

    >>> result = train(boston(split=3), Settings(hidden=8, em_iters=2, sparsity=0.5))
    >>> result.metrics["active_neurons"], result.metrics["parameters"]
    (4, 61)
    """
    settings = settings.resolved(len(task.x))
    rows: list[dict[str, Any]] = []
    scores, predicted = {}, np.empty(0)

    def watch(row: dict[str, float], posterior: Posterior) -> None:
        nonlocal scores, predicted
        small = posterior.prune()
        predicted = predict(task, small)
        scores = score(task, predicted)
        kept, active = len(small.kept_inputs), int(small.active[1].sum())
        loss = np.log(posterior.y_units.scale).sum() - row["log_partition"]
        rows.append(
            {
                **{new: scores[old] for old, new in COLUMNS.items() if old in scores},
                "sparsity": (settings.hidden - active) / settings.hidden,
                "active_neurons": active,
                "kept_inputs": kept,
                "loss": float(loss),
                "noise_variance": float(np.sum(posterior.noise_variance)),
                "seconds": row["seconds"],
            }
        )
        callback(rows[-1])

    whole = _estimator(task, settings).fit(task.x, task.y, monitor=watch).posterior_
    last, small = rows[-1], whole.prune()
    return Result(
        settings=settings,
        history=pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="iteration")),
        metrics={
            "algorithm": "em-tdamp",
            "seed": settings.seed,
            **task.about,
            "em_iters_run": len(rows),
            **_named(scores),
            "training_loss": last["loss"],
            "hidden_neurons": settings.hidden,
            "active_neurons": last["active_neurons"],
            "sparsity": last["sparsity"],
            "kept_inputs": last["kept_inputs"],
            "parameters": small.parameters,
            **({"pruned_test_accuracy": scores["accuracy"]} if task.classes else {}),
            **_mean_network(task, small),
            "noise_variance": last["noise_variance"],
            "seconds": sum(row["seconds"] for row in rows),
        },
        posterior=small,
        rho=expit(whole.log_odds[1]),
        predicted=predicted,
    )


def unpruned(task: Task, result: Result) -> dict[str, float]:
    """What pruning cost: the test scores of the same fit without it, as `unpruned_test_...`.

    Pruning happens during training, so there is no network "before" it that was trained to the
    end: this trains once more, same seed and settings, with sparsity 0. Where nothing was to be
    pruned that is the same fit, and its scores are returned.
    """
    settings = replace(result.settings, sparsity=0.0, input_sparsity=0.0)
    posterior, predicted = result.posterior, result.predicted
    if settings != result.settings:
        posterior = _estimator(task, settings).fit(task.x, task.y).posterior_.prune()
        predicted = predict(task, posterior)
    named = _named(score(task, predicted))
    return {
        **{f"unpruned_{name}": value for name, value in named.items() if name.startswith("test_")},
        "unpruned_parameters": posterior.parameters,
    }


def _estimator(task: Task, settings: Settings) -> EMTDAMPClassifier | EMTDAMPRegressor:
    kind = EMTDAMPClassifier if task.classes else EMTDAMPRegressor
    return kind(**settings.parameters())


def _named(scores: dict[str, float]) -> dict[str, float]:
    """Scores under the names that the report's algorithm gives them in its metrics."""
    return {f"test_{name}" if name in TESTED else name: value for name, value in scores.items()}


def _mean_network(task: Task, posterior: Posterior) -> dict[str, float]:
    """The one score of the Keras model, which knows nothing of the weights' variances."""
    output = np.asarray(posterior.to_keras()(task.x_test))  # predict() would compile each model
    if task.classes:
        return {"model_test_accuracy": float((output.argmax(axis=1) == task.y_test).mean())}
    return {"model_test_rmse": float(np.sqrt(np.mean((output[:, 0] - task.y_test) ** 2)))}
