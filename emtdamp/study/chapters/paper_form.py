"""Page paper-form: the paper's algorithm, left to EM or steered, beside the default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from emtdamp import EMTDAMPClassifier, datasets
from emtdamp.errors import UsageError
from emtdamp.study import contests, pages, plots

HIDDEN = 128
CHANGES: dict[str, dict[str, Any]] = {  # what the page's parameter `setting` may be
    "as it is": {},
    "v held": {"noise": 1.0},
    "slabs held": {"slab": "auto"},
    "wide slab": {"slab": 30.0},
    "window of 4 passes": {"window": 4.0},
    "window of 8 passes": {"window": 8.0},
    "hard choice": {"soft": False},
    "two inner passes": {"inner_iters": 2},
}
TEXTS = {
    "as it is": "nothing",
    "v held": "v held at 1",
    "slabs held": "slabs held",
    "wide slab": "slab thirty times as wide, held",
    "window of 4 passes": "window of 4 passes instead of 2",
    "window of 8 passes": "window of 8 passes",
    "hard choice": "activities rounded where steered",
    "two inner passes": "two inner passes (T = 2)",
}


@dataclass(frozen=True)
class Studies:
    """Three committed studies: changes one at a time, the default's choices, and all by pass."""

    mean: Any  # of the changes, by EM iterations and setting
    default: Any
    by_round: Any

    @property
    def ten(self) -> Any:
        """After ten passes: a row a setting."""
        return self.mean.loc[10]

    @property
    def longer(self) -> Any:
        """As it is, after forty passes."""
        return self.mean.loc[(40, "as it is")]

    def by_pass(self, method: str, kept: int, score: str = "error") -> Any:
        """A score after each pass, a row a seed."""
        rows = self.by_round
        last = int(rows["rounds"].max())
        chosen = (rows["method"] == method) & (rows["followed"] == kept)
        names = [f"{score}_{k}" for k in range(1, 1 + last)]
        return rows.loc[chosen, names].set_axis([*range(1, 1 + last)], axis=1)


def read() -> Studies:
    """The committed studies."""
    changes = pages.study("paper-choices").groupby(["em_iters", "setting"])
    default = pages.study("mnist-choices").query("setting == 'defaults'")
    return Studies(changes.mean(numeric_only=True), default, pages.study("mnist-rounds"))


def _papers() -> Any:
    """The paper's own curve, read off its figure."""
    return contests.reported("train_mnist_error").query("method == 'em-tdamp'")


def by_neurons(studies: Studies) -> None:
    """Error on held-out images by the neurons left: left to EM, steered, and the default."""
    ax = plots.panels(1, height=4.0)[0]
    colour, ours = plots.COLOURS["paper"], plots.COLOURS["em-tdamp"]
    free, steered = studies.ten.loc["as it is"], (32, 13)
    errors = [100 * (1 - free[f"accuracy_{k}"]) for k in steered]
    ax.plot(steered, errors, "o-", color=colour)
    _say(ax, "paper's form, steered", steered[1], errors[1], colour, (10, 0))
    default = [100 * (1 - studies.default[f"accuracy_10000_{k}"].mean()) for k in steered]
    ax.plot(steered, default, "o-", color=ours)
    _say(ax, "our default", steered[0], default[0], ours, (-4, -16), "right")
    left = {
        "left to EM": (free, "s", (-8, 0)),
        "40 passes": (studies.longer, "^", (-2, -17)),
        "wide slab": (studies.ten.loc["wide slab"], "D", (-4, 9)),
    }
    for text, (row, marker, shift) in left.items():
        at = row["active_free"], 100 * (1 - row["accuracy_free"])
        ax.plot(*at, marker, ms=8, color=colour)
        _say(ax, text, *at, colour, shift, "right" if shift[0] == -8 else "center")
    ax.set(xscale="log", xlabel=f"neurons left of {HIDDEN}")
    ax.set(ylabel="error on held-out images, %", xlim=(11.5, 150), ylim=(3, None))
    ax.set_xticks([13, 32, 64, 128], ["13", "32", "64", "128"])
    ax.minorticks_off()
    plt.show()


def _say(
    ax: Any, text: str, x: float, y: float, colour: str, shift: tuple[int, int], side: str = "left"
) -> None:
    how = {"ha": side, "va": "center", "fontsize": "small", "color": colour}
    ax.annotate(text, (x, y), shift, textcoords="offset points", **how)


def by_pass(studies: Studies) -> None:
    """Test error by pass over all images, the paper's curve as open markers."""
    ax = plots.panels(1, height=4.0)[0]
    names = {"paper": "paper's form", "em-tdamp": "our default"}
    for method, name in names.items():
        for kept, style in {100: "-", 50: "--"}.items():
            curve = 100 * studies.by_pass(method, kept).mean()
            label = name if kept == 100 else f"{name}, half"
            ax.plot(curve.index, curve, style, lw=2, color=plots.COLOURS[method], label=label)
    read = _papers()
    ax.plot(read["x"], 100 * read["y"], "o", mfc="none", color="0.35", label="paper's figure")
    ax.set(xscale="log", yscale="log", xlabel="passes over 60,000 images", ylabel="test error, %")
    ax.set_xticks([1, 2, 3, 5, 10, 20, 30], ["1", "2", "3", "5", "10", "20", "30"])
    ax.set_yticks([2, 3, 4, 6], ["2", "3", "4", "6"])
    ax.minorticks_off()
    plots.end_labels(ax)
    plt.show()


