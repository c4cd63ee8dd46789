"""Page mnist-run: one method on MNIST, the template of two sweeps; and the baselines' settings."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from emtdamp.baselines import choose
from emtdamp.errors import UsageError
from emtdamp.study import contests, methods, plots, runs

CASES = {  # of the table of settings: its data and epochs
    "10,000 images, 10 passes": ("mnist-10000", 10),
    "60,000 images, 30 passes": ("mnist-50000", 30),
    "60,000 images, 10 passes": ("mnist-50000", 10),
    "the same, inputs pruned, half or more left": ("mnist-50000-inputs-half", 10),
    "the same, inputs pruned, less than half left": ("mnist-50000-inputs", 10),
}


def check(groups: str) -> None:
    """Refuse another text than the page's parameter may be."""
    if groups not in ("hidden", "inputs and hidden"):
        raise UsageError(f"groups={groups!r}; use hidden, or inputs and hidden")


def tried() -> Any:
    """All settings that were tried."""
    found = pd.DataFrame(choose.table())
    return found.assign(method=found["method"].str.partition("(")[0])


def settings() -> pd.DataFrame:
    """A row a method and case: the setting that was best on held-out images."""
    every, rows = tried(), []
    for name, kind in contests.tuned().items():
        for text, (data, epochs) in CASES.items():
            of = every[(every["data"] == data) & (every["epochs"] == str(epochs))]
            count = int((of["method"] == kind.__name__).sum())
            if not count:
                continue
            found, standardize = _best(data, kind, epochs)
            label = "Adam" if name == "adam, best" else methods.label(name)
            rows.append({"Method": label, "For": text, "Rate": f"{found.rate:g}"})
            rows[-1] |= {
                "Schedule": found.schedule,
                "Other settings": others(found),
                "Inputs": "standardised" if standardize else "as they are",
                "Tried": count,
            }
    return pd.DataFrame(rows)


def _best(data: str, kind: type, epochs: int) -> Any:
    return choose.best(data, kind, epochs)


def others(method: Any) -> str:
    """Settings beyond the learning rate's, in words."""
    parts = []
    if hasattr(method, "begin_at"):
        parts.append(f"drops from {method.begin_at:.0%} to {method.end_at:.0%}")
    if hasattr(method, "penalty"):
        parts.append(f"penalty {method.penalty:g}")
    if hasattr(method, "fine_tune"):
        parts.append(f"last {method.fine_tune:.0%} after pruning")
    if hasattr(method, "batches"):
        parts.append(f"{method.batches} minibatches scored")
    if hasattr(method, "kl_weight"):
        parts.append(f"KL times {method.kl_weight:g}, prior sd {method.prior_sd:g}")
    if hasattr(method, "first_curvature"):
        parts.append(f"first curvature {method.first_curvature:g}")
        parts.append(f"prior precision {method.precision:g}")
    return ", ".join(parts)


def run(
    method: str, task: runs.Task, rounds: int, followed: float, percentages: list[float],
    groups: Any, seed: int,
) -> tuple[dict[str, float], Any, Any]:  # fmt: skip
    """What a sweep records; the run followed pass by pass, or None; and the ends by percentage."""
    results: dict[str, float] = {}
    curve = None
    if followed:
        model = contests.model(method, task, rounds, followed, groups, seed)
        curve = contests.curve(model, task)
        for name in ("error", "nll"):
            values = curve[name].to_dict().items()
            results |= {f"{name}_{k}": float(value) for k, value in values}
        results["training_seconds"] = float(sum(curve["seconds"].to_dict().values()))
    ends = contests.levels(method, task, rounds, percentages, groups, seed)
    return results | _by_percentage(ends), curve, ends


def _by_percentage(ends: Any) -> dict[str, float]:
    return {
        f"{name}_at_{kept:g}": value for kept, row in ends.iterrows() for name, value in row.items()
    }


def figure(curve: Any, method: str) -> None:
    """Test error by pass."""
    if curve is None:
        return
    ax = plots.panels(1, height=3.6)[0]
    ax.plot(curve.index, 100 * curve["error"], "o-", color=plots.COLOURS[method])
    ax.set(xlabel="passes over the training images", ylabel="test error, %")
    ax.set_ylim(0, 110 * curve["error"].max())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plt.show()


def numbers(curve: Any, ends: Any, method: str, followed: float) -> dict[str, Any]:
    """What the text quotes."""
    last = curve.iloc[-1] if curve is not None else ends.iloc[-1]
    return {
        "method": methods.label(method),
        "kept": f"{followed or ends.index[-1]:g}",
        "error": f"{last['error']:.2%}",
        "nll": f"{last['nll']:.3f}",
        "tried": int((tried()["data"] != "boston").sum()),
    }
