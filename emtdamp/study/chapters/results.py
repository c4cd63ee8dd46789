"""The page `results`: the report's table and figures, from several seeds of its program.

The page is the template of the study `report-seeds`, whose seeds the table counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from emtdamp.baselines import report
from emtdamp.study import pages, plots

REPORTED_ACCURACY = 0.9277
REPORTED = {
    "val_accuracy": ("accuracy", REPORTED_ACCURACY),
    "loss": ("“validation loss”", 1.7701),
    "val_precision": ("precision, macro", 0.9294),
    "val_recall": ("recall, macro", 0.9263),
    "val_f1": ("F1, macro", 0.9268),
    "sparsity": ("sparsity", 0.5),
    "active_neurons": ("active neurons", 64),
    "avg_entropy": ("mean entropy", 0.0070),
    "first_entropy": ("mean entropy after iteration 1", 0.1894),
    "first_loss": ("loss of the first minibatch, iteration 1", 73.4133),
    "first_batch_loss": ("loss of the first minibatch, last iteration", 0.9309),
}
STUDY = {  # the study's columns by the history's
    "val_accuracy": "accuracy_mean",
    "loss": "training_loss",
    "val_precision": "precision_macro",
    "val_recall": "recall_macro",
    "val_f1": "f1_macro",
    "active_neurons": "active_neurons",
    "avg_entropy": "entropy",
    "first_entropy": "first_entropy",
    "first_loss": "first_batch_loss_first",
    "first_batch_loss": "first_batch_loss_last",
}
CERTAIN = {
    name: "a threshold at the quantile leaves this share" for name in ("sparsity", "active_neurons")
}
FRACTIONS = np.linspace(0, 0.95, 20)
# of scores, which no method has
MEASURES = {
    "val_precision": ("precision", "#ca9161"),
    "val_recall": ("recall", "#800f2f"),
    "val_f1": ("F1", "0.15"),
}


def final(runs: Sequence[report.Result]) -> pd.DataFrame:
    """What each run ends with, and how its first iteration was: a row a seed."""
    rows = [run.history.iloc[-1] for run in runs]
    last = pd.DataFrame(rows).reset_index(drop=True)
    last["first_entropy"] = [run.history["avg_entropy"].iloc[0] for run in runs]
    last["first_loss"] = [run.history["first_batch_loss"].iloc[0] for run in runs]
    return last


def study() -> pd.DataFrame:
    """The same of every seed of the study: the report's own settings, a row a seed."""
    rows = pages.study("report-seeds")
    found = pd.DataFrame({name: rows[column] for name, column in STUDY.items()})
    found["sparsity"] = 1 - rows["active_neurons"] / rows["hidden"]
    return found


def numbers(several: pd.DataFrame) -> list[pages.Claim]:
    """The report's table as claims: each number within two standard deviations of single runs."""
    mean, sd = _moments(several)
    return [
        pages.numeric(
            text,
            reported=reported,
            ours=mean[column],
            tolerance=2 * sd[column],
            why="two standard deviations of one run",
            sd=sd[column],
            n=len(several),
            certain=CERTAIN.get(column, ""),
        )
        for column, (text, reported) in REPORTED.items()
    ]


def table(claims: Sequence[pages.Claim], last: pd.DataFrame) -> pd.DataFrame:
    """The report's table: reported, by the study's seeds, and by those that the page has run."""
    here, _ = _moments(last)
    rows = [
        {
            "Metric": claim.text,
            "Reported": f"{claim.reported:.4f}",
            f"{claim.n} seeds": f"{claim.ours:.4f} ± {claim.error or 0:.4f}",
            "Run here": f"{here[column]:.4f}",
            "Verdict": claim.verdict,
        }
        for claim, column in zip(claims, REPORTED, strict=True)
    ]
    return pd.DataFrame(rows)


