"""Figures and tables of the page `uncertainty`, from the study of its template and from Boston."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter
from scipy.stats import spearmanr

from emtdamp.study import claims, methods, pages, plots
from emtdamp.study.chapters import sizes
from emtdamp.study.chapters.uncertainty_run import ANGLES, BINS, KEPT
from emtdamp.study.headlines import WORDS

OWN, POINT, ENSEMBLE = "em-tdamp", "adam, best", "deep ensemble"
ORDER = (OWN, "bayes by backprop", ENSEMBLE, "mc dropout", POINT, "adam")
DRAWN = ORDER[:-1]  # in figures; Keras's default is in the tables
CONVOLUTIONAL = ("convolutional", "bayesian convolutional", "bayes by backprop")
IMAGES, FEW = 10_000, 1_000
NEURONS = (128, 64, 32, 13)
SHORT = {POINT: "Adam", "adam": "Adam, default", ENSEMBLE: "deep ensemble"}


def label(method: str) -> str:
    """As short as a table on a phone needs it."""
    return SHORT.get(method, methods.label(method))


class Study:
    """The committed study: rows of runs, by method and images."""

    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        self.frame = pages.study("uncertainty") if frame is None else frame
        here = set(self.of("")["method"])
        self.methods = [name for name in ORDER if name in here]

    def of(self, method: str, images: int = IMAGES) -> Any:
        """A row a seed; all methods where none is named."""
        frame: Any = self.frame
        rows = frame[frame["train_size"] == images]
        return rows if not method else rows[rows["method"] == method].sort_values("seed")

    def each(self, method: str, score: str, images: int = IMAGES) -> np.ndarray:
        """A number a seed."""
        return self.of(method, images)[score].to_numpy(float)

    def mean(self, method: str, score: str, images: int = IMAGES) -> float:
        """Over the seeds."""
        return float(self.each(method, score, images).mean())

    def shown(self, method: str, score: str, digits: int, factor: float = 1, **of: Any) -> str:
        """Mean ± standard error."""
        return _text(factor * self.each(method, score, **of), digits)

    def against(
        self, one: str, other: str, score: str, more_is_better: bool = False
    ) -> claims.Standing:
        """How one method stands against another; seeds are no pairs."""
        ours, theirs = self.each(one, score), self.each(other, score)
        return pages.compare(ours, theirs, paired=False, more_is_better=more_is_better).standing

    @property
    def drawn(self) -> list[str]:
        """The methods of the figures."""
        return [name for name in self.methods if name in DRAWN]

    @property
    def several(self) -> list[str]:
        """Those that have more than one network to disagree."""
        return [name for name in self.methods if self.each(name, "epistemic_test").max() > 0]


def turned(study: Study) -> None:
    """Confidence less accuracy, and what the networks disagree about, by angle."""
    above, below = plots.panels(2, 3.6, sharex=True)
    angles = list(ANGLES)
    for name in study.drawn:
        look: Any = {"color": plots.COLOURS[name], "label": label(name), "lw": 2}
        gap = [
            study.mean(name, f"confidence_turned_{a}") - study.mean(name, f"accuracy_turned_{a}")
            for a in angles
        ]
        above.plot(angles, gap, **look)
        if name in study.several:
            apart = [study.mean(name, f"epistemic_turned_{a}") for a in angles]
            below.plot(angles, apart, **look)
    above.axhline(0, color="0.6", lw=1)
    above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    above.set_ylabel("too sure by, points")
    below.set(xlabel="digits turned by, degrees", ylabel="epistemic, nats", xticks=angles[::2])
    for ax in (above, below):
        plots.end_labels(ax)


def sure_and_right(study: Study) -> None:
    """Reliability, confidence less accuracy in ten bins; and the error of what is kept."""
    above, below = plots.panels(2, 3.6)
    for name in study.drawn:
        look: Any = {"color": plots.COLOURS[name], "label": label(name)}
        stated = np.array([study.mean(name, f"confidence_bin_{k}") for k in range(BINS)])
        right = np.array([study.mean(name, f"accuracy_bin_{k}") for k in range(BINS)])
        above.plot(np.arange(1, BINS + 1), 100 * (stated - right), "o-", ms=4, **look)
        left = [100 * study.mean(name, f"error_at_{100 * k:g}") for k in KEPT]
        below.plot([100 * (1 - k) for k in KEPT], left, lw=2, **look)
    above.axhline(0, color="0.6", lw=1)
    above.set(xlabel="tenths of the images, the least sure first", ylabel="too sure by, points")
    above.set_xticks(range(1, BINS + 1))
    below.set(xlabel="most uncertain images handed to a human, %", ylabel="error of the rest, %")
    below.set_yscale("log")
    below.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    for ax in (above, below):
        plots.end_labels(ax)


def digits(study: Study, name: str = OWN) -> None:
    """What is uncertain about each digit, in two parts, and how often it is mistaken."""
    (ax,) = plots.panels(1, 3.8)
    place = np.arange(10)
    low, high = (
        np.array([study.mean(name, f"{part}_{k}") for k in place])
        for part in ("aleatoric", "epistemic")
    )
    ax.bar(place, low, color="0.65", label="aleatoric")
    ax.bar(place, high, bottom=low, color=plots.COLOURS[name], alpha=0.8, label="epistemic")
    ax.set(xlabel="digit", ylabel="mean entropy, nats", xticks=place)
    ax.grid(axis="x", visible=False)
    error = [study.mean(name, f"error_{k}") for k in place]
    other = ax.twinx()
    other.plot(place, error, "D", color="0.1", label="error")
    other.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    other.set(ylim=(0, 1.6 * max(error)), ylabel="mistaken")
    other.grid(visible=False)
    ax.set_ylim(0, 1.45 * (low + high).max())
    handles = [*ax.get_legend_handles_labels()[0], *other.get_legend_handles_labels()[0]]
    ax.legend(handles=handles, ncols=3, fontsize="small", loc="upper left")


def class_rank(study: Study, name: str = OWN) -> float:
    """Spearman's correlation over the digits of entropy and error."""
    entropy, error = (
        [study.mean(name, f"{what}_{k}") for k in range(10)] for what in ("total", "error")
    )
    return float(spearmanr(entropy, error).statistic)  # pyright: ignore