def table(studies: Studies, case: str) -> pd.DataFrame:
    """A row a change, scores where EM chooses (`free`), or steered to so many neurons."""
    rows = []
    for setting, text in TEXTS.items():
        found = studies.ten.loc[setting]
        row = {"Changed": text}
        if case == "free":
            row["Neurons left"] = f"{found['active_free']:.0f}"
            row["Lowest log-odds"] = f"{found['lowest_log_odds_free']:.1f}"
        row["Error, %"] = f"{100 * (1 - found[f'accuracy_{case}']):.2f}"
        row["NLL"] = f"{found[f'nll_{case}']:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def steered_table(studies: Studies) -> pd.DataFrame:
    """A row a change: both numbers of neurons that it is steered to."""
    parts = []
    for case in ("32", "13"):
        names = {"Error, %": f"{case}: error, %", "NLL": f"{case}: NLL"}
        parts.append(table(studies, case).set_index("Changed").rename(columns=names))
    return pd.concat(parts, axis=1).reset_index()


def numbers(studies: Studies) -> dict[str, Any]:
    """What the text quotes."""
    free, wide, longer = (
        *(studies.ten.loc[setting] for setting in ("as it is", "wide slab")),
        studies.longer,
    )
    read = _papers().set_index("x")["y"]
    apart = (studies.by_pass("paper", 100).mean() - read).abs().dropna()
    rounding = studies.ten.loc["hard choice"] - free
    found: dict[str, Any] = {
        "points": len(apart),
        "apart": f"{100 * apart.median():.2f}",
        "longer_noise": f"{longer['noise_free']:.2f}",
        "noise": f"{free['noise_free']:.2f}",
        "steered": f"{1 - free['accuracy_13']:.2%}",
        "decoupled": f"{1 - studies.default['accuracy_10000_13'].mean():.2%}",
        "hard_change": f"{rounding[['nll_free', 'nll_32', 'nll_13']].abs().max():.3f}",
    }
    for name, row in {"free": free, "wide": wide, "longer": longer}.items():
        found[f"{name}_left"] = f"{row['active_free']:.0f}"
        found[f"{name}_error"] = f"{1 - row['accuracy_free']:.2%}"
    settings = {
        "2": "as it is",
        "4": "window of 4 passes",
        "8": "window of 8 passes",
        "t2": "two inner passes",
    }
    for name, setting in settings.items():
        found[f"nll_{name}"] = f"{studies.ten.loc[setting, 'nll_free']:.3f}"
    for name, method in {"paper": "paper", "ours": "em-tdamp"}.items():
        found[f"nll_{name}"] = f"{studies.by_pass(method, 100, 'nll').iloc[:, -1].mean():.4f}"
        found[f"end_{name}"] = _end(studies, method, 100)
        found[f"end_{name}_half"] = _end(studies, method, 50)
    return found


def _end(studies: Studies, method: str, kept: int) -> str:
    last = 100 * studies.by_pass(method, kept).iloc[:, -1]
    return f"{last.mean():.2f} ± {last.sem():.2f} %"


def held_out(
    setting: str, steered: Sequence[int], em_iters: int, seed: int
) -> dict[str, dict[str, float]]:
    """Runs on 10,000 images, scored on those held out: EM's choice ("free"), then steered."""
    if setting not in CHANGES:
        raise UsageError(f"setting={setting!r}; use one of {', '.join(CHANGES)}")
    mnist = datasets.load_mnist()
    x, y = datasets.scale_images(mnist.x_train), mnist.y_train
    x, y, x_held, y_held = x[:10_000], y[:10_000], x[50_000:], y[50_000:]
    found = {}
    for left in (None, *steered):
        steer: dict[str, Any] = {} if left is None else {"sparsity": 1 - left / HIDDEN}
        lowest: list[float] = []
        model = EMTDAMPClassifier.paper(
            hidden_layer_sizes=(HIDDEN,), em_iters=em_iters, random_state=seed
        ).set_params(**CHANGES[setting], **steer)

        def watch(_: Any, now: Any, lowest: list[float] = lowest) -> None:
            lowest.append(now.log_odds[1].min())

        model.fit(x, y, monitor=watch)
        log_p = model.predict_log_proba(x_held)
        found["free" if left is None else str(left)] = {
            "accuracy": float((log_p.argmax(axis=1) == y_held).mean()),
            "nll": float(-log_p[np.arange(len(y_held)), y_held].mean()),
            "active": float(model.active_groups_[1].sum()),
            "lowest_log_odds": float(lowest[-1]),
            "noise": float(model.noise_variance_),
        }
    return found


def results(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """What the study of this page records."""
    return {f"{name}_{left}": value for left, row in found.items() for name, value in row.items()}


def shown(found: dict[str, dict[str, float]]) -> pd.DataFrame:
    """The live runs as the page shows them."""
    rows = pd.DataFrame(found).T.rename({"free": "EM's choice"})
    return pd.DataFrame(
        {
            "Neurons left": rows["active"].map("{:.0f}".format),
            "Error, %": (100 * (1 - rows["accuracy"])).map("{:.2f}".format),
            "NLL": rows["nll"].map("{:.3f}".format),
            "Lowest log-odds": rows["lowest_log_odds"].map("{:.1f}".format),
            "Noise v": rows["noise"].map("{:.2f}".format),
        }
    )