def glued(several: pd.DataFrame) -> dict[str, Any]:
    """Numbers of the text."""
    accuracy = np.asarray(several["val_accuracy"], float)
    mean, sd = (each["val_accuracy"] for each in _moments(several))
    return {
        "n": len(several),
        "mean_accuracy": f"{mean:.2%}",
        "sd_accuracy": f"{sd:.2%}",
        "lowest": f"{accuracy.min():.2%}",
        "highest": f"{accuracy.max():.2%}",
        "above": int((accuracy >= REPORTED_ACCURACY).sum()),
        "distance": f"{(REPORTED_ACCURACY - mean) / max(sd, 1e-9):+.1f}",
    }


def draw_measures(runs: Sequence[report.Result]) -> None:
    """Figure 4.2: mean precision, recall and F1 by iteration; each seed's F1 grey."""
    (ax,) = plots.panels(1)
    for run in runs:
        ax.plot(run.history["val_f1"], color="0.8", lw=0.8)
    for column, (label, colour) in MEASURES.items():
        mean = pd.concat([run.history[column] for run in runs], axis=1).mean(axis=1)
        ax.plot(mean, color=colour, lw=2.5, label=label)
    ax.set_xticks(runs[0].history.index)
    ax.set(xlabel="EM iteration", ylabel="macro average over classes")
    plots.end_labels(ax)


def draw_neurons(runs: Sequence[report.Result]) -> None:
    """Figure 4.4: active neurons by iteration, and two accuracies."""
    histories = [run.history for run in runs]
    above, below = plots.panels(2)
    plots.active_neurons(histories, runs[0].settings.hidden, ax=above)
    plots.dense_and_pruned(histories, ax=below)


class Removed:
    """Test accuracies (seeds, fractions) with neurons really removed, in two orders."""

    def __init__(self, runs: Sequence[report.Result], train_size: int, seed: int) -> None:
        images, self.labels = report.load_data(train_size, runs[0].settings).test
        rng = np.random.default_rng(seed)
        by_rho, at_random = [], []
        for run in runs:
            kernel, bias, outputs, outputs_bias = run.model.get_weights()
            hidden = np.maximum(images @ kernel + bias, 0)
            size = np.abs(kernel).mean(axis=0)  # rho before the threshold rises with it
            ranks = np.argsort(np.argsort(size)), rng.permutation(len(size))
            for kept, order in zip((by_rho, at_random), ranks, strict=True):
                masks = [order >= fraction * len(size) for fraction in FRACTIONS]
                logits = [(hidden * mask) @ outputs + outputs_bias for mask in masks]
                kept.append([(z.argmax(axis=1) == self.labels).mean() for z in logits])
        self.by_rho, self.at_random = np.array(by_rho), np.array(at_random)


def draw_removed(runs: Sequence[report.Result], removed: Removed, sparsity: float) -> None:
    """Figure 4.6: the report's scatter, and accuracy against neurons really removed."""
    above, below = plots.panels(2)
    plots.sparsity_and_accuracy([run.history for run in runs], ax=above)
    orders = {
        "smallest rho first": (plots.COLOURS["report, pruned"], removed.by_rho),
        "at random": (plots.COLOURS["random"], removed.at_random),
    }
    plots.accuracy_when_removed(orders, FRACTIONS, ax=below)
    below.axvline(sparsity, color=plots.COLOURS["reported"], ls=":")


def class_variances(runs: Sequence[report.Result]) -> np.ndarray:
    """The report's “per-class uncertainty” (seeds, K)."""
    return np.array([run.probabilities.var(axis=0) for run in runs])


def always_right(labels: np.ndarray) -> np.ndarray:
    """The same variance of a classifier that is always right and sure: f (1 - f)."""
    shares = np.bincount(labels, minlength=report.CLASSES) / len(labels)
    return shares * (1 - shares)


def draw_classes(runs: Sequence[report.Result], labels: np.ndarray) -> None:
    """Figure 4.7: the report's bars, and what a classifier that is always right would have."""
    (ax,) = plots.panels(1)
    variances = class_variances(runs)
    plots.class_bars(variances, "variance over test images", plots.COLOURS["report"], ax)
    ax.plot(always_right(labels), "o", color="0.15", label="f (1 - f), f: share of the class")
    ax.set_ylim(0, 0.16)
    ax.legend(loc="upper right", fontsize="small")


