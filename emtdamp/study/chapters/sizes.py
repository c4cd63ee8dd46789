"""The page `sizes`: how small the network may be, from the study of sizes and that of groups."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from emtdamp.study import claims, contests, headlines, pages, plots, runs
from emtdamp.study.methods import METHODS, label

Score = Literal["error", "nll"]
CASE = ["update", "input_sparsity", "train_size", "neurons"]
NEURONS = (13, 32, 64, 128)
GOALS = {  # of each case, images and neurons: (required, aim) of test error and NLL
    (10_000, 128): ((0.040, 0.035), (0.132, 0.118)),
    (10_000, 64): ((0.040, 0.035), (0.131, 0.118)),
    (10_000, 32): ((0.043, 0.038), (0.142, 0.128)),
    (10_000, 13): ((0.069, 0.060), (0.235, 0.205)),
    (60_000, 128): ((0.018, 0.015), (0.059, 0.052)),
    (60_000, 64): ((0.019, 0.016), (0.061, 0.054)),
    (60_000, 32): ((0.0225, 0.019), (0.077, 0.066)),
    (60_000, 13): ((0.045, 0.040), (0.158, 0.138)),
}
NAMES: dict[Score, str] = {"error": "test error", "nll": "negative log-likelihood"}
BAYES = "Bayes by Backprop"
# told apart in the figures
CLOSE = ("paper", "magnitude", "group lasso", "gradual", "bayes by backprop")
PASSES = {  # of the figure by pass: method, form, column's prefix
    "EM-TDAMP": ("em-tdamp", "decoupled", ""),
    "window form": ("em-tdamp, window", "window", ""),
    "Adam, default": ("adam", "decoupled", "adam_"),
    "Adam, 0.005": ("adam, 0.005", "decoupled", "cosine_"),
}
HELD_OUT = {"10000_32": "R 32", "10000_13": "R 13", "50000_128": "F 128", "50000_13": "F 13"}


def load() -> Any:
    """The study of sizes, a row a case and seed, with a column of the test error."""
    study = pages.study("mnist-sizes").rename(columns={"active_neurons": "neurons"})
    return study.astype({"neurons": int}).assign(error=1 - study["accuracy"])


def of(study: Any, images: int, neurons: int, pixels: float = 0.0, form: str = "decoupled") -> Any:
    """Rows of one case, a row a seed; `pixels`: the fraction pruned."""
    return (
        study.set_index(CASE).sort_index().loc[(form, pixels, images, neurons)].sort_values("seed")
    )


def strongest(score: Score, images: int, neurons: int) -> tuple[str, float]:
    """The best of what other programs gave: method and score."""
    known: Any = contests.known()
    some = known[(known["images"] == images) & (known["neurons"] == neurons)].assign(
        error=lambda t: 1 - t["accuracy"]
    )
    row = some.loc[some[score].idxmin()]
    return str(row["method"]), float(row[score])


def beside(study: Any, score: Score, images: int, neurons: int) -> claims.Standing:
    """How EM-TDAMP stands beside the strongest of others' programs."""
    best = strongest(score, images, neurons)[1]
    return pages.compare_to_number(of(study, images, neurons)[score], best).standing


# Figures.


def error_by_size(ax: Axes | None = None, score: Score = "error") -> Axes:
    """Error (or nll) of every method against the hidden neurons left, 60,000 images, ten passes.

    EM-TDAMP thick; Bayes by Backprop of another program as open markers; the rest grey, of which
    what prunes only after the training leaves the picture.
    """
    ax = ax or plots.panels(1, height=4.2)[0]
    ends = _ends(score)
    for method, curve in ends.items():
        told = method in CLOSE
        look: dict[str, Any] = {"color": "0.72", "lw": 1.2, "label": "_"}
        if told:
            look = {"color": plots.COLOURS[method], "lw": 1.6, "label": _short(method)}
        if method == "em-tdamp":
            look = {"color": plots.COLOURS[method], "lw": 3.5, "label": "EM-TDAMP", "zorder": 4}
        ax.plot(curve.index, curve, **look)
    known = _bayes(score)
    _open(ax, known, at=32, shift=(-8, -15), ha="right", text="another\nprogram")
    top = {"error": 0.1, "nll": 0.4}[score]
    ax.set(yscale="log", ylim=(0.9 * known.min(), top), ylabel=NAMES[score])
    ticks = {"error": [0.02, 0.03, 0.05, 0.1], "nll": [0.06, 0.1, 0.2, 0.4]}[score]
    form = "{:.0%}" if score == "error" else "{:g}"
    ax.set_yticks(ticks, [form.format(tick) for tick in ticks])
    ax.minorticks_off()
    _neurons(ax)
    for method, place in {"adam": "Adam", "adam, best": "Adam, tuned", "amp": "AMP"}.items():
        curve = ends[method]
        inside = curve[curve < top]
        if len(inside):  # named where it leaves the picture
            ax.annotate(
                place, (inside.index[0], inside.iloc[0]), xytext=(4, 0), color="0.4",
                textcoords="offset points", fontsize="small", va="bottom",
            )  # fmt: skip
    return plots.end_labels(ax)


