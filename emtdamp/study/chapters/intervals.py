"""Figures, tables and claims of the page `intervals`."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from emtdamp import Predictive
from emtdamp.study import claims, pages, plots, runs

Case = tuple[str, str]  # a model, and how its prediction is made

VARIANTS = ("single", "single, calibrated", "ensemble", "ensemble, calibrated")
MODELS = {
    "em-tdamp 50": "EM-TDAMP, 13-50-1",
    "em-tdamp 25 of 50": "EM-TDAMP, 13-25-1",
    "em-tdamp 2 x 50": "EM-TDAMP, 13-50-50-1",
    "em-tdamp 2 x 25 of 50": "EM-TDAMP, 13-25-25-1",
    "ridge": "ridge",
    "random forest": "random forest",
    "gaussian process": "Gaussian process",
    "gradient boosting": "gradient boosting",
}
OTHERS = {"gradient boosting": "-", "gaussian process": "--", "random forest": "-.", "ridge": ":"}
# RMSE, its standard error, log-likelihood, its standard error
PUBLISHED = {
    "probabilistic backpropagation": (3.01, 0.18, -2.57, 0.09),
    "MC dropout": (2.97, 0.19, -2.46, 0.06),
    "MC dropout, longer, tuned without test rows": (2.90, 0.18, -2.40, 0.04),
    "deep ensemble": (3.28, np.nan, -2.41, np.nan),
}
ONE, DEEP, DENSE = "em-tdamp 25 of 50", "em-tdamp 2 x 25 of 50", "em-tdamp 2 x 50"
BEST = "ensemble, calibrated"
PROCESS, TREES = ("gaussian process", "single"), ("gradient boosting", "single, calibrated")
SCORES = {"rmse": "RMSE", "ll": "Log-likelihood"}


class Study:
    """The committed study of models on the 20 standard splits."""

    def __init__(self) -> None:
        self.rows: Any = pages.study("boston-splits").set_index("model")
        self.splits = int(self.rows["splits"].iloc[0])
        self.members = int(self.rows["members"].max())
        names = [c for c in self.rows if c.startswith("single: inside_")]
        self.levels = [int(name.rpartition("_")[2]) for name in names]
        self.cases = [
            (model, variant)
            for model in MODELS
            for variant in VARIANTS
            if not np.isnan(self.rows.loc[model, f"{variant}: rmse_0"])
        ]

    def each(self, case: Case, score: str) -> np.ndarray:
        """A number a split."""
        names = [f"{case[1]}: {score}_{number}" for number in range(self.splits)]
        return self.rows.loc[case[0], names].to_numpy(float)

    def inside(self, case: Case, level: int) -> float:
        """Share of the test prices inside the central interval of that many percent."""
        return float(self.rows.loc[case[0], f"{case[1]}: inside_{level}"])

    def beside(self, one: Case, other: Case, score: str) -> claims.Comparison:
        """One model beside another on the same splits."""
        ours, theirs = self.each(one, score), self.each(other, score)
        return pages.compare(ours, theirs, paired=True, more_is_better=score == "ll")

    def beside_the_published(self, score: str) -> tuple[claims.Standing, float]:
        """The best ensemble beside every published network; the best of these numbers."""
        at = 0 if score == "rmse" else 2
        ours = self.each((DENSE, BEST), score)
        gaps = [
            pages.compare_to_number(ours, row[at], row[at + 1], more_is_better=score == "ll")
            for row in PUBLISHED.values()
        ]
        values = [row[at] for row in PUBLISHED.values()]
        number = min(values) if score == "rmse" else max(values)
        return pages.overall(gap.standing for gap in gaps), number


def shown(values: np.ndarray, digits: int = 2) -> str:
    """Mean ± standard error."""
    return _text(float(values.mean()), claims.standard_error(values), digits)


def _text(mean: float, error: float, digits: int = 2) -> str:
    around = "" if np.isnan(error) else f" ± {error:.{digits}f}"
    return f"{mean:.{digits}f}{around}".replace("-", "\N{MINUS SIGN}")


def ranking(study: Study) -> None:
    """Error and log-likelihood, a line a model, the strongest of each kind."""
    half, whole = "two layers, half pruned", "two layers"
    rows: list[tuple[str, Any]] = [
        (f"{whole}, {study.members} of them", (DENSE, BEST)),
        (whole, (DENSE, "single")),
        (f"{half}, {study.members} of them", (DEEP, BEST)),
        (half, (DEEP, "single")),
        ("one layer", ("em-tdamp 50", "single")),
        ("gradient boosting, calibrated", TREES),
        ("Gaussian process", PROCESS),
        ("random forest, calibrated", ("random forest", "single, calibrated")),
        *[(name.replace(", tuned without test rows", ""), name) for name in PUBLISHED],
    ]
    titles = {"rmse": "test error, 1000 dollars"}
    titles["ll"] = "log-likelihood a price"
    for ax, score in zip(plots.panels(2, 3.9), titles, strict=True):
        for place, (_, case) in enumerate(rows):
            if isinstance(case, str):
                mean, error = PUBLISHED[case][:2] if score == "rmse" else PUBLISHED[case][2:]
                look: Any = {"color": plots.COLOURS["reported"], "mfc": "white"}
            else:
                values = study.each(case, score)
                mean, error = values.mean(), claims.standard_error(values)
                ours = case[0].startswith("em-tdamp")
                look = {"color": plots.COLOURS["em-tdamp"] if ours else "0.45"}
            ax.errorbar(mean, place, xerr=0 if np.isnan(error) else error, fmt="o", **look)
        ax.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize="small")
        ax.set_xlabel(titles[score])
        better = {"rmse": "\N{LEFTWARDS ARROW} better", "ll": "better \N{RIGHTWARDS ARROW}"}[score]
        ax.set_title(better, loc="left" if score == "rmse" else "right", fontsize="small")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    plt.show()


def calibration(study: Study) -> None:
    """By how much intervals hold more than they promise: EM-TDAMP above, scikit-learn's below."""
    ours, theirs = plots.panels(2, 3.2, sharex=True, sharey=True)
    looks: dict[str, Any] = {
        "single": {"ls": "-", "lw": 1.5},
        "single, calibrated": {"ls": "--", "lw": 1.5},
        "ensemble": {"ls": ":", "lw": 2},
        BEST: {"ls": "-", "lw": 3.5},
    }
    for variant, look in looks.items():
        more = [100 * study.inside((DEEP, variant), level) - level for level in study.levels]
        ours.plot(study.levels, more, color=plots.COLOURS["em-tdamp"], label=variant, **look)
    for model, style in OTHERS.items():
        more = [100 * study.inside((model, "single"), level) - level for level in study.levels]
        theirs.plot(study.levels, more, ls=style, color="0.35", label=MODELS[model])
    titles = "EM-TDAMP, two layers, half pruned", "scikit-learn, not calibrated"
    for ax, title in zip((ours, theirs), titles, strict=True):
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(title=title, ylabel="held beyond that, points")
        ax.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    theirs.set_xlabel("promised by the interval, %")
    plt.show()


