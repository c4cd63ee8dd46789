"""Boston's prices: noise that is the same everywhere, noise that depends on x, and EM-TDAMP's."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from emtdamp import EMTDAMPRegressor, Predictive, metrics
from emtdamp.baselines.gaussian_networks import (
    HETEROSCEDASTIC,
    HOMOSCEDASTIC,
    predictive,
    train_gaussians,
)
from emtdamp.study import claims, pages, plots, runs

OWN, SAME, OWNED = "EM-TDAMP", "ensemble, one noise", "ensemble, noise of x"
STUDIED = "em-tdamp 50"  # of the study of splits
COLOURS = {OWN: plots.COLOURS["em-tdamp"], SAME: plots.COLOURS["deep ensemble"], OWNED: "#8a1c4a"}


class Fits(NamedTuple):
    """scores: a row a split and model. first: every model's prediction of the first split."""

    scores: pd.DataFrame
    first: dict[str, Predictive]
    task: runs.Task

    def each(self, model: str, score: str) -> np.ndarray:
        """A number a split."""
        frame: Any = self.scores
        return frame[frame["model"] == model].sort_values("split")[score].to_numpy(float)


def fit(splits: int, seed: int) -> Fits:
    """Train both ensembles on the first splits, and EM-TDAMP on the very first.

    EM-TDAMP's scores on the others are those of the study of splits.
    """
    rows, first = [], {}
    study: Any = pages.study("boston-splits").set_index("model").loc[STUDIED]
    for split in range(splits):
        task = runs.boston(split)
        for name, settings in {SAME: HOMOSCEDASTIC, OWNED: HETEROSCEDASTIC}.items():
            found = predictive(train_gaussians(settings, task.x, task.y), task.x_test)
            scores = metrics.regression_scores(task.y_test, found.mean, found.std)
            rows.append({"model": name, "split": split} | scores | _parts(found, task))
            first.setdefault(name, found)
        single = {"rmse": f"single: rmse_{split}", "log_likelihood": f"single: ll_{split}"}
        scores = {score: float(study[column]) for score, column in single.items()}
        rows.append({"model": OWN, "split": split} | scores)
    task = runs.boston(0)
    model = EMTDAMPRegressor((50,), random_state=seed).fit(task.x, task.y)
    first[OWN] = Predictive.of(model, task.x_test)
    return Fits(pd.DataFrame(rows), first, task)


def _parts(found: Predictive, task: runs.Task) -> dict[str, float]:
    away = np.abs(task.y_test - found.mean)
    return {
        "epistemic": float(np.sqrt(found.model.mean())),
        "aleatoric": float(np.sqrt(found.noise.mean())),
        "rank": float(spearmanr(found.std, away).statistic),  # pyright: ignore
    }


def figure(fits: Fits) -> None:
    """Predicted standard deviations on the first split, the two kinds apart, by price."""
    axes = plots.panels(3, 2.5, sharex=True, sharey=True)
    for ax, (name, found) in zip(axes, sorted(fits.first.items()), strict=True):
        order = np.argsort(found.mean)
        place, colour = np.arange(len(order)), COLOURS[name]
        known = np.sqrt(found.noise)[order]
        ax.fill_between(place, 0, known, color="0.75", lw=0, label="aleatoric")
        ax.plot(place, np.sqrt(found.model)[order], color=colour, lw=2, label="epistemic")
        away = np.abs(fits.task.y_test - found.mean)[order]
        ax.plot(place, away, ".", ms=5, color="0.15", label="error made")
        ax.set(title=name, ylabel="1000 dollars")
    axes[0].legend(fontsize="small", ncols=3, loc="upper left")
    worst = max(np.abs(fits.task.y_test - found.mean).max() for found in fits.first.values())
    axes[0].set_ylim(0, 1.3 * worst)
    axes[-1].set_xlabel("test rows of the first split, by predicted price")


def table(fits: Fits) -> pd.DataFrame:
    """A row a model: scores, and both parts."""
    rows = []
    for name in (SAME, OWNED, OWN):
        row = {"Model": name}
        for score, head in {"rmse": "RMSE", "log_likelihood": "Log-likelihood"}.items():
            row[head] = _shown(fits.each(name, score), 2)
        if name != OWN:
            row["In 95 %"] = f"{100 * fits.each(name, 'coverage_95').mean():.0f}"
            for part in ("aleatoric", "epistemic"):
                row[f"{part.capitalize()} sd"] = f"{fits.each(name, part).mean():.2f}"
            row["Rank with error"] = f"{np.nanmean(fits.each(name, 'rank')):.2f}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _shown(values: np.ndarray, digits: int) -> str:
    error = np.nan_to_num(claims.standard_error(values))
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def gap(fits: Fits, one: str = OWNED, other: str = SAME) -> claims.Comparison:
    """How one model stands against another in log-likelihood, paired over the splits."""
    ours, theirs = fits.each(one, "log_likelihood"), fits.each(other, "log_likelihood")
    return pages.compare(ours, theirs, paired=True, more_is_better=True)


def glued(fits: Fits) -> dict[str, Any]:
    """Numbers and words of the text."""
    return {
        "n_splits": len(fits.each(OWNED, "rmse")),
        "ll_of_x": _shown(fits.each(OWNED, "log_likelihood"), 2),
        "ll_one": _shown(fits.each(SAME, "log_likelihood"), 2),
        "gap_standing": gap(fits).standing,
        "rank_of_x": f"{np.nanmean(fits.each(OWNED, 'rank')):.2f}",
        "rank_one": f"{np.nanmean(fits.each(SAME, 'rank')):.2f}",
        "sd_own": f"{np.sqrt(fits.first[OWN].noise.mean()):.2f}",
        "apart_own": f"{np.sqrt(fits.first[OWN].model.mean()):.2f}",
    }
