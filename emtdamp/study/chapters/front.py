"""The front page: one picture, and a small one for each chapter of evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from emtdamp.study import methods, pages, plots
from emtdamp.study.chapters import sizes

GREY = "0.7"


def picture() -> None:
    """Test error against the hidden neurons left, all methods."""
    sizes.error_by_size(plots.panels(1, height=3.4)[0])
    plt.show()


def thumbnails() -> None:
    """Write the chapters' small pictures, ``_generated/thumbnail-NAME.png``."""
    plots.use_style()
    pages.GENERATED.mkdir(exist_ok=True)
    for name, draw in THUMBNAILS.items():
        figure, ax = plt.subplots(figsize=(3.2, 2.2))
        draw(ax)
        ax.set_yticks([])
        ax.minorticks_off()
        ax.grid(visible=False)
        figure.savefig(pages.GENERATED / f"thumbnail-{name}.png", dpi=120)
        plt.close(figure)


def _by_size(ax: Axes) -> None:
    """Error by hidden neurons left."""
    study: Any = pages.study("mnist-groups")
    mean = study[study["groups"] == "hidden"].groupby("method").mean(numeric_only=True)
    kept = study["levels"].iloc[0].split()
    for method, row in mean.iterrows():
        neurons = row[[f"neurons_at_{k}" for k in kept]]
        _line(ax, neurons, row[[f"error_at_{k}" for k in kept]], str(method))
    ax.set(xscale="log", yscale="log", ylim=(0.015, 0.1), xlabel="neurons left", ylabel="error")
    ax.set_xticks([13, 128], ["13", "128"])


def _seconds(ax: Axes) -> None:
    """Seconds of a pass, minibatches of 100, beside two ways to run Adam."""
    study: Any = pages.study("speed").query("batch == 100").set_index("what")
    adam = {"Adam, Keras": study.loc["keras"], "Adam, one loop": study.loc["xla"]}
    ax.barh(["EM-TDAMP"], [study.loc["keras", "seconds"]], color=plots.COLOURS["em-tdamp"])
    ax.barh([*adam], [row["against"] for row in adam.values()], color=GREY)
    for place, name in enumerate(["EM-TDAMP", *adam]):
        ax.text(0.003, place, name, va="center")
    ax.set(xlabel="seconds a pass", xticks=[0])


def _by_pass(ax: Axes) -> None:
    """Error by pass, everything kept."""
    study: Any = pages.study("mnist-rounds")
    study = study[study["followed"] == 100]
    names = [name for name in study if name.startswith("error_")]
    mean = study.groupby("method")[names].mean().dropna(axis=1)
    passes = [int(name.removeprefix("error_")) for name in mean]
    for method, curve in mean.iterrows():
        _line(ax, passes, curve, str(method))
    ax.set(xscale="log", yscale="log", ylim=(0.015, 0.08), xlabel="passes", ylabel="error")
    ax.set_xticks([1, passes[-1]], ["1", str(passes[-1])])


def _prices(ax: Axes) -> None:
    """Error of house prices by neurons left."""
    study: Any = pages.study("boston-methods")
    ends = study[(study["followed"] == 0) & (study["groups"] == "hidden")].set_index("method")
    kept = [int(text) for text in ends["levels"].iloc[0].split()]
    for method in ("em-tdamp", *methods.rivals(ends.index)):
        _line(ax, kept, ends.loc[method, [f"nmse_at_{k}" for k in kept]], method)
    ax.set(ylim=(0.1, 0.2), xlabel="neurons left, %", ylabel="error")
    ax.set_xticks([10, 100], ["10", "100"])


def _line(ax: Axes, x: Any, y: Any, method: str) -> None:
    ours = method == "em-tdamp"
    look: Any = {"color": plots.COLOURS[method] if ours else GREY, "lw": 3.5 if ours else 1}
    ax.plot(x, y, zorder=3 if ours else 2, **look)


THUMBNAILS: dict[str, Callable[[Axes], None]] = {
    "sizes": _by_size,
    "seconds": _seconds,
    "passes": _by_pass,
    "prices": _prices,
}
