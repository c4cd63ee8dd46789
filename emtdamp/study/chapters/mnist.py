"""The page `mnist`: the report's experiment by EM-TDAMP, its table and its seven figures.

The page is the template of the study of sizes: `results` gives what each of its runs records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from emtdamp import metrics
from emtdamp.baselines.mlp_keras import DenseSettings, train_dense
from emtdamp.posterior import Posterior
from emtdamp.study import claims, pages, plots, runs
from emtdamp.study.methods import label

OURS, REPORTED = plots.COLOURS["em-tdamp"], 0.9277
DENSE: dict[str, Any] = {
    "adam": (0.001, "constant"),
    "adam, 0.005": (0.005, "cosine"),
}  # rate, schedule
PREFIXES = {"adam": "adam_", "adam, 0.005": "cosine_"}  # of their columns in the study
FRACTIONS = np.linspace(0, 0.9, 10)


@dataclass(frozen=True)
class Fits:
    """What the page shows, an entry a seed: pruned, the same with nothing pruned, and dense."""

    task: runs.Task
    pruned: list[runs.Result]
    whole: list[runs.Result]
    dense: dict[str, list[pd.DataFrame]]  # by method: test accuracy after each pass, last NLL

    @property
    def kept(self) -> int:
        """Neurons left in the first run."""
        return int(self.pruned[0].metrics["active_neurons"])

    @property
    def hidden(self) -> int:
        """Neurons to start from."""
        return self.pruned[0].settings.hidden

    @cached_property
    def last(self) -> pd.DataFrame:
        """Metrics of the last iterate, a row a seed."""
        frame = pd.DataFrame([run.metrics for run in self.pruned])
        frame["first_entropy"] = [run.history["avg_entropy"].iloc[0] for run in self.pruned]
        frame["whole_accuracy"] = [run.metrics["test_accuracy"] for run in self.whole]
        frame["whole_nll"] = [run.metrics["test_nll"] for run in self.whole]
        return frame

    @cached_property
    def mean(self) -> Any:
        """Of `last`, over seeds."""
        return self.last.mean(numeric_only=True)

    @cached_property
    def around(self) -> Any:
        """Standard errors of `mean`."""
        return self.last.sem(numeric_only=True).fillna(0)

    @cached_property
    def error(self) -> pd.DataFrame:
        """Test error by iteration (rows) and seed."""
        return 1 - pd.concat([run.history["val_accuracy"] for run in self.pruned], axis=1)

    @property
    def rises(self) -> np.ndarray:
        """Whether each step between iterations loses accuracy, by iteration and seed."""
        return self.error.diff().iloc[1:].to_numpy() > 0

    def dense_end(self, method: str, score: str = "accuracy") -> np.ndarray:
        """A dense network's last score, a number a seed."""
        return np.array([history[score].iloc[-1] for history in self.dense[method]])

    def beside(self, method: str) -> claims.Standing:
        """How the pruned networks' accuracy stands beside dense ones of that size."""
        ours = self.last["test_accuracy"]
        return pages.compare(
            ours, self.dense_end(method), paired=False, more_is_better=True
        ).standing


def with_dense(
    task: runs.Task, pruned: list[runs.Result], whole: list[runs.Result], own: bool
) -> Fits:
    """Add dense networks of the size that is left, trained by Adam in two ways.

    They are the study's where it has these settings, unless `own` has them trained here.
    """
    kept, passes = int(pruned[0].metrics["active_neurons"]), len(pruned[0].history)
    study, seeds = None if own else pages.study("mnist-sizes"), [r.settings.seed for r in pruned]
    dense = {}
    for method, how in DENSE.items():
        found = [] if study is None else _studied(study, pruned, method)
        dense[method] = found or [
            _dense(task, DenseSettings(kept, passes, 100, *how, seed=s)) for s in seeds
        ]
    return Fits(task, pruned, whole, dense)


def _studied(study: Any, pruned: list[runs.Result], method: str) -> list[pd.DataFrame]:
    """The study's dense networks beside these runs, a frame a seed; none if it lacks one."""
    found = []
    for run in pruned:
        same, passes = run.settings, len(run.history)
        rows = study[
            (study["train_size"] == run.metrics["train_size"]) & (study["em_iters"] == passes)
        ]
        for name in ("hidden", "sparsity", "input_sparsity", "update", "seed"):
            rows = rows[rows[name] == getattr(same, name)]
        if rows.empty:
            return []
        row, prefix = rows.iloc[0], PREFIXES[method]
        errors = [row[f"{prefix}error_{k}"] for k in range(1, passes + 1)]
        frame = pd.DataFrame({"accuracy": 1 - np.array(errors)}, run.history.index)
        found.append(frame.assign(nll=row[f"{prefix}nll"]))  # of the end
    return found


