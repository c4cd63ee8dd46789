"""Page depth: two hidden layers pruned to what published networks keep."""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from emtdamp.study import pages, plots

# Inputs and neurons left, and test error in percent, as printed.
PUBLISHED = {
    "information bottleneck": ((97, 71, 33), 1.6),
    "L0 gates": ((266, 88, 33), 1.6),
    "Bayesian pruning": ((245, 160, 55), 1.6),
    "RigL": ((408, 100, 69), 1.44),
    "network slimming": ((784, 100, 60), 1.49),
}
LONG = {  # where the short name would not do
    "information bottleneck": "variational information bottleneck",
    "Bayesian pruning": "structured Bayesian pruning",
}
GOALS = {"215 90 30": (0.018, 0.015), "97 71 33": (0.021, 0.016)}  # required, and the aim


def parameters(inputs: int, first: int, second: int) -> int:
    """Weights and biases of such a network.

    >>> parameters(97, 71, 33)
    9674
    """
    return (inputs + 1) * first + (first + 1) * second + (second + 1) * 10


@dataclass(frozen=True)
class Sizes:
    """The committed study, and its means and standard errors by what is left."""

    runs: Any
    mean: Any
    sem: Any


def read() -> Sizes:
    """The committed study."""
    runs = pages.study("mnist-depth")
    by_size = runs.groupby("kept", sort=False)[["error", "nll", "parameters"]]
    return Sizes(runs, by_size.mean(), by_size.sem())


def figure(sizes: Sizes) -> None:
    """Test error against what is left: published open, ours full."""
    ax = plots.panels(1, height=4.0)[0]
    below = ("L0 gates", "RigL")
    for method, (left, percent) in PUBLISHED.items():
        at = parameters(*left), percent
        ax.plot(*at, "o", mfc="none", ms=7, color="0.35")
        shift = (0, -14) if method in below else (0, 11)
        _say(ax, method, at, shift, "0.35")
    colour = plots.COLOURS["em-tdamp"]
    for kept in sizes.mean.index:
        at = sizes.mean["parameters"][kept], 100 * sizes.mean["error"][kept]
        ax.errorbar(*at, 100 * sizes.sem["error"][kept], fmt="s", color=colour)
        _say(ax, f"EM-TDAMP, {kept.replace(' ', '-')}", at, (10, 0), colour)
    ax.set(xscale="log", xlabel="weights and biases left", ylabel="test error, %")
    ax.set(xlim=(5e3, 2e5), ylim=(1.2, 2.6))
    ax.set_xticks([1e4, 3e4, 1e5], ["10,000", "30,000", "100,000"])
    ax.minorticks_off()
    plt.show()


def _say(ax: Any, text: str, at: tuple[float, float], shift: tuple[int, int], colour: str) -> None:
    side = "left" if shift[1] == 0 else "center"
    how = {"ha": side, "va": "center", "fontsize": "small", "color": colour}
    ax.annotate(text, at, shift, textcoords="offset points", **how)


def table(sizes: Sizes) -> pd.DataFrame:
    """A row a network: what is left of it, and its scores; published ones first."""
    rows = [
        {
            "Method": LONG.get(method, method),
            "Network left": "-".join(map(str, left)),
            "Parameters": f"{parameters(*left):,}",
            "Error, %": f"{percent:g}",
            "NLL": "",
        }
        for method, (left, percent) in PUBLISHED.items()
    ]
    mean, sem = sizes.mean, sizes.sem
    rows += [
        {
            "Method": "EM-TDAMP",
            "Network left": left.replace(" ", "-"),
            "Parameters": f"{mean['parameters'][left]:,.0f}",
            "Error, %": f"{100 * mean['error'][left]:.2f} ± {100 * sem['error'][left]:.2f}",
            "NLL": f"{mean['nll'][left]:.3f} ± {sem['nll'][left]:.3f}",
        }
        for left in mean.index
    ]
    return pd.DataFrame(rows)


def numbers(sizes: Sizes) -> dict[str, Any]:
    """What the text quotes."""
    return {
        "parameters": f"{sizes.mean['parameters']['97 71 33']:,.0f}",
        "small": f"{sizes.mean['error']['97 71 33']:.2%}",
        "middle": f"{sizes.mean['error']['215 90 30']:.2%}",
        "seeds": int(sizes.runs["seed"].nunique()),
    }


def claims(sizes: Sizes) -> list[pages.Claim]:
    """What is asked of both sizes."""
    found = []
    for left, (required, aim) in GOALS.items():
        error = sizes.runs[sizes.runs["kept"] == left]["error"]
        found += [
            pages.goal(
                f"MNIST, 784-300-100-10 pruned to {left.replace(' ', '-')}: test error",
                required=required,
                aim=aim,
                ours=float(error.mean()),
                sd=float(error.std()),
                n=len(error),
            )
        ]
    return found


def shown(found: dict[str, Any]) -> pd.DataFrame:
    """The live run as the page shows it."""
    row = {
        "Network left": found["left"],
        "Parameters": f"{found['parameters']:,}",
        "Test error, %": f"{100 * found['error']:.2f}",
        "NLL": f"{found['nll']:.3f}",
    }
    return pd.DataFrame([row], index=pd.Index(["this run"]))