def statements_in_words(found: Sequence[pages.Claim]) -> str:
    """How many of the statements about figures, which hold or do not, do not hold."""
    made = sum(claim.holds is not None for claim in found)
    failed = sum(claim.holds is False for claim in found)
    if failed == made:
        return f"None of the {made} statements that the report makes about its figures holds."
    which = {0: "all hold", 1: "1 does not hold"}.get(failed, f"{failed} do not hold")
    return f"Of the {made} statements that the report makes about its figures, {which}."


def statements(runs: Sequence[report.Result], removed: Removed) -> list[pages.Claim]:
    """What the report says of its figures, tested on the runs."""
    histories = [run.history for run in runs]
    steps = np.diff([history["val_accuracy"] for history in histories], axis=1)
    pruned = np.mean([history["pruned_accuracy"].iloc[-1] for history in histories])
    loss_at_half = float(removed.by_rho[:, 0].mean() - pruned)
    variances = class_variances(runs).mean(axis=0)
    correlation = np.corrcoef(variances, always_right(removed.labels))[0, 1]
    rhos = np.concatenate([run.rho for run in runs])
    return [
        pages.statement(
            "Fig. 4.1: the model steadily improves",
            reported="steadily",
            ours=f"{(steps < 0).mean():.0%} of the steps between iterations go down",
            holds=bool((steps < 0).mean() < 0.1),
            why="fewer than one step in ten goes down",
        ),
        pages.statement(
            "Fig. 4.4: the model prunes redundant units over time",
            reported="prunes over time",
            ours=f"{np.ptp([h['active_neurons'] for h in histories])} neurons of change",
            holds=bool(any(h["active_neurons"].nunique() > 1 for h in histories)),
            why="the number of active neurons changes in at least one run",
            certain="a threshold at the quantile leaves the same number each time",
        ),
        pages.statement(
            "Fig. 4.5: rho represents posterior uncertainty in the weights",
            reported="a wider spread is more uncertainty",
            ours=f"0, or {rhos[rhos > 0].min():.2f} to {rhos.max():.2f}",
            holds=bool((rhos[rhos > 0] < 0.5).any()),
            why="some neuron is more probably out of use than in use before the threshold",
            certain="sigmoid(10 mean |w|) is one half at least",
        ),
        pages.statement(
            "Fig. 4.6: high sparsity with minimal degradation",
            reported="minimal",
            ours=f"{100 * loss_at_half:.1f} points lost with the inactive neurons really zero",
            holds=bool(loss_at_half < 0.01),
            why="less than one point of accuracy lost",
        ),
        pages.statement(
            "Fig. 4.7: per-class uncertainty guides refinement of the data",
            reported="uncertainty of a class",
            ours=f"correlation {correlation:.2f} with f (1 - f)",
            holds=bool(abs(correlation) < 0.5),
            why="correlates less than 0.5 with the frequency of the class alone",
        ),
    ]


def results(last: pd.DataFrame) -> dict[str, float]:
    """What the page records besides its claims: means over its seeds."""
    columns = {
        "training_loss": "loss",
        "precision_macro": "val_precision",
        "recall_macro": "val_recall",
        "f1_macro": "val_f1",
        "entropy": "avg_entropy",
        "first_entropy": "first_entropy",
        "first_batch_loss_first": "first_loss",
        "first_batch_loss_last": "first_batch_loss",
        "active_neurons": "active_neurons",
        "pruned_accuracy": "pruned_accuracy",
    }
    mean, sd = _moments(last)
    accuracy = {"accuracy_mean": mean["val_accuracy"], "accuracy_sd": sd["val_accuracy"]}
    return accuracy | {name: mean[column] for name, column in columns.items()}


def _moments(last: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of each column; a single run has none, and 0 stands for it."""
    values = {str(name): np.asarray(last[name], float) for name in last}
    mean = {name: float(x.mean()) for name, x in values.items()}
    sd = {name: float(x.std(ddof=1)) if len(x) > 1 else 0.0 for name, x in values.items()}
    return mean, sd