def _dense(task: runs.Task, settings: DenseSettings) -> pd.DataFrame:
    """Test scores of a dense network after each pass of Adam."""
    rows: list[dict[str, float]] = []

    def watch(epoch: int, logs: object) -> None:
        model: Any = callback.model
        p = model(task.x_test).numpy()
        rows.append(metrics.classification_scores(task.y_test, p))

    callback = keras.callbacks.LambdaCallback(on_epoch_end=watch)
    train_dense(settings, task.x, task.y, [callback])
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="iteration"))


def removals(fits: Fits, seed: int) -> dict[str, np.ndarray]:
    """Accuracy of the finished unpruned networks without some neurons: (seeds, `FRACTIONS`).

    Those with the least evidence for their outgoing weights go first, or random ones.
    """
    rng = np.random.default_rng(seed)
    ranks = {
        "evidence": [_evidence(run.posterior).argsort().argsort() for run in fits.whole],
        "random": [rng.permutation(fits.hidden) for _ in fits.whole],
    }
    return {
        name: np.array(
            [
                [
                    _accuracy_without(fits.task, run.posterior, r < round(f * fits.hidden))
                    for f in FRACTIONS
                ]
                for run, r in zip(fits.whole, each, strict=True)
            ]
        )
        for name, each in ranks.items()
    }


def _evidence(posterior: Posterior) -> np.ndarray:
    """Evidence for a neuron's outgoing weights against zero, but for a constant, (J,)."""
    m, s = posterior.mean[1][:-1], posterior.var[1][:-1]
    return 0.5 * (m**2 / s + np.log(s)).sum(axis=1)


def _accuracy_without(task: runs.Task, posterior: Posterior, off: np.ndarray) -> float:
    small = replace(posterior, active=(posterior.active[0], ~off)).prune()
    z = small.propagate(task.x_test)[0]
    return float((z.argmax(axis=1) == task.y_test).mean())


@dataclass(frozen=True)
class Uncertainty:
    """What the answers' probabilities say: of a class, of a digit's images, of an image."""

    variances: np.ndarray  # (seeds, 10): of a class's probability over the test images
    frequencies: np.ndarray  # (10,): f (1 - f), f the share of the class
    entropies: np.ndarray  # (N,) mean over seeds
    errors: np.ndarray  # (N,) share of the seeds that are wrong
    by_digit: Any  # entropy and error, a row a digit

    @property
    def same(self) -> float:
        """Correlation of the variances with f (1 - f)."""
        return float(np.corrcoef(self.variances.mean(axis=0), self.frequencies)[0, 1])

    @property
    def tells(self) -> float:
        """Correlation of entropy and error from digit to digit."""
        return float(np.corrcoef(self.by_digit["entropy"], self.by_digit["error"])[0, 1])


def uncertainty(fits: Fits) -> Uncertainty:
    """Of the pruned networks' answers on the test images."""
    labels = fits.task.y_test
    share = np.bincount(labels, minlength=10) / len(labels)
    entropies = np.mean([metrics.entropy(run.predicted) for run in fits.pruned], axis=0)
    errors = np.mean([run.predicted.argmax(axis=1) != labels for run in fits.pruned], axis=0)
    table = pd.DataFrame({"entropy": entropies, "error": errors}).groupby(labels).mean()
    variances = np.array([run.predicted.var(axis=0) for run in fits.pruned])
    return Uncertainty(variances, share * (1 - share), entropies, errors, table)


# Figures 1 to 7 of the chapter, in the report's order.


def accuracy(fits: Fits) -> None:
    """Answers the report's first figure."""
    ax = plots.panels(1, height=4.0)[0]
    _seeds_and_mean(ax, [run.history["val_accuracy"] for run in fits.pruned], OURS, "EM-TDAMP")
    for method, histories in fits.dense.items():
        means = pd.concat([h["accuracy"] for h in histories], axis=1).mean(axis=1)
        name = label(method).replace(", Keras", "").replace(" cosine", "")
        ax.plot(means, color=plots.COLOURS[method], ls="--", label=f"dense, {name}")
    ax.axhline(REPORTED, color=plots.COLOURS["reported"], ls=":", lw=1.5)
    ax.annotate(
        f"reported: {REPORTED:.2%}", (1, REPORTED), xycoords=("axes fraction", "data"),
        xytext=(-4, -3), textcoords="offset points", ha="right", va="top",
        fontsize="small", color=plots.COLOURS["reported"],
    )  # fmt: skip
    _percent(ax)
    _iterations(ax, fits)
    ax.set_ylabel("test accuracy")
    plots.end_labels(ax)


