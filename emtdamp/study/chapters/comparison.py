"""The page `comparison`: all methods by size, on digits and house prices, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from emtdamp.study import claims, contests, methods, pages, plots
from emtdamp.study.chapters import comparison_run

OWN, POINT, ENSEMBLE = "em-tdamp", "adam, best", "deep ensemble"
FEW, MANY, PRICES = "10000 digits", "60000 digits", "prices"
CASES = {FEW: "10,000 digits", MANY: "60,000 digits", PRICES: "house prices"}
WHOLE = {case: contests.NETWORKS[case != PRICES][0] for case in CASES}
COMPARED = 32  # neurons of the table in the text
COLUMNS = {  # of tables: head, factor, digits
    "error": ("Error, %", 100, 2), "rmse": ("RMSE", 1, 2), "nll": ("NLL", 1, 3),
    "ece": ("ECE", 1, 3), "auroc": ("AUROC", 1, 3), "parameters": ("Parameters", 1, 0),
    "bytes": ("Bytes", 1, 0), "seconds": ("Seconds", 1, 1), "microseconds": ("µs a row", 1, 1),
}  # fmt: skip
COSTS = ("parameters", "bytes", "seconds", "microseconds")
MORE_IS_BETTER = {"auroc"}
# told apart in the figure; all others are grey
TOLD = (OWN, "bayes by backprop", "gradual", "group lasso", ENSEMBLE, "mc dropout")
LIMITS = {FEW: (0.03, 0.1), MANY: (0.012, 0.06)}


def scores(case: str) -> tuple[str, ...]:
    """How good a case's predictions are, the error first."""
    return ("rmse", "nll") if case == PRICES else ("error", "nll", "ece", "auroc")


class Study:
    """The committed study: a row a case, method, neurons left and seed (of prices: split)."""

    def __init__(self, frame: pd.DataFrame | None = None) -> None:
        frame = pages.study("comparison") if frame is None else frame
        self.rows: Any = comparison_run.long(frame)
        self.cases = [case for case in CASES if case in set(self.rows["case"])]

    def methods(self, case: str, neurons: int) -> list[str]:
        """Those that were run, in the registry's order."""
        rows = self.rows
        here = set(rows[(rows["case"] == case) & (rows["neurons"] == neurons)]["method"])
        return [name for name in methods.METHODS | methods.UNCERTAIN if name in here]

    def sizes(self, case: str) -> list[int]:
        """Neurons left, all of them first."""
        rows = self.rows
        return sorted(set(rows[rows["case"] == case]["neurons"]), reverse=True)

    def each(self, case: str, method: str, neurons: int, score: str) -> np.ndarray:
        """A number a seed."""
        rows = self.rows
        some = (rows["case"] == case) & (rows["method"] == method) & (rows["neurons"] == neurons)
        return rows[some].sort_values("seed")[score].to_numpy(float)

    def mean(self, case: str, method: str, neurons: int, score: str) -> float:
        """Over the seeds."""
        return float(self.each(case, method, neurons, score).mean())

    def seeds(self, case: str) -> int:
        return int(self.rows[self.rows["case"] == case]["seed"].nunique())

    def others(self, case: str, neurons: int) -> list[str]:
        """What EM-TDAMP is compared with; with all neurons kept AMP is the same fit."""
        whole = neurons == WHOLE[case]
        return [
            name
            for name in self.methods(case, neurons)
            if name not in methods.OWN and not (whole and name == "amp")
        ]

    def against(
        self, case: str, neurons: int, score: str, other: str, ours: str = OWN
    ) -> claims.Standing:
        """How `ours` stands; of prices the same splits are pairs, of digits seeds are none."""
        one, two = (self.each(case, name, neurons, score) for name in (ours, other))
        paired, more = case == PRICES, score in MORE_IS_BETTER
        return claims.compare(one, two, paired=paired, more_is_better=more).standing

    def against_all(self, case: str, neurons: int, score: str) -> claims.Standing:
        """How EM-TDAMP stands against all others."""
        others = self.others(case, neurons)
        return claims.overall(self.against(case, neurons, score, other) for other in others)

    def standings(self, case: str, score: str) -> dict[int, claims.Standing]:
        """How EM-TDAMP stands against all others, by neurons left, few first."""
        return {n: self.against_all(case, n, score) for n in self.sizes(case)[::-1]}

    def by_bytes(self, case: str, score: str) -> dict[int, claims.Standing]:
        """The same against networks of points that store as many bytes, in twice the neurons."""
        found: dict[int, claims.Standing] = {}
        for n in self.sizes(case)[::-1]:
            ours, size = self.each(case, OWN, n, score), self.mean(case, OWN, n, "bytes")
            others = [
                self.each(case, name, 2 * n, score)
                for name in self.others(case, 2 * n)
                if abs(self.mean(case, name, 2 * n, "bytes") / size - 1) < 0.01
            ]
            if others:
                found[n] = claims.overall(
                    claims.compare(ours, other, paired=False).standing for other in others
                )
        return found

    def best(self, case: str, neurons: int, score: str, names: Iterable[str]) -> str:
        """The one of the best mean."""
        sign = -1 if score in MORE_IS_BETTER else 1
        return min(names, key=lambda name: sign * self.mean(case, name, neurons, score))

    def shown(self, case: str, method: str, neurons: int, score: str) -> str:
        """Mean, and ± its standard error where there are several seeds that differ."""
        _, factor, digits = COLUMNS[score]
        values = factor * self.each(case, method, neurons, score)
        text, error = f"{values.mean():,.{digits}f}", claims.standard_error(values)
        return f"{text} ± {error:.{digits}f}" if error > 0 else text