def scores(study: Study) -> pd.DataFrame:
    """A row a method: how good its predictions are."""
    rows = []
    for name in study.methods:
        rows.append(
            {
                "Method": label(name),
                "Accuracy, %": study.shown(name, "accuracy", 2, 100),
                "NLL": study.shown(name, "nll", 3),
                "ECE": study.shown(name, "ece", 3),
                "Error, 10 % handed over": study.shown(name, "error_at_90", 2, 100),
                "Numbers stored": f"{study.mean(name, 'numbers'):,.0f}",
            }
        )
    return pd.DataFrame(rows)


def clothes(study: Study) -> pd.DataFrame:
    """A row a method: entropies here and there, and how well these tell clothes from digits."""
    rows = []
    for name in study.methods:
        several = name in study.several
        row = {"Method": label(name)}
        for where, text in {"test": "Digits", "fashion": "Clothes"}.items():
            total, apart = (study.mean(name, f"{part}_{where}") for part in ("total", "epistemic"))
            row[f"{text}, nats"] = f"{total:.2f}"
            row["… epistemic" + " " * (where == "test")] = f"{apart / total:.0%}" if several else ""
        row["AUROC"] = study.shown(name, "auroc_total", 3)
        row["… by the epistemic part"] = study.shown(name, "auroc_epistemic", 3) if several else ""
        rows.append(row)
    return pd.DataFrame(rows)


def more_images(study: Study) -> pd.DataFrame:
    """Both parts on the test digits after few images and after many."""
    rows = []
    for name in study.several:
        if not len(study.of(name, images=FEW)):
            continue
        row = {"Method": label(name)}
        for part in ("aleatoric", "epistemic"):
            for images in (FEW, IMAGES):
                row[f"{part.capitalize()}, {images:,} images"] = study.shown(
                    name, f"{part}_test", 3, images=images
                )
        rows.append(row)
    return pd.DataFrame(rows)


def falls(study: Study, part: str) -> dict[str, float]:
    """What is left of a part after ten times the images, by method."""
    return {
        name: study.mean(name, f"{part}_test") / study.mean(name, f"{part}_test", images=FEW)
        for name in study.several
        if len(study.of(name, images=FEW))
    }


def convolutional(study: Study) -> pd.DataFrame:
    """The two convolutional networks beside the Bayesian one without convolutions."""
    scores = {
        "accuracy": ("Accuracy, %", 2, 100),
        "nll": ("NLL", 3, 1),
        "ece": ("ECE", 3, 1),
        "auroc_total": ("AUROC of clothes", 3, 1),
    }
    rows = []
    for name in (name for name in CONVOLUTIONAL if len(study.of(name))):
        row = {"Network": methods.label(name)}
        for score, (head, digits, factor) in scores.items():
            row[head] = study.shown(name, score, digits, factor)
        rows.append(row | {"Numbers stored": f"{study.mean(name, 'numbers'):,.0f}"})
    return pd.DataFrame(rows)