def prices(now: Predictive, truth: np.ndarray) -> None:
    """Test prices in the order of their predictions, with intervals."""
    order = np.argsort(now.mean)
    place = np.arange(len(order))
    _, ax = plt.subplots(figsize=(plots.WIDTH, 3.8))
    sides, colour = np.array([[-1.96], [1.96]]), plots.COLOURS["em-tdamp"]
    known = np.sqrt(now.model)
    ax.vlines(place, *(now.mean + sides * now.std)[:, order], lw=1.5, color="0.6")
    ax.vlines(place, *(now.mean + sides * known)[:, order], lw=4, color=colour, alpha=0.6)
    ax.plot(place, truth[order], "o", ms=4, color="black")
    ax.set(xlabel="test rows, by prediction", ylabel="price, 1000 dollars")
    ax.margins(x=0.02)
    plt.show()


def table(study: Study) -> pd.DataFrame:
    """Every model and way of predicting; then what others published."""
    rows = []
    for case in study.cases:
        row = {"Model": MODELS[case[0]], "How": case[1]}
        row |= {name: shown(study.each(case, score)) for score, name in SCORES.items()}
        held = {f"In {k} %": f"{100 * study.inside(case, k):.0f}" for k in (50, 90, 95)}
        rows.append(row | held)
    for name, (rmse, around, ll, ll_around) in PUBLISHED.items():
        row = {"Model": name, "How": "published", "RMSE": _text(rmse, around)}
        rows.append(row | {"Log-likelihood": _text(ll, ll_around)})
    return pd.DataFrame(rows)