def behind_by_size(ax: Axes | None = None, score: Score = "error") -> Axes:
    """What the other methods have more than EM-TDAMP at the same size; above zero it is ahead.

    The band is two standard errors of EM-TDAMP's mean.
    """
    ax = ax or plots.panels(1, height=3.6)[0]
    ends, scale = _ends(score), 100 if score == "error" else 1
    ours, around = ends["em-tdamp"], _ends(score, "sem")["em-tdamp"]
    colour = plots.COLOURS["em-tdamp"]
    ax.fill_between(
        ours.index, -2 * scale * around, 2 * scale * around, color=colour, alpha=0.25, lw=0
    )
    ax.plot(ours.index, 0 * ours, color=colour, lw=3.5, label="EM-TDAMP")
    for method in ("group snip", *CLOSE):
        gap = scale * (ends[method] - ours)
        look = {"color": plots.COLOURS[method], "lw": 1.6, "label": _short(method)}
        ax.plot(gap.index, gap, **look if method in CLOSE else {"color": "0.8", "lw": 1.2})
    known, same = _bayes(score), load()
    gap = known - [of(same, 60_000, int(neurons))[score].mean() for neurons in known.index]
    _open(ax, scale * gap, at=13, shift=(10, 0), ha="left")
    ax.set(ylabel="error above EM-TDAMP, points" if score == "error" else "nats above EM-TDAMP")
    _neurons(ax)
    return plots.end_labels(ax)


def picture() -> None:
    """Error against size, and the same as differences from EM-TDAMP."""
    top, bottom = plots.panels(2, height=3.9)
    error_by_size(top)
    behind_by_size(bottom)


def likelihoods() -> None:
    """The same differences in negative log-likelihood."""
    behind_by_size(score="nll")


def dense_networks(study: Any) -> None:
    """Test error beside dense networks that have as few neurons from the start."""
    for ax, images in zip(plots.panels(2, height=3.4), (60_000, 10_000), strict=True):
        cases = [of(study, images, neurons) for neurons in NEURONS]
        for method, column in {
            "em-tdamp": "error",
            "adam, 0.005": "cosine_error_10",
            "adam": "adam_error_10",
        }.items():
            mean = [rows[column].mean() for rows in cases]
            se = [rows[column].sem() for rows in cases]
            name = "EM-TDAMP, pruned" if method == "em-tdamp" else f"dense, {label(method)}"
            colour = plots.COLOURS[method]
            ax.errorbar(NEURONS, mean, se, color=colour, marker="o", capsize=3, label="_")
            ax.plot(NEURONS, mean, color=colour, label=name.replace(", Keras", ""))
        ax.set(title=f"{images:,} images", ylabel="test error", yscale="log")
        ticks = [0.02, 0.03, 0.05, 0.08]
        ax.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
        ax.minorticks_off()
        _neurons(ax)
        ax.set_xlabel("hidden neurons")
        plots.end_labels(ax)


def by_pass(study: Any) -> None:
    """Test error after each pass over 60,000 images: both forms of EM-TDAMP and Adam."""
    ax = plots.panels(1, height=3.8)[0]
    passes = np.arange(1, 11)
    for name, (method, form, prefix) in PASSES.items():
        rows = of(study, 60_000, 128, form=form)[[f"{prefix}error_{k}" for k in passes]]
        colour, thick = plots.COLOURS[method], 3.0 if method == "em-tdamp" else 1.6
        ax.plot(passes, rows.mean().to_numpy(), color=colour, lw=thick, label=name)
        low, high = rows.mean() - rows.sem(), rows.mean() + rows.sem()
        ax.fill_between(passes, low.to_numpy(), high.to_numpy(), color=colour, alpha=0.2, lw=0)
    ax.set(yscale="log", xlabel="passes over the training images", ylabel="test error")
    ax.set_xticks(passes)
    ticks = [0.02, 0.03, 0.05]
    ax.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
    ax.minorticks_off()
    plots.end_labels(ax)


