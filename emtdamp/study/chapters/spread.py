"""The page `spread`: thirty runs of the report's program, and one of them again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from emtdamp.baselines import report
from emtdamp.study import pages, plots
from emtdamp.study.chapters.results import REPORTED_ACCURACY
from emtdamp.study.claims import standard_error


def draw(study: pd.DataFrame) -> None:
    """Both accuracies of every run: as the program counts it, and with its neurons removed."""
    (ax,) = plots.panels(1)
    columns = "accuracy_mean", "pruned_accuracy"
    whole, pruned = (100 * np.asarray(study[name], float) for name in columns)
    every = np.concatenate([whole, pruned])
    bins = np.arange(np.floor(every.min()), every.max() + 1.01)
    for values, colour, label in [
        (pruned, "report, pruned", "inactive neurons\nreally zero"),
        (whole, "report", "as the program\ncounts it"),
    ]:
        ax.hist(values, list(bins), color=plots.COLOURS[colour], label=label, alpha=0.85)
    grey = plots.COLOURS["reported"]
    reported = f"reported:\n{REPORTED_ACCURACY:.2%}"
    ax.axvline(100 * REPORTED_ACCURACY, color=grey, ls="--", label=reported)
    ax.xaxis.set_major_formatter(PercentFormatter(100, decimals=0))
    ax.set(xlabel="test accuracy", ylabel="runs")
    ax.legend(loc="upper left", fontsize="small")


def glued(study: pd.DataFrame) -> dict[str, Any]:
    """Numbers of the text."""
    draws, pruned = (np.asarray(study[c], float) for c in ("accuracy_mean", "pruned_accuracy"))
    sd = draws.std(ddof=1)
    return {
        "draws": len(draws),
        "draws_mean": f"{draws.mean():.2%}",
        "draws_sd": f"{sd:.2%}",
        "draws_pruned": f"{pruned.mean():.1%}",
        "draws_pruned_error": f"{standard_error(pruned):.1%}",
        "draws_low": f"{draws.min():.2%}",
        "draws_high": f"{draws.max():.2%}",
        "draws_above": int((draws >= REPORTED_ACCURACY).sum()),
        "draws_distance": f"{(REPORTED_ACCURACY - draws.mean()) / sd:.1f}",
        "device": str(study["device"].iloc[0]),
    }


def claims(study: pd.DataFrame, here: report.Result) -> list[pages.Claim]:
    """The report's accuracy among the study's runs; then the study's run, repeated here."""
    draws = np.asarray(study["accuracy_mean"], float)
    seed = here.settings.seed
    there = study[study["seed"] == seed].iloc[0]
    return [
        pages.statement(
            "92.77 % is a typical result of the program",
            reported=f"{REPORTED_ACCURACY}",
            ours=f"{draws.mean():.4f} ± {standard_error(draws):.4f}; "
            f"{(draws >= REPORTED_ACCURACY).mean():.0%} of the runs reach it",
            holds=bool(abs(REPORTED_ACCURACY - draws.mean()) <= draws.std(ddof=1)),
            why="within one standard deviation of the mean run",
        ),
        pages.numeric(
            f"The study's accuracy for seed {seed}",
            reported=float(there["accuracy_mean"]),
            ours=here.metrics["test_accuracy"],
            tolerance=4 * draws.std(ddof=1),
            why="four standard deviations of one run",
            source="study",
        ),
        pages.numeric(
            f"The study's first loss for seed {seed}",
            reported=float(there["first_batch_loss_first"]),
            ours=float(here.history["first_batch_loss"].iloc[0]),
            tolerance=0.01,
            why="rounding of one step",
            source="study",
        ),
    ]
