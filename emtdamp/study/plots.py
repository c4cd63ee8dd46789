"""Figures that several pages draw: each takes data, draws into given axes, and returns them.

A page's own are in `chapters`. All are as wide as the column, one panel below the other, so that
their text can be read on a phone.

One look for the whole book: :func:`use_style`. A method has the same colour everywhere (`COLOURS`).
Histories are the frames that a run leaves, indexed by iteration; a list of them is a list of seeds.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from scipy.special import ndtri
from scipy.stats import binom

from emtdamp.study.methods import METHODS, PALETTE, UNCERTAIN

COLOURS = {name: method.colour for name, method in (METHODS | UNCERTAIN).items()} | {
    "report": PALETTE[0],
    "report, pruned": PALETTE[3],
    "reported": "0.35",
    "random": PALETTE[7],
    "em-tdamp, unpruned": "#f2a65a",
}
SERIES = ("#7b4b2a", "#8a1c4a", "0.15")  # no method's


WIDTH = 6.4  # inches, of every figure: wider ones have text too small to read on a phone


def use_style() -> None:
    """Set the book's look for all figures drawn from now on."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette="colorblind",
        font_scale=1.2,
        rc={
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.dpi": 110,
            "figure.figsize": (WIDTH, 3.8),
            "figure.constrained_layout.use": True,
            "grid.alpha": 0.4,
            "legend.frameon": False,
            "savefig.dpi": 150,
            "svg.hashsalt": "emtdamp",
        },
    )


def panels(number: int, height: float = 3.2, **how: Any) -> list[Axes]:
    """That many panels below each other; `how` goes to `plt.subplots`."""
    axes = plt.subplots(number, 1, figsize=(WIDTH, height * number), squeeze=False, **how)[1]
    return list(axes[:, 0])


def end_labels(ax: Axes, skip: Collection[str] = ()) -> Axes:
    """Write each line's label at its right end in its colour, apart from its neighbours.

    Args:
        ax: whose lines have labels; those that start with "_" have none.
        skip: labels to leave out.
    """
    ends = []
    for line in ax.get_lines():
        label, y = str(line.get_label()), np.asarray(line.get_ydata(), float)
        if not label.startswith("_") and label not in skip and np.isfinite(y).any():
            last = np.flatnonzero(np.isfinite(y))[-1]
            ends.append([y[last], label, line.get_color()])
    low, high = ax.get_ylim()
    scale = ax.transScale.transform
    at = np.array([scale((1.0, y))[1] for y, *_ in ends])
    bottom, top = scale((1.0, low))[1], scale((1.0, high))[1]
    height = ax.get_window_extent().height / ax.figure.dpi * 72  # points
    gap = 12.5 / height * (top - bottom)
    order = np.argsort(at)
    places = np.clip(at, bottom, top)[order]
    for _ in range(200):  # neighbours push each other apart
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    for index, place in zip(order, places, strict=True):
        _, label, colour = ends[index]
        share = (place - bottom) / (top - bottom)
        ax.annotate(
            label, (1.02, share), xycoords="axes fraction", color=colour, va="center",
            fontsize="small", annotation_clip=False,
        )  # fmt: skip
    return ax


