"""Page federated-run: one federated method on MNIST, the template of a sweep."""

from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from emtdamp.study import federations, plots

SCORES = ("error", "nll", "bytes")


def results(curve: pd.DataFrame) -> dict[str, float]:
    """What a sweep records: each score by round, bytes summed up."""
    return {
        f"{name}_{number}": float(value)
        for name in SCORES
        for number, value in curve[name].to_dict().items()
    }


def figure(curve: pd.DataFrame, method: str) -> None:
    """Test error by round."""
    (ax,) = plots.panels(1, height=3.6)
    colour = plots.COLOURS[federations.COLOURED[method]]
    ax.plot(curve.index, 100 * curve["error"], "o-", color=colour)
    ax.set(xlabel="rounds", ylabel="test error, %")
    ax.set_ylim(0, None)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def numbers(curve: pd.DataFrame, method: str) -> dict[str, Any]:
    """What the text quotes."""
    last = curve.iloc[-1]
    return {
        "method": federations.LABELS[method],
        "error": f"{last['error']:.2%}",
        "nll": f"{last['nll']:.3f}",
        "megabytes": f"{last['bytes'] / 1e6:.1f}",
    }


def settings() -> pd.DataFrame:
    """All settings of federated averaging that were tried, and what they did."""
    return pd.DataFrame(
        {
            "Rows": row["partition"],
            "Passes": row["passes"],
            "Kept, %": row["kept"],
            "Method": row["method"],
            "Inputs": "standardised" if row["standardize"] == "True" else "as they are",
            "Error, %": f"{100 * float(row['error']):.2f}",
            "NLL": f"{float(row['nll']):.3f}",
        }
        for row in federations.table()
    )
