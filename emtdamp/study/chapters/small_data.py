"""The page `small-data`: half of a small network on the house prices of Boston's suburbs.

Twenty splits are in the study of Boston's splits; the linear model is fitted by the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from emtdamp import EMTDAMPRegressor, datasets, metrics
from emtdamp.study import claims, pages, plots, runs

HIDDEN, KEPT, MODEL = 50, 25, "em-tdamp 25 of 50"
SPLITS = range(20)
NAMES = {
    "rmse": "RMSE, 1000 dollars",
    "nmse": "NMSE",
    "log_likelihood": "log-likelihood, nats",
    "coverage_50": "inside the 50 % interval, %",
    "coverage_90": "inside the 90 % interval, %",
    "coverage_95": "inside the 95 % interval, %",
}


def network() -> Any:
    """Scores of the pruned network, a row a split; the shares inside intervals are means."""
    row: Any = pages.study("boston-splits").set_index("model").loc[MODEL]
    rmse = np.array([row[f"single: rmse_{split}"] for split in SPLITS], float)
    variance = np.array([runs.boston(split).y_test.var() for split in SPLITS])
    scores = {
        "rmse": rmse,
        "nmse": rmse**2 / variance,
        "log_likelihood": [float(row[f"single: ll_{split}"]) for split in SPLITS],
    }
    inside = {f"coverage_{k}": float(row[f"single: inside_{k}"]) for k in (50, 90, 95)}
    return pd.DataFrame(scores).assign(**inside)


def linear(seed: int = 0) -> Any:
    """Test scores of exact Bayesian linear regression, a row a split."""
    rows = []
    for task in map(runs.boston, SPLITS):
        model = EMTDAMPRegressor((), random_state=seed).fit(task.x, task.y)
        mean, std = model.predict(task.x_test, return_std=True)
        rows.append(metrics.regression_scores(task.y_test, mean, std))
    return pd.DataFrame(rows)


def picture(split: int, fit: runs.Result, ours: Any, line: Any) -> None:
    """Errors of both models split by split, and the predictions of one split."""
    top, bottom = plots.panels(2, height=4.2)
    errors = [ours["rmse"], line["rmse"]]
    ends = [0, 1.05 * max(each.max() for each in errors)]
    top.plot(ends, ends, color=plots.COLOURS["reported"], lw=1, ls="--")
    top.scatter(line["rmse"], ours["rmse"], color=plots.COLOURS["em-tdamp"], s=45, alpha=0.8)
    top.annotate("the network is better", (0.97, 0.05), xycoords="axes fraction", ha="right")
    top.annotate("the linear model is better", (0.03, 0.9), xycoords="axes fraction")
    top.set(xlim=ends, ylim=ends, xlabel="RMSE of the linear model", ylabel="RMSE of the network")
    mean, std = fit.predicted.T
    plots.predictions(runs.boston(split).y_test, mean, std, "price, 1000 dollars", bottom)


def table(ours: Any, line: Any) -> pd.DataFrame:
    """A row a score: mean and standard error over the splits."""
    columns = {f"13-{KEPT}-1, pruned from {HIDDEN}": ours, "Linear": line}
    rows = {
        name: {column: _shown(scores[key], key) for column, scores in columns.items()}
        for key, name in NAMES.items()
    }
    return pd.DataFrame(rows).T.rename_axis("Test score")


def _shown(values: Any, key: str) -> str:
    factor, form = (100, ".1f") if key.startswith("coverage") else (1, ".3f")
    spread = f" ± {factor * values.sem():{form}}" if values.nunique() > 1 else ""
    return f"{factor * values.mean():{form}}{spread}"


def in_text(ours: Any, line: Any, fits: Sequence[runs.Result]) -> dict[str, claims.Scalar]:
    """What the text quotes."""
    price = datasets.load_boston().target
    spread = [np.sqrt(np.mean(fit.predicted[:, 1] ** 2)) for fit in fits]
    return {
        "splits": len(ours),
        "kept": KEPT,
        "hidden": HIDDEN,
        "parameters": fits[0].metrics["parameters"],
        "rmse": f"{ours['rmse'].mean():.2f}",
        "rmse_linear": f"{line['rmse'].mean():.2f}",
        "better": int((ours["rmse"] < line["rmse"]).sum()),
        "standing": pages.compare(ours["rmse"], line["rmse"], paired=True).standing,
        "noise": f"{_noise(fits):.2f}",
        "std": f"{np.mean(spread):.2f}",
        "inside": f"{ours['coverage_95'].mean():.1%}",
        "capped": int((price == price.max()).sum()),
        "cap": f"{price.max():g}",
        "n_here": len(fits),
        "here": " and ".join(f"{fit.metrics['test_rmse']:.3f}" for fit in fits),
        "there": " and ".join(f"{ours['rmse'].iloc[k]:.3f}" for k in range(len(fits))),
    }


def goals(ours: Any) -> list[claims.Claim]:
    """What was asked for before the program was written."""
    return [
        pages.goal(
            f"Boston housing, {KEPT} of {HIDDEN} neurons: test {label}",
            required=required,
            aim=aim,
            ours=float(ours[name].mean()),
            sd=float(ours[name].std()),
            n=len(ours),
        )
        for name, label, required, aim in [
            ("rmse", "RMSE", 2.95, 2.80),
            ("log_likelihood", "log-likelihood", -2.46, -2.40),
        ]
    ]


def results(ours: Any, line: Any, fits: Sequence[runs.Result]) -> dict[str, claims.Scalar]:
    """What the page records."""
    found: dict[str, claims.Scalar] = {name: float(ours[name].mean()) for name in NAMES}
    found |= {f"linear_{name}": float(line[name].mean()) for name in NAMES}
    return found | {"active_neurons": KEPT, "noise_std": _noise(fits)}


def _noise(fits: Sequence[runs.Result]) -> float:
    return float(np.mean(np.sqrt([fit.metrics["noise_variance"] for fit in fits])))