def steps(study: Study) -> pd.DataFrame:
    """Paired differences: what each step gives, and where that leaves it."""
    best: Case = (DENSE, BEST)
    pruned: Case = (DEEP, BEST)
    members = study.members
    pairs: dict[str, tuple[Case, Case]] = {
        "two layers instead of one": ((DEEP, "single"), (ONE, "single")),
        "one layer, half pruned instead of whole": ((ONE, "single"), ("em-tdamp 50", "single")),
        "calibrated": ((DEEP, "single, calibrated"), (DEEP, "single")),
        f"{members} posteriors instead of one": ((DEEP, "ensemble"), (DEEP, "single")),
        f"{members} posteriors, calibrated": (pruned, (DEEP, "single")),
        "… beside the Gaussian process": (pruned, PROCESS),
        "… beside gradient boosting": (pruned, TREES),
        "… whole instead of half pruned": (best, pruned),
        "… whole, beside the Gaussian process": (best, PROCESS),
        "… whole, beside gradient boosting": (best, TREES),
    }
    rows = []
    for name, (one, other) in pairs.items():
        row = {"Difference": name}
        for score, text in SCORES.items():
            row[text] = shown(study.each(one, score) - study.each(other, score), 3)
            row[text] += f", {study.beside(one, other, score).standing}"
        rows.append(row)
    return pd.DataFrame(rows)


def glued(study: Study) -> dict[str, Any]:
    """Numbers and words of the text."""
    best = (DENSE, BEST)
    return {
        "rmse_whole": shown(study.each(best, "rmse")),
        "trees_rmse": study.beside(best, TREES, "rmse").standing,
        "trees_ll": study.beside(best, TREES, "ll").standing,
        "process_rmse": study.beside(best, PROCESS, "rmse").standing,
        "process_ll": study.beside(best, PROCESS, "ll").standing,
        "published_rmse": study.beside_the_published("rmse")[0],
        "published_ll": study.beside_the_published("ll")[0],
        "whole_rmse": study.beside(best, (DEEP, BEST), "rmse").standing,
        "whole_ll": study.beside(best, (DEEP, BEST), "ll").standing,
        "inside_raw": f"{study.inside((DEEP, 'single'), 50):.0%}",
        "inside_calibrated": f"{study.inside((DEEP, BEST), 50):.0%}",
        "members": study.members,
        "splits": study.splits,
    }


def claimed(study: Study) -> list[claims.Claim]:
    """Goals, and the best ensemble beside the strongest of the others."""

    def goal(name: str, case: Case, score: str, required: float, aim: float) -> claims.Claim:
        values = study.each(case, score)
        return pages.goal(
            f"Boston housing, {name}: test {'RMSE' if score == 'rmse' else 'log-likelihood'}",
            required=required,
            aim=aim,
            ours=float(values.mean()),
            sd=float(values.std(ddof=1)),
            n=study.splits,
        )

    best = (DENSE, BEST)
    found = [
        goal("single posterior, 25 + 25 of 50 + 50", (DEEP, "single"), "rmse", 2.92, 2.80),
        goal("single posterior, 25 + 25 of 50 + 50", (DEEP, "single"), "ll", -2.40, -2.33),
        goal("single posterior, all of 50 + 50", (DENSE, "single"), "rmse", 2.87, 2.80),
        goal("single posterior, all of 50 + 50", (DENSE, "single"), "ll", -2.43, -2.33),
        goal("ensemble, calibrated, 25 + 25 of 50 + 50", (DEEP, BEST), "rmse", 2.75, 2.62),
        goal("ensemble, calibrated, 25 + 25 of 50 + 50", (DEEP, BEST), "ll", -2.27, -2.22),
        goal("ensemble, calibrated, all of 50 + 50", best, "rmse", 2.75, 2.62),
        goal("ensemble, calibrated, all of 50 + 50", best, "ll", -2.27, -2.22),
    ]
    for score, text in {"rmse": "RMSE", "ll": "log-likelihood"}.items():
        rivals = {
            "every published Bayesian neural network": (*study.beside_the_published(score), "")
        }
        for title, case in {"the Gaussian process": PROCESS, "gradient boosting": TREES}.items():
            standing = study.beside(best, case, score).standing
            value = float(study.each(case, score).mean())
            rivals[title] = standing, value, " of the paired difference"
        ours = study.each(best, score).mean()
        found += [
            pages.versus(
                f"Boston: calibrated ensemble ahead of {name} in {text}",
                reported="ahead",
                ours=f"{ours:.3f} against {value:.3f}",
                standing=standing,
                why=f"two standard errors{how}, {study.splits} splits, two layers, nothing pruned",
                source="this book",
            )
            for name, (standing, value, how) in rivals.items()
        ]
    return found


def rmse(now: Predictive, task: runs.Task) -> float:
    """Root of the mean squared error on the test rows."""
    return float(np.sqrt(np.mean((now.mean - task.y_test) ** 2)))
