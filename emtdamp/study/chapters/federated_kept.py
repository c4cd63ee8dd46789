"""Page federated: neurons dropped on the way, and Boston housing over five clients."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from emtdamp.study import claims, contests, federations, plots
from emtdamp.study.chapters.federated import (
    HALVED,
    PRUNING,
    Case,
    Study,
    axes_of_rounds,
    curve,
    points,
    spread,
)

IN_PAPER = {"em-tdamp": "em-tdamp", "group lasso": "group lasso", "group snip": "group snip"}
BOSTON, BOSTON_THEIRS = (Case(method, data="boston") for method in ("em-tdamp", "fedavg"))
BOSTON_HALF = [case._replace(data="boston") for case in HALVED]


def levels(study: Study, method: str, data: str = "mnist") -> list[Case]:
    """What was run of a method, a case a percentage, from all neurons on.

    What drops neurons of federated averaging is federated averaging where none is dropped.
    """
    runs = study.runs
    kept = runs[(runs["data"] == data) & (runs["partition"] == "iid") & (runs["passes"] == 1)]
    found = [
        Case(method if k < 100 or method == "em-tdamp" else "fedavg", kept=float(k), data=data)
        for k in sorted(kept["kept"].unique(), reverse=True)
    ]
    return [case for case in found if study.has(case)]


def squares(study: Study, case: Case) -> np.ndarray:
    """(splits,) sums of squared errors at the end, means over seeds."""
    runs = study.of(case)
    names = [f"squares_split_{k}" for k in range(int(runs["splits"].iloc[0]))]
    return runs[names].to_numpy(float).mean(axis=0)


def nmse(study: Study, case: Case) -> tuple[float, float]:
    """At the end, pooled over splits, and its standard error."""
    found = squares(study, case)
    return contests.pooled(found, contests.worst_squares(len(found)))


def gap(study: Study, ours: Case, theirs: Case) -> claims.Comparison:
    """By how much our error at the end is lower: seeds are no pairs, splits of Boston are."""
    if ours.data == "mnist":
        return claims.compare(study.last(ours), study.last(theirs), paired=False)
    more = squares(study, theirs) - squares(study, ours)
    return claims.Comparison(*contests.pooled(more, contests.worst_squares(len(more))))


def standings(study: Study, data: str = "mnist") -> dict[int, claims.Standing]:
    """EM-TDAMP beside all that drop neurons of federated averaging, by percentage below 100."""
    found: dict[int, claims.Standing] = {}
    for ours in levels(study, "em-tdamp", data):
        rivals = [ours._replace(method=method) for method in PRUNING]
        rivals = [case for case in rivals if ours.kept < 100 and study.has(case)]
        if rivals:
            found[int(ours.kept)] = claims.overall(gap(study, ours, r).standing for r in rivals)
    return found


def draw(study: Study) -> None:
    """Error at the end by neurons kept: MNIST, and Boston."""
    above, below = plots.panels(2, height=3.6, sharex=True)
    for ax, data, figure in (
        (above, "mnist", "fed_sparsity_mnist_error"),
        (below, "boston", "fed_sparsity_boston_nmse"),
    ):
        points(ax, figure, IN_PAPER, 100)
        for method in ("em-tdamp", *PRUNING):
            _by_kept(ax, study, levels(study, method, data), method)
        ax.set_yscale("log")
        ax.minorticks_off()
    above.set(ylabel="test error, %", ylim=(1.5, 60))
    above.set_yticks([2, 3, 5, 10, 20, 50], ["2", "3", "5", "10", "20", "50"])
    below.set(ylabel="NMSE", xlabel="hidden neurons kept, %", ylim=(0.09, 1.2))
    below.set_yticks([0.1, 0.2, 0.3, 0.5, 1], ["0.1", "0.2", "0.3", "0.5", "1"])
    above.set_title("MNIST; markers: the paper's figure", loc="left", fontsize="medium")
    below.set_title("Boston; markers: the paper's figure", loc="left", fontsize="medium")
    for ax in (above, below):
        plots.end_labels(ax)


def _by_kept(ax: Axes, study: Study, cases: list[Case], method: str) -> None:
    if not any(case.kept < 100 for case in cases):
        return
    colour = plots.COLOURS[federations.COLOURED[method]]
    if cases[0].data == "mnist":
        found = [(100 * e.mean(), 100 * claims.standard_error(e)) for e in map(study.last, cases)]
    else:
        found = [nmse(study, case) for case in cases]
    mean, error = np.array(found).T
    kept = [case.kept for case in cases]
    look: Any = {"color": colour, "marker": "o", "ms": 4}
    ax.plot(kept, mean, label=federations.LABELS[method].removeprefix("FedAvg, "), **look)
    ax.fill_between(kept, mean - error, mean + error, color=colour, alpha=0.15, lw=0)


def table(study: Study) -> pd.DataFrame:
    """Error at the end by neurons kept, a row a method and data set."""
    rows = []
    for data in federations.CLIENTS:
        for method in ("em-tdamp", *PRUNING):
            cases = levels(study, method, data)
            if not any(case.kept < 100 for case in cases):
                continue
            row = {
                "Data": {"mnist": "MNIST, %", "boston": "Boston, NMSE"}[data],
                "Method": federations.LABELS[method],
            }
            for case in cases:
                if data == "mnist":
                    row[f"{case.kept:g} %"] = spread(100 * study.last(case), 2)
                else:
                    row[f"{case.kept:g} %"] = "{:.3f} ± {:.3f}".format(*nmse(study, case))
            rows.append(row)
    return pd.DataFrame(rows or [{"Method": "not run"}])


def draw_boston(study: Study) -> None:
    """NMSE of Boston by round: all neurons kept, and half of them."""
    above, below = plots.panels(2, height=3.4, sharex=True)
    last = federations.ROUNDS["boston"]
    points(above, "fed_boston_nmse", {"em-tdamp": "em-tdamp", "adam": "adam, best"}, last)
    points(below, "fed_boston_nmse", {k: v for k, v in IN_PAPER.items() if k != "em-tdamp"}, last)
    for case in (BOSTON, BOSTON_THEIRS):
        curve(above, study, case, case.label)
    for case in BOSTON_HALF:
        curve(below, study, case, case.label)
    for ax in (above, below):
        ax.set(ylabel="NMSE", ylim=(0.09, 1.2), yscale="log")
        ax.set_yticks([0.1, 0.2, 0.3, 0.5, 1], ["0.1", "0.2", "0.3", "0.5", "1"])
    ticks = [1, 10, 100]
    axes_of_rounds(above, ticks, "All neurons; markers: the paper's figure")
    axes_of_rounds(below, ticks, "Half of the neurons; markers: the paper's rivals")
    below.set_xlabel("rounds")


def boston_table(study: Study) -> pd.DataFrame:
    """Boston at the end: NMSE and likelihood."""
    rows = []
    for case in filter(study.has, (BOSTON, BOSTON_THEIRS, *BOSTON_HALF)):
        runs = study.of(case)
        names = [f"nll_split_{k}" for k in range(int(runs["splits"].iloc[0]))]
        rows.append(
            {
                "Method": case.label,
                "Kept, %": f"{case.kept:g}",
                "NMSE": "{:.3f} ± {:.3f}".format(*nmse(study, case)),
                "NLL": spread(runs[names].to_numpy(float).mean(axis=0), 3),
                "MB": f"{study.last(case, 'bytes').mean() / 1e6:.1f}",
            }
        )
    return pd.DataFrame(rows or [{"Method": "not run"}])