def pixel_kinds(task: runs.Task, run: runs.Result) -> np.ndarray:
    """(28, 28): 0 where a pixel never varies in the training images, 1 pruned, 2 kept."""
    kinds = np.zeros(784)
    kinds[np.ptp(task.x, axis=0) > 0] = 1
    kinds[run.posterior.kept_inputs] = 2
    return kinds.reshape(28, 28)


def pixels(task: runs.Task, run: runs.Result) -> None:
    """The mean digit beside the map of pixels."""
    _, (left, right) = plt.subplots(1, 2, figsize=(plots.WIDTH, 3.5))
    left.imshow(task.x.mean(axis=0).reshape(28, 28), cmap="Greys")
    left.set_title("mean image", fontsize="medium")
    right.imshow(pixel_kinds(task, run), cmap=ListedColormap(["1", "0.75", "0.1"]))
    right.set_title("kept, pruned, constant", fontsize="medium")
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)


def free_number(free: runs.Result) -> None:
    """Neurons by iteration where EM finds their number, and the activities at the end."""
    top, bottom = plots.panels(2)
    top.plot(free.history["active_neurons"], color=plots.COLOURS["em-tdamp"], lw=2.5)
    top.set(ylim=(0, 135), xlabel="EM iteration", ylabel="active neurons of 128")
    bottom.hist(free.rho, bins=41, range=(0, 1), color=plots.COLOURS["em-tdamp"])
    bottom.axvline(0.5, color=plots.COLOURS["reported"], ls="--", lw=1)
    bottom.set(xlabel="posterior activity of the group", ylabel="neurons")


# Tables.


def scores(study: Any) -> pd.DataFrame:
    """Test scores of every case, a row each."""
    rows = []
    for case, each in study.groupby(CASE, sort=False):
        form, _, images, neurons = case
        left = f"{each['kept_inputs'].iloc[0]:.0f}-{neurons}-10" + ", window" * (form == "window")
        rows.append(
            {
                "Images": f"{images:,}",
                "Network left": left.replace("-", "\N{NON-BREAKING HYPHEN}"),
                "Weights": f"{each['parameters'].mean():,.0f}",
                "Accuracy, %": _shown(100 * each["accuracy"], 2),
                "NLL": _shown(each["nll"], 4),
                "ECE": _shown(each["ece"], 4),
            }
        )
    return pd.DataFrame(rows)


def beside_others(study: Any) -> pd.DataFrame:
    """EM-TDAMP and the strongest of others' programs, a row a case."""
    rows = []
    for images, neurons in GOALS:
        ours = of(study, images, neurons)
        error, nll = strongest("error", images, neurons), strongest("nll", images, neurons)
        rows.append(
            {
                "Images": f"{images:,}",
                "Neurons": neurons,
                "Error, %": _shown(100 * ours["error"], 2),
                "Best other, %": f"{100 * error[1]:.2f}",
                "By error": beside(study, "error", images, neurons),
                "NLL": _shown(ours["nll"], 4),
                "Best other": f"{nll[1]:.3f}",
                "By NLL": beside(study, "nll", images, neurons),
            }
        )
    return pd.DataFrame(rows)


def settings_tried() -> tuple[pd.DataFrame, dict[str, int]]:
    """What one changed setting gives on held-out images, and how many of them help."""
    tried: Any = pages.study("mnist-choices").set_index(["setting", "seed"])
    nll = tried[[f"nll_{case}" for case in HELD_OUT]].set_axis([*HELD_OUT.values()], axis=1)
    base = nll.loc["defaults"]
    away = (
        nll.sub(base, level="seed").drop("defaults", level="setting").groupby("setting", sort=False)
    )
    change, around = away.mean(), away.sem()
    rows = [{"Setting": "defaults"} | {case: _shown(base[case], 4) for case in base}]
    for name in change.index:
        cells = {c: f"{change.loc[name, c]:+.4f} ± {around.loc[name, c]:.4f}" for c in change}
        rows.append({"Setting": name} | cells)
    better = (change + 2 * around < 0).any(axis=1)
    return pd.DataFrame(rows), {
        "tried": len(change),
        "tried_seeds": len(base),
        "tried_better": int(better.sum()),
        "tried_without_harm": int((better & (change < 2 * around).all(axis=1)).sum()),
    }


# Numbers in the text, and claims.


