"""Page federated-run: one federated method on MNIST or Boston, the template of a sweep."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from emtdamp.errors import UsageError
from emtdamp.study import contests, federated_settings, federations, methods, plots, runs

SCORES = ("error", "nll", "bytes")
DATA = {"mnist": "MNIST", "boston": "Boston"}
DEALT = {"iid": "evenly", "dirichlet:0.3": "by label"}


class Run(NamedTuple):
    """What the page was run with."""

    data: str
    method: str
    train_size: int
    splits: int
    clients: int
    partition: str
    rounds: int
    passes: int
    kept: float
    seed: int


def train(run: Run) -> tuple[pd.DataFrame, dict[str, float]]:
    """`federations.curve`, and what the last round did on each split of Boston.

    On Boston the error is the NMSE pooled over the splits, and the others are means; split k has
    the seed `seed` + k. Raises UsageError for other data.
    """
    if run.data not in federations.CLIENTS:
        raise UsageError(f"data={run.data!r}; give mnist or boston")
    if run.data == "mnist":
        return _curve(run, runs.mnist(run.train_size), run.seed), {}
    if run.splits < 1:
        raise UsageError(f"splits={run.splits}; give 1 to 20")
    tasks = [runs.boston(split) for split in range(run.splits)]
    curves = [_curve(run, task, run.seed + split) for split, task in enumerate(tasks)]
    worst = [float(((task.y_test - task.y.mean()) ** 2).sum()) for task in tasks]
    ends = {}
    for split, found in enumerate(curves):
        last = found.iloc[-1]
        ends[f"squares_split_{split}"] = worst[split] * float(last["error"])
        ends[f"nll_split_{split}"] = float(last["nll"])
    scores = np.array([found[list(SCORES)].to_numpy() for found in curves])
    pooled = pd.DataFrame(scores.mean(axis=0), curves[0].index, pd.Index(SCORES))
    pooled["error"] = np.average(scores[:, :, 0], axis=0, weights=worst)
    return pooled, ends


def _curve(run: Run, task: runs.Task, seed: int) -> pd.DataFrame:
    how = run.partition, run.clients, run.rounds, run.passes, run.kept, seed
    return federations.curve(run.method, task, *how)


def results(curve: pd.DataFrame, ends: dict[str, float]) -> dict[str, float]:
    """What a sweep records: each score by round, the tenths only after ten; bytes summed up."""
    shown: Any = curve[(curve.index <= 10) | (curve.index % 10 == 0)]
    return {
        f"{name}_{number}": float(value)
        for name in SCORES
        for number, value in shown[name].to_dict().items()
    } | ends


def figure(curve: pd.DataFrame, run: Run) -> None:
    """Test error by round."""
    (ax,) = plots.panels(1, height=3.6)
    colour = plots.COLOURS[federations.COLOURED[run.method]]
    share = run.data == "mnist"
    ax.plot(curve.index, curve["error"] * (100 if share else 1), "o-", ms=4, color=colour)
    ax.set(xlabel="rounds", ylabel="test error, %" if share else "test NMSE")
    if not share:
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, None)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def numbers(curve: pd.DataFrame, run: Run) -> dict[str, Any]:
    """What the text quotes."""
    last = curve.iloc[-1]
    if run.data == "mnist":
        error = f"it classifies {last['error']:.2%} of the test images wrongly"
    else:
        error = f"its NMSE, pooled over {run.splits} splits, is {last['error']:.3f}"
    return {
        "method": federations.LABELS[run.method],
        "rounds": run.rounds,
        "clients": run.clients,
        "error": error,
        "nll": f"{last['nll']:.3f}",
        "megabytes": f"{last['bytes'] / 1e6:.1f}",
    }


def settings() -> pd.DataFrame:
    """All settings of federated averaging that were tried, and what they did."""
    return pd.DataFrame(
        {
            "Data": DATA[row["data"]],
            "Rows": DEALT[row["partition"]],
            "Passes": row["passes"],
            "Kept, %": row["kept"],
            "Method": _in_words(row["method"])
            + ("" if row["rule"] == "mean" else f", {row['rule']} mean"),
            "Server's momentum": row["momentum"],
            "Inputs": "standardised" if row["standardize"] == "True" else "as they are",
            "Error": _error(row["data"], row["error"]),
            "NLL": f"{float(row['nll']):.3f}" if row["nll"] else "",
        }
        for row in federations.table()
    )


def _error(data: str, error: str) -> str:
    return f"{100 * float(error):.2f} %" if data == "mnist" else f"{float(error):.3f}"


def _in_words(method: str) -> str:
    """A method as its settings print it, with the name that the book gives it.

    >>> _in_words("Adam(rate=0.01, schedule='cosine')")
    'Adam, rate 0.01, schedule cosine'
    """
    kind, _, given = method.rstrip(")").partition("(")
    names = {kind.__name__: methods.label(name) for name, kind in contests.tuned().items()}
    name = (names | {"Adam": "Adam"})[kind]
    return f"{name}, {given}".replace("=", " ").replace("_", " ").replace("'", "")


def own_settings() -> pd.DataFrame:
    """EM-TDAMP's constants over clients: those used, and each changed alone."""
    return pd.DataFrame(
        {
            "Data": DATA[row["data"]],
            "Rows": DEALT[row["partition"]],
            "Kept, %": row["kept"],
            "Changed": row["change"] or "nothing",
            "Seed": row["seed"],
            "Round 1": _error(row["data"], row["error_first"]),
            "Half-way": _error(row["data"], row["error_half"]),
            "End": _error(row["data"], row["error"]),
            "NLL": f"{float(row['nll']):.3f}",
        }
        for row in federated_settings.table()
    )