def by_iteration(
    histories: Sequence[pd.DataFrame],
    column: str,
    label: str,
    colour: str,
    ax: Axes | None = None,
) -> Axes:
    """A column of every history thin, their mean thick.

    Args:
        histories: at least one; runs that stopped early may be shorter.
        column: of the histories.
        label: of the mean.
        colour: of both.
        ax: where to draw; new axes if None.
    """
    ax = ax or plt.subplots()[1]
    table = pd.concat([h[column] for h in histories], axis=1)
    if len(histories) > 1:
        ax.plot(table.index, table.to_numpy(), color=colour, lw=0.8, alpha=0.4)
        label = f"{label}, mean of {len(histories)} seeds"
    ax.plot(table.index, table.mean(axis=1), color=colour, lw=2.5, label=label)
    ax.set_xlabel("EM iteration")
    ax.set_xticks(table.index if len(table) <= 12 else table.index[:: len(table) // 10])
    return ax


def score_by_iteration(
    histories: Sequence[pd.DataFrame],
    column: str,
    label: str,
    method: str,
    ax: Axes | None = None,
) -> Axes:
    """`by_iteration` in the method's colour, with the score's name on the axis."""
    ax = by_iteration(histories, column, label, COLOURS[method], ax)
    ax.set_ylabel(label)
    return ax


def accuracy(
    histories: Sequence[pd.DataFrame],
    reported: float | None = None,
    ax: Axes | None = None,
    method: str = "report",
) -> Axes:
    """Test accuracy by iteration; `reported` is a final value marked as a dashed line."""
    ax = by_iteration(histories, "val_accuracy", "test accuracy", COLOURS[method], ax)
    if reported is not None:
        ax.axhline(reported, color=COLOURS["reported"], ls="--", label=f"reported: {reported:.2%}")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylabel("test accuracy")
    ax.legend()
    return ax


def precision_recall_f1(histories: Sequence[pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Macro precision, recall and F1 on the test images by iteration."""
    columns = {"val_precision": "precision", "val_recall": "recall", "val_f1": "F1"}
    for colour, (column, label) in zip(SERIES, columns.items(), strict=True):
        ax = by_iteration(histories, column, label, colour, ax)
    assert ax is not None
    ax.set_ylabel("macro average over classes")
    ax.legend()
    return ax


def confusion(matrix: np.ndarray, ax: Axes | None = None) -> Axes:
    """Confusion matrix (K, K) as a heat map with counts; colours by share of the row."""
    ax = ax or plt.subplots(figsize=(6.4, 5.4))[1]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    sns.heatmap(
        shares, annot=matrix, fmt="d", cmap="Blues", vmin=0, vmax=1, square=True, ax=ax,
        annot_kws={"size": "small"}, cbar_kws={"label": "share of the row"},
    )  # fmt: skip
    ax.set_xlabel("predicted digit")
    ax.set_ylabel("true digit")
    return ax


def active_neurons(
    histories: Sequence[pd.DataFrame],
    hidden: int,
    ax: Axes | None = None,
    method: str = "report",
) -> Axes:
    """Active neurons by iteration, on an axis from 0 to `hidden`."""
    ax = by_iteration(histories, "active_neurons", "active neurons", COLOURS[method], ax)
    ax.set_ylim(0, 1.05 * hidden)
    ax.axhline(hidden, color=COLOURS["reported"], lw=1, ls=":")
    ax.set_ylabel(f"active neurons of {hidden}")
    ax.legend(loc="lower right")
    return ax


def dense_and_pruned(histories: Sequence[pd.DataFrame], ax: Axes | None = None) -> Axes:
    """Test accuracy by iteration as the report counts it, and with inactive neurons really zero."""
    ax = by_iteration(histories, "val_accuracy", "as reported", COLOURS["report"], ax)
    pruned = COLOURS["report, pruned"]
    by_iteration(histories, "pruned_accuracy", "inactive neurons zero", pruned, ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_ylabel("test accuracy")
    ax.legend(loc="lower right", fontsize="small")
    return ax


def rho_distribution(
    rhos: Sequence[np.ndarray], ax: Axes | None = None, label: str = "rho at the end of training"
) -> Axes:
    """Histogram of the neurons' final rho, a colour a seed stacked; 0 is an inactive neuron."""
    ax = ax or plt.subplots()[1]
    shades = [str(s) for s in sns.color_palette("crest", len(rhos)).as_hex()]
    labels = [f"seed {i}" for i in range(len(rhos))]
    ax.hist(list(rhos), bins=list(np.linspace(0, 1, 41)), stacked=True, color=shades, label=labels)
    ax.axvline(0.5, color=COLOURS["reported"], ls="--", lw=1)
    ax.set_xlabel(label)
    ax.set_ylabel("neurons")
    return ax


def sparsity_and_accuracy(
    histories: Sequence[pd.DataFrame], ax: Axes | None = None, method: str = "report"
) -> Axes:
    """The report's scatter: a dot an iteration, its sparsity against its test accuracy."""
    ax = ax or plt.subplots()[1]
    for history in histories:
        ax.scatter(
            history["sparsity"], history["val_accuracy"], s=18, alpha=0.6, color=COLOURS[method]
        )
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel(
        "sparsity as the report counts it" if method == "report" else "hidden neurons removed"
    )
    ax.set_ylabel("test accuracy")
    return ax


def accuracy_when_removed(
    curves: Mapping[str, tuple[str, np.ndarray]], fractions: np.ndarray, ax: Axes | None = None
) -> Axes:
    """Test accuracy against the fraction of neurons that are really removed.

    Args:
        curves: label to (colour, accuracies (seeds, fractions)); mean and range over the seeds.
        fractions: of hidden neurons removed, ascending.
        ax: where to draw; new axes if None.
    """
    ax = ax or plt.subplots()[1]
    for label, (colour, values) in curves.items():
        ax.plot(fractions, values.mean(axis=0), color=colour, marker="o", ms=4, label=label)
        ax.fill_between(
            fractions, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.15, lw=0
        )
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("hidden neurons really removed")
    ax.set_ylabel("test accuracy")
    ax.legend(fontsize="small")
    return ax


def class_bars(values: np.ndarray, label: str, colour: str, ax: Axes | None = None) -> Axes:
    """A bar a class: mean over seeds of `values` (seeds, K), with their range as a line."""
    ax = ax or plt.subplots()[1]
    mean = values.mean(axis=0)
    spread = np.abs(np.stack([values.min(axis=0), values.max(axis=0)]) - mean)
    ax.bar(np.arange(values.shape[1]), mean, color=colour, alpha=0.85)
    if len(values) > 1:
        ax.errorbar(np.arange(values.shape[1]), mean, spread, fmt="none", color="0.2", lw=1)
    ax.set_xticks(range(values.shape[1]))
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("digit")
    ax.set_ylabel(label)
    return ax


def predictions(
    targets: np.ndarray, mean: np.ndarray, std: np.ndarray, unit: str, ax: Axes | None = None
) -> Axes:
    """Predicted mean with its 90 % interval against the truth, (N,) each; the line is y = x."""
    ax = ax or plt.subplots(figsize=(5.2, 4.8))[1]
    half = ndtri(0.95) * std
    missed = np.abs(targets - mean) > half
    for part, marker, colour, label in [
        (~missed, "o", COLOURS["em-tdamp"], "90 % interval holds the truth"),
        (missed, "D", "0.45", "90 % interval misses it"),
    ]:
        ax.errorbar(
            targets[part], mean[part], half[part],
            fmt=marker, ms=4, lw=1, alpha=0.8, color=colour, label=label,
        )  # fmt: skip
    ends = [min(targets.min(), mean.min()), max(targets.max(), mean.max())]
    ax.plot(ends, ends, color=COLOURS["reported"], ls="--", lw=1)
    ax.set_xlabel(f"true {unit}")
    ax.set_ylabel(f"predicted {unit}")
    ax.legend(fontsize="small")
    return ax


def coverage(
    targets: np.ndarray, mean: np.ndarray, std: np.ndarray, ax: Axes | None = None
) -> Axes:
    """Share of the targets (N,) inside the central interval of each level from 0 to 1.

    The band holds 90 % of what a calibrated prediction gives with as many rows, level by level.
    """
    ax = ax or plt.subplots(figsize=(5.2, 4.8))[1]
    levels, rows = np.linspace(0, 1, 201), len(targets)
    distance = np.abs(targets - mean) / std
    inside = (distance <= ndtri((1 + levels)[:, None] / 2)).mean(axis=1)
    low, high = binom.interval(0.9, rows, levels)
    ax.fill_between(
        levels,
        low / rows,
        high / rows,
        color="0.5",
        alpha=0.2,
        lw=0,
        label=f"calibrated, {rows} rows",
    )
    ax.plot(levels, levels, color=COLOURS["reported"], ls="--", lw=1)
    ax.plot(levels, inside, color=COLOURS["em-tdamp"], lw=2.5, label="measured")
    ax.set_xlabel("level of the central interval")
    ax.set_ylabel("share of test rows inside")
    ax.legend(loc="upper left")
    return ax