def pruned() -> pd.DataFrame:
    """EM-TDAMP's scores where neurons are removed, from the study of sizes."""
    rows = []
    for neurons in NEURONS:
        of = sizes.of(sizes.load(), IMAGES, neurons)
        row = {"Neurons left": str(neurons)}
        for score, (head, count, factor) in {
            "accuracy": ("Accuracy, %", 2, 100),
            "nll": ("NLL", 3, 1),
            "ece": ("ECE", 3, 1),
        }.items():
            row[head] = _text(factor * of[score].to_numpy(float), count)
        rows.append(row | {"Numbers stored": f"{2 * of['parameters'].mean():,.0f}"})
    return pd.DataFrame(rows)


def _text(values: np.ndarray, digits: int) -> str:
    error = np.nan_to_num(claims.standard_error(values))
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


def glued(study: Study) -> dict[str, Any]:
    """Numbers and words of the text."""
    best = max(study.methods, key=lambda name: study.mean(name, "auroc_total"))
    apart = max(study.several, key=lambda name: study.mean(name, "auroc_epistemic"))
    part = {n: study.mean(n, "epistemic_test") / study.mean(n, "total_test") for n in study.several}
    worst = max(study.drawn, key=lambda name: study.mean(name, "confidence_turned_90"))
    cnn, bayesian = CONVOLUTIONAL[:2]
    return {
        "seeds": len(study.of(OWN)),
        "cnn_seeds": len(study.of(cnn)),
        "cnn_nll": WORDS[study.against(bayesian, cnn, "nll")],
        "cnn_auroc": WORDS[study.against(bayesian, cnn, "auroc_total", more_is_better=True)],
        "cnn_gain": f"{100 * (study.mean(cnn, 'accuracy') - study.mean(POINT, 'accuracy')):.1f}",
        "best": label(best),
        "best_auroc": f"{study.mean(best, 'auroc_total'):.3f}",
        "own_auroc": f"{study.mean(OWN, 'auroc_total'):.3f}",
        "point_auroc": f"{study.mean(POINT, 'auroc_total'):.3f}",
        "point_clothes": f"{study.mean(POINT, 'confidence_fashion'):.0%}",
        "own_clothes": f"{study.mean(OWN, 'confidence_fashion'):.0%}",
        "own_part": f"{part[OWN]:.0%}",
        "least_part": f"{min(part.values()):.0%}",
        "least": label(min(part, key=lambda name: part[name])),
        "surest": label(worst),
        "surest_90": f"{study.mean(worst, 'confidence_turned_90'):.0%}",
        "right_90": f"{study.mean(worst, 'accuracy_turned_90'):.0%}",
        "rank": f"{class_rank(study):.2f}",
        "hardest": max(range(10), key=lambda k: study.mean(OWN, f"total_{k}")),
        "whole_error": f"{study.mean(OWN, 'error_at_100'):.1%}",
        "less_error": f"{study.mean(OWN, 'error_at_90'):.1%}",
        "standings": standings(study, "auroc_total", study.drawn),
        "apart": label(apart),
        "apart_auroc": f"{study.mean(apart, 'auroc_epistemic'):.3f}",
        "own_apart": f"{study.mean(OWN, 'auroc_epistemic'):.3f}",
        "apart_standings": standings(study, "auroc_epistemic", study.several),
    }


def standings(study: Study, score: str, names: Sequence[str]) -> str:
    """How EM-TDAMP stands against each other method in a score of which more is better."""
    parts: dict[str, list[str]] = {}
    for name in names:
        if name == OWN:
            continue
        standing = study.against(OWN, name, score, more_is_better=True)
        parts.setdefault(WORDS[standing], []).append(label(name))
    return ", and ".join(f"{word} {_listed(names)}" for word, names in parts.items())


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> _listed(["digits", "clothes", "prices"])
    'digits, clothes and prices'
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def results(study: Study) -> dict[str, float]:
    """What the page records besides its claims."""
    wanted: Sequence[str] = ("nll", "ece", "auroc_total", "auroc_epistemic", "epistemic_test")
    return {
        f"{name}: {score}": study.mean(name, score) for name in study.methods for score in wanted
    }