def precision_and_recall(fits: Fits) -> None:
    """Answers the report's second figure."""
    top, bottom = plots.panels(2, sharex=True)
    for column, name, look in [
        ("val_precision", "precision", {"color": "0.15", "ls": "--", "zorder": 3}),
        ("val_recall", "recall", {"color": "0.5", "ls": ":", "lw": 2.5, "zorder": 3}),
        ("val_f1", "F1", {"color": OURS, "lw": 3}),
    ]:
        top.plot(mean_of(fits.pruned, column), label=name, **look)
    top.set_ylabel("macro average")
    top.legend(loc="lower right")
    gaps = [r.history["val_precision"] - r.history["val_recall"] for r in fits.pruned]
    _seeds_and_mean(bottom, [100 * gap for gap in gaps], OURS, "_")
    bottom.axhline(0, color="0.35", lw=1)
    bottom.set_ylabel("precision less\nrecall, points")
    _iterations(bottom, fits)


def confusion(fits: Fits) -> None:
    """Answers the report's third figure: the first seed's matrix."""
    ax = plots.panels(1, height=5.6)[0]
    plots.confusion(fits.pruned[0].confusion_matrix(fits.task), ax)
    for text in ax.texts:
        text.set_fontsize("small")


def active_neurons(fits: Fits) -> None:
    """Answers the report's fourth figure: how many neurons, and how accurate."""
    top, bottom = plots.panels(2, sharex=True)
    _seeds_and_mean(top, [r.history["active_neurons"] for r in fits.pruned], OURS, "_")
    top.axhline(fits.hidden, color=plots.COLOURS["reported"], lw=1, ls=":")
    top.set(ylim=(0, 1.05 * fits.hidden), ylabel=f"active neurons of {fits.hidden}")
    for name, method, group, dashes in [
        (f"{fits.kept} at the end", "em-tdamp", fits.pruned, "-"),
        (f"all {fits.hidden}", "em-tdamp, unpruned", fits.whole, "--"),
    ]:
        each = [run.history["val_accuracy"] for run in group]
        _seeds_and_mean(bottom, each, plots.COLOURS[method], name, dashes)
    _percent(bottom)
    bottom.set_ylabel("test accuracy")
    _iterations(bottom, fits)
    plots.end_labels(bottom)


def activities(fits: Fits) -> None:
    """Answers the report's fifth figure: posterior activity of the neurons."""
    ax = plots.panels(1, height=3.4)[0]
    rhos = [run.rho for run in fits.pruned]
    plots.rho_distribution(rhos, ax, label="posterior activity of a neuron's outgoing weights")


def removed(fits: Fits, without: dict[str, np.ndarray]) -> None:
    """Answers the report's sixth figure: sparsity and accuracy."""
    top, bottom = plots.panels(2, height=3.5)
    plots.sparsity_and_accuracy([r.history for r in fits.pruned], ax=top, method="em-tdamp")
    curves = {
        "after training, least evidence first": ("em-tdamp, unpruned", without["evidence"]),
        "after training, at random": ("random", without["random"]),
    }
    coloured = {name: (plots.COLOURS[method], y) for name, (method, y) in curves.items()}
    plots.accuracy_when_removed(coloured, FRACTIONS, ax=bottom)
    bottom.scatter(
        fits.last["sparsity"], fits.last["test_accuracy"],
        label="while training", marker="*", s=200, color=OURS, zorder=3,
    )  # fmt: skip
    bottom.set_ylim(0, 1.03)
    bottom.legend(fontsize="small", loc="lower left")


def by_digit(fits: Fits, sure: Uncertainty) -> None:
    """Answers the report's seventh figure: a class's variance; a digit's entropy and error."""
    top, bottom = plots.panels(2, height=3.5)
    plots.class_bars(sure.variances, "variance over images", OURS, ax=top)
    top.plot(sure.frequencies, "o", color="0.15", label="f (1 - f), f: share of the class")
    top.set_ylim(0, 0.16)
    top.legend(fontsize="small", loc="upper right")
    bottom.scatter(sure.by_digit["entropy"], sure.by_digit["error"], color=OURS)
    for digit, row in sure.by_digit.iterrows():
        bottom.annotate(
            str(digit), (row["entropy"], row["error"]), xytext=(6, 3), textcoords="offset points"
        )
    bottom.yaxis.set_major_formatter("{x:.1%}")
    bottom.set(xlabel="mean entropy of the digit's images, nats", ylabel="test error")


# Tables, numbers in the text, claims and results.


def mean_of(group: list[runs.Result], column: str) -> Any:
    return pd.concat([run.history[column] for run in group], axis=1).mean(axis=1)


def _seeds_and_mean(
    ax: Axes, curves: Sequence[Any], colour: str, name: str, dashes: str = "-"
) -> None:
    for curve in curves if len(curves) > 1 else []:
        ax.plot(curve, color=colour, lw=0.8, alpha=0.5, label="_")
    ax.plot(pd.concat(list(curves), axis=1).mean(axis=1), color=colour, lw=3, ls=dashes, label=name)


def _iterations(ax: Axes, fits: Fits) -> None:
    ax.set_xlabel("pass over the training images")
    ax.set_xticks(fits.error.index)


def _percent(ax: Axes) -> None:
    ax.yaxis.set_major_formatter("{x:.0%}")
