"""The page `boston-run`: one method on the splits of Boston housing, the template of a sweep."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd

from emtdamp.baselines import choose
from emtdamp.errors import UsageError
from emtdamp.study import contests, methods, plots, runs
from emtdamp.study.chapters import mnist_run


class Run(NamedTuple):
    """What the page was run with."""

    method: str
    splits: int
    rounds: int
    followed: float
    levels: str
    groups: contests.Groups
    seed: int


def settings() -> pd.DataFrame:
    """The baselines' settings, and how many were tried."""
    tried: Any = pd.DataFrame(choose.table())
    tried = tried[tried["data"] == "boston"]["method"].str.partition("(")[0]
    rows = []
    for name, kind in contests.tuned().items():
        found: Any = choose.best("boston", kind, 220).method
        rows.append(
            {
                "Method": "Adam" if name == "adam, best" else methods.label(name),
                "Rate": f"{found.rate:g}",
                "Schedule": found.schedule,
                "Other settings": mnist_run.others(found),
                "Tried": int((tried == kind.__name__).sum()),
            }
        )
    return pd.DataFrame(rows)


def train(run: Run) -> tuple[dict[str, float], pd.Series | None]:
    """Results by name, and the NMSE round by round if it is followed."""
    if run.groups not in ("hidden", "inputs and hidden"):
        raise UsageError(f"groups={run.groups!r}; use hidden, or inputs and hidden")
    tasks = [runs.boston(split) for split in range(run.splits)]
    worst = sum(float(((task.y_test - task.y.mean()) ** 2).sum()) for task in tasks)
    percentages = [float(text) for text in run.levels.split()]
    results: dict[str, float] = {}
    curves = []
    for split, task in enumerate(tasks):
        if run.followed:
            how = (run.rounds, run.followed, run.groups, run.seed)
            curves.append(contests.curve(contests.model(run.method, task, *how), task))
        ends = contests.levels(run.method, task, run.rounds, percentages, run.groups, run.seed)
        for kept, row in zip(percentages, ends.to_dict("records"), strict=True):
            results[f"squares_at_{kept:g}_split_{split}"] = row["squares"]
    curve: Any = None
    if curves:
        curve = sum(found["squares"] for found in curves) / worst
        shown = curve[(curve.index <= 10) | (curve.index % 5 == 0)]
        results |= {f"nmse_{k}": float(value) for k, value in shown.items()}
    for kept in percentages:
        squares = [results[f"squares_at_{kept:g}_split_{k}"] for k in range(run.splits)]
        results[f"nmse_at_{kept:g}"] = sum(squares) / worst
    return results, curve


def draw(curve: pd.Series | None, method: str) -> None:
    """The NMSE round by round."""
    if curve is None:
        return
    ax = plots.panels(1, 3.4)[0]
    ax.plot(curve.index, curve, color=plots.COLOURS[method])
    ax.set(xlabel="passes over the training rows", ylabel="NMSE", ylim=(0, 1))
    plt.show()


def in_text(run: Run, results: dict[str, float], curve: pd.Series | None) -> dict[str, str | int]:
    """Numbers of the text."""
    kept = f"{run.followed or float(run.levels.split()[-1]):g}"
    end = results[f"nmse_at_{kept}"] if curve is None else curve.iloc[-1]
    return {
        "method": methods.label(run.method),
        "kept": kept,
        "splits": run.splits,
        "rounds": run.rounds,
        "nmse": f"{end:.3f}",
    }