def curves(study: Study, case: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kilobytes of the weights and test error by method, small networks first."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in methods.METHODS | methods.UNCERTAIN:
        sizes = [n for n in study.sizes(case)[::-1] if name in study.methods(case, n)]
        if sizes:
            size, error = (
                np.array([study.mean(case, name, n, score) for n in sizes])
                for score in ("bytes", "error")
            )
            found[name] = (size / 1000, error)
    return found


def picture(study: Study) -> None:
    """Test error against the bytes of the weights, a panel a number of training images."""
    axes = plots.panels(2, height=4.2, sharex=True)
    for ax, case in zip(axes, (FEW, MANY), strict=True):
        for name, (size, error) in curves(study, case).items():
            look: dict[str, Any] = {"color": "0.8", "lw": 1.2, "label": "_"}
            if name in TOLD:
                look = {"color": plots.COLOURS[name], "lw": 1.8, "label": short(name)}
                look |= {"marker": "o", "ms": 5}
            if name == OWN:
                look |= {"lw": 3.5, "zorder": 4}
            ax.plot(size, error, **look)
        low, high = LIMITS[case]
        ax.set(xscale="log", yscale="log", ylim=(low, high), ylabel="test error")
        ticks = [tick for tick in (0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1) if low <= tick <= high]
        ax.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        kilobytes = [30, 100, 300, 1000, 2000]
        ax.set_xticks(kilobytes, [f"{k:g}" for k in kilobytes])
        ax.minorticks_off()
        ax.set_title(CASES[case], loc="left", fontsize="medium")
        plots.end_labels(ax)
    axes[-1].set_xlabel("weights of the network, kilobytes")
    plt.show()


def short(method: str) -> str:
    """As short as the figure and tables need it."""
    shorter = {POINT: "Adam, best held out", "em-tdamp, window": "EM-TDAMP, window"}
    shorter |= {"paper": "EM-TDAMP, paper's form", "amp": "AMP"}
    return shorter.get(method, methods.label(method))


def table(study: Study, case: str, neurons: int) -> pd.DataFrame:
    """A row a method at one size, the least error first."""
    first, *_ = shown = scores(case)
    names = sorted(
        study.methods(case, neurons), key=lambda name: study.mean(case, name, neurons, first)
    )
    return pd.DataFrame(
        {"Method": short(name)}
        | {COLUMNS[score][0]: study.shown(case, name, neurons, score) for score in shown}
        | {
            COLUMNS[cost][0]: f"{study.mean(case, name, neurons, cost):.1f}"
            for cost in ("seconds", "microseconds")
        }
        for name in names
    )


def everything(study: Study) -> pd.DataFrame:
    """A row a case, method and size, every score."""
    rows = []
    for case in study.cases:
        for neurons in study.sizes(case):
            for name in study.methods(case, neurons):
                row = {"Task": CASES[case], "Method": short(name), "Neurons": str(neurons)}
                for score, (head, _, _) in COLUMNS.items():
                    there = score in (*scores(case), *COSTS)
                    row[head] = study.shown(case, name, neurons, score) if there else ""
                rows.append(row)
    return pd.DataFrame(rows)


def live(found: Mapping[str, float], study: Study, method: str, neurons: int) -> pd.DataFrame:
    """A run of the page beside the study's of seed 0."""
    kept = {
        score: study.each(FEW, method, neurons, score)[0]
        for score in (*scores(FEW), "parameters", "bytes")
    }
    rows = []
    for score, value in kept.items():
        head, factor, digits = COLUMNS[score]
        here = factor * found[f"{score}_at_{neurons}_seed_0"]
        rows.append({"Score": head, "Here": f"{here:.{digits}f}"})
        rows[-1]["In the study"] = f"{factor * value:.{digits}f}"
    return pd.DataFrame(rows).set_index("Score")


def in_text(study: Study) -> dict[str, claims.Scalar]:
    """Numbers and words of the text."""
    found: dict[str, claims.Scalar] = {}
    small = min(study.sizes(FEW))
    for neurons, name in {small: "small", COMPARED: "compared"}.items():
        best = study.best(FEW, neurons, "error", study.others(FEW, neurons))
        found |= {
            f"{name}_neurons": neurons,
            f"{name}_own": f"{study.mean(FEW, OWN, neurons, 'error'):.1%}",
            f"{name}_best": short(best),
            f"{name}_best_error": f"{study.mean(FEW, best, neurons, 'error'):.1%}",
        }
    single, whole = study.mean(FEW, POINT, WHOLE[FEW], "bytes"), WHOLE[FEW]
    for name, method in {"own": OWN, "ensemble": ENSEMBLE}.items():
        times = f"{study.mean(FEW, method, whole, 'bytes') / single:.0f}"
        found[f"{name}_times"] = "twice" if times == "2" else f"{times} times"
    for name, method in {"own": OWN, "point": POINT}.items():
        found[f"{name}_us"] = f"{study.mean(FEW, method, whole, 'microseconds'):.0f}"
    found["bytes_standings"] = contests.spelled(study.by_bytes(FEW, "error"), "neurons")
    for score in scores(FEW):
        found[f"{score}_standings"] = contests.spelled(study.standings(FEW, score), "neurons")
    found |= {f"seeds_{case.split()[0]}": study.seeds(case) for case in study.cases}
    found["prices_best_25"] = short(study.best(PRICES, 25, "rmse", study.methods(PRICES, 25)))
    found |= {f"prices_{n}": study.against_all(PRICES, n, "rmse") for n in (50, 25)}
    found["rows"] = len(everything(study))
    found |= {f"budget_{case.split()[0]}": _best_within(study, case, 200) for case in (FEW, MANY)}
    return found | {"answer": _best_within(study, FEW, 100)}


def _best_within(study: Study, case: str, limit: float) -> str:
    """The least error of the figure in no more kilobytes than `limit`, in words."""
    error, name = min(
        (float(error), name)
        for name, (sizes, errors) in curves(study, case).items()
        for size, error in zip(sizes, errors, strict=True)
        if size <= limit
    )
    return f"{short(name)}'s, {error:.1%}"


def results(study: Study) -> dict[str, float]:
    """What the page records besides its claims."""
    return {
        f"{case}: {name} {neurons}: {score}": study.mean(case, name, neurons, score)
        for case in study.cases
        for neurons in study.sizes(case)
        for name in (OWN, "bayes by backprop")
        if name in study.methods(case, neurons)
        for score in scores(case)
    }