def in_text(study: Any) -> dict[str, claims.Scalar]:
    """What the text quotes of the study."""
    full, pixels = of(study, 60_000, 64), of(study, 60_000, 64, pixels=0.5)
    found: dict[str, claims.Scalar] = {
        f"accuracy_{neurons}": f"{of(study, 60_000, neurons)['accuracy'].mean():.2%}"
        for neurons in NEURONS
    }
    found |= {
        "seeds": int(study.groupby(CASE).size().max()),
        "small": _change(of(study, 10_000, 32), of(study, 10_000, 128)),
        "large": _change(of(study, 60_000, 32), of(study, 60_000, 128)),
        "pixels": _change(pixels, full),
        "seconds": f"{of(study, 60_000, 128)['training_seconds'].mean():.0f}",
        "device": str(study["device"].iloc[0]),
        "given": f"{of(study, 10_000, 64)['accuracy'].mean():.2%}",
        "given_nll": f"{of(study, 10_000, 64)['nll'].mean():.3f}",
    }
    for score, name in {"error": "accuracy", "nll": "nll"}.items():
        standings = [beside(study, score, *case) for case in GOALS]  # pyright: ignore
        for word in ("ahead", "level", "behind"):
            found[f"{word}_{name}"] = standings.count(word)
    found["ours_bayes"] = bayes_by_backprop()
    for short, (_, form, prefix) in zip(
        ("ours", "window", "keras", "cosine"), PASSES.values(), strict=True
    ):
        rows = of(study, 60_000, 128, form=form)
        found[f"{short}_first"] = f"{rows[f'{prefix}error_1'].mean():.2%}"
        found[f"{short}_end"] = f"{rows[f'{prefix}error_10'].mean():.2%}"
    return found


def inner(task: runs.Task, run: runs.Result) -> dict[str, claims.Scalar]:
    """Share of the kept and of the pruned pixels that lie in the middle 20 x 20."""
    kinds = pixel_kinds(task, run)
    middle = kinds[4:24, 4:24]
    return {
        name: f"{(middle == kind).sum() / max((kinds == kind).sum(), 1):.0%}"
        for name, kind in {"inner_kept": 2, "inner_pruned": 1}.items()
    }


def bayes_by_backprop() -> str:
    """How the error stands beside Bayes by Backprop, at how many shares of the hidden neurons."""
    study: Any = pages.study("mnist-groups")
    study = study[study["groups"] == "hidden"]
    return headlines.at_sizes(
        contests.against(study, f"error_at_{k}", "em-tdamp", ["bayes by backprop"])
        for k in study["levels"].iloc[0].split()
    )


def _shown(each: Any, digits: int) -> str:
    return f"{each.mean():.{digits}f} ± {each.sem():.{digits}f}"


def _ends(score: Score, what: str = "mean") -> dict[str, Any]:
    """Of the study of groups, hidden neurons pruned: a curve over neurons left by method."""
    study: Any = pages.study("mnist-groups")
    study = study[study["groups"] == "hidden"]
    kept = study["levels"].iloc[0].split()
    found = {}
    for method in [name for name in METHODS if name in set(study["method"])]:
        rows = study[study["method"] == method]
        neurons = rows[[f"neurons_at_{k}" for k in kept]].iloc[0].astype(int)
        values = rows[[f"{score}_at_{k}" for k in kept]].agg(what)
        found[method] = pd.Series(values.to_numpy(), index=pd.Index(neurons.to_numpy()))
    return found


def _bayes(score: Score) -> Any:
    """Bayes by Backprop by neurons, 60,000 images; read from others' notes."""
    known: Any = contests.known()
    some = known[(known["method"] == BAYES) & (known["images"] == 60_000)]
    return some.assign(error=1 - some["accuracy"]).set_index("neurons")[score]


def _open(
    ax: Axes, points: Any, at: int, shift: tuple[int, int], ha: str, text: str = "another program"
) -> None:
    """Bayes by Backprop of others as open markers, named beside the one at so many neurons."""
    colour = plots.COLOURS["bayes by backprop"]
    look: dict[str, Any] = {"marker": "D", "ms": 8, "mfc": "white", "mec": colour, "mew": 1.8}
    ax.plot(points.index, points, ls="none", label="_", zorder=5, **look)
    ax.annotate(
        text, (at, points[at]), xytext=shift, textcoords="offset points",
        fontsize="small", color=colour, ha=ha, va="center",
    )  # fmt: skip


def _short(method: str) -> str:
    return "paper's form" if method == "paper" else label(method)


def _neurons(ax: Axes) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(NEURONS, [str(n) for n in NEURONS])
    ax.minorticks_off()
    ax.set_xlabel("hidden neurons left of 128")


def _change(one: Any, other: Any) -> str:
    """Points of accuracy that one has more, paired: the same starts and minibatches."""
    by, around = pages.compare(one["accuracy"], other["accuracy"], paired=True, more_is_better=True)
    return f"{100 * by:+.2f} ± {100 * around:.2f}".replace("-", "\N{MINUS SIGN}")
