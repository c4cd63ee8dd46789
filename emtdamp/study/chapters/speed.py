"""The page `speed`: seconds of EM-TDAMP beside Adam's, from the committed benchmarks."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter

from emtdamp import EMTDAMPClassifier
from emtdamp.study import claims, pages, plots

WHAT = {  # in the study: in claims, in tables and figures
    "keras": ("epoch of Keras Adam, model.fit by XLA", "Keras Adam"),
    "xla": ("epoch of Adam as one XLA loop", "bare Adam"),
    "passes": ("T = 1 (ours: T = 3), window form", "T = 1, not 3"),
}
TARGETS: dict[tuple[str, int], tuple[float, float | None]] = {  # at most; aimed at
    ("keras", 100): (0.6, 0.5),
    ("keras", 500): (1.2, 1.0),
    ("keras", 1000): (1.2, 1.0),
    ("xla", 100): (2.4, None),
    ("xla", 500): (2.4, None),
    ("xla", 1000): (2.4, None),
    ("passes", 100): (3.2, None),
}
METHODS = {"em-tdamp": "EM-TDAMP", "adam": "Keras Adam"}
SERIES = {  # of growth: what grows, its label's form, grey and marker
    "width": ("neurons, {:,} to {:,}", "0.05", "o"),
    "rows": ("images, {:,} to {:,}", "0.3", "s"),
    "depth": ("layers, {} to {}", "0.5", "^"),
}


def load() -> Any:
    """The committed measurements."""
    return pages.study("speed")


def ratios(speed: Any) -> Any:
    """Measured ratios by what they are taken to, and batch."""
    return speed.dropna(subset=["ratio"]).set_index(["what", "batch"])


def picture(speed: Any) -> None:
    """Ratios with their quartiles, a row a comparison, and what was required."""
    ax, found = plots.panels(1, height=4.4)[0], ratios(speed)
    rows = [key for key in TARGETS if key[0] != "passes"]
    for place, key in zip(range(len(rows))[::-1], rows, strict=True):
        row, (required, _) = found.loc[key], TARGETS[key]
        bar = [[row["ratio"] - row["low"]], [row["high"] - row["ratio"]]]
        ax.errorbar(
            row["ratio"], place, xerr=bar, fmt="o", ms=9, lw=2, color=plots.COLOURS["em-tdamp"]
        )
        ax.plot(required, place, "|", ms=22, mew=2.5, color="0.35")
        ax.annotate(
            f"{row['ratio']:.2f}", (row["ratio"], place), xytext=(0, 13), ha="center",
            textcoords="offset points", fontsize="small",
        )  # fmt: skip
    ax.axvline(1, color="0.1", lw=1.2)
    ax.set_yticks(range(len(rows))[::-1], [f"{WHAT[what][1]}, {batch}" for what, batch in rows])
    ax.set(xscale="log", xlim=(0.4, 4.5), ylim=(-0.5, len(rows) - 0.2))
    ax.set_xticks([0.5, 1, 2, 4], ["half", "the same", "2 times", "4 times"])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(which="minor", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("seconds of EM-TDAMP over those of the other")


def table(speed: Any) -> pd.DataFrame:
    """Seconds and ratios, a row a comparison."""
    lines = []
    for key in TARGETS:
        got = ratios(speed).loc[key]
        lines.append(
            {
                "Beside": WHAT[key[0]][1].replace(" ", "\xa0"),
                "Batch": key[1],
                "Ours, s": f"{got['seconds']:.3f}",
                "Other, s": f"{got['against']:.3f}",
                "Ratio": f"{got['ratio']:.2f}",
                "Quartiles": f"{got['low']:.2f} to {got['high']:.2f}".replace(" ", "\xa0"),
            }
        )
    return pd.DataFrame(lines)


def growth(speed: Any) -> dict[str, pd.DataFrame]:
    """What was measured where width, number of images or depth grow, in order."""
    grown = speed[speed["what"] == "growth"].assign(
        width=lambda t: t["hidden"].astype(str).str.split("-").str[0].astype(int),
        depth=lambda t: t["hidden"].astype(str).str.split("-").str.len(),
    )
    middle = (grown["depth"] == 1) & (grown["width"] == 128) & (grown["rows"] == 10_000)
    parts = {
        "width": grown[(grown["depth"] == 1) & (grown["rows"] == 10_000)],
        "rows": grown[(grown["depth"] == 1) & (grown["width"] == 128)],
        "depth": grown[(grown["depth"] > 1) | middle],
    }
    return {name: part.sort_values(name) for name, part in parts.items()}


def grows(speed: Any) -> None:
    """Seconds and memory against how many times larger the network or the data are."""
    top, bottom = plots.panels(2, height=3.6, sharex=True)
    for name, part in growth(speed).items():
        form, grey, marker = SERIES[name]
        sizes = part[name].to_numpy()
        times, seconds = sizes / sizes[0], part["seconds"].to_numpy()
        look: dict[str, Any] = {"color": grey, "marker": marker}
        label = form.format(sizes[0], sizes[-1])
        top.plot(times, seconds / seconds[0], label=label, **look)
        bottom.plot(times, part["memory"], label=label, **look)
        bottom.plot(times, part["arrays"], color=grey, lw=1, ls=":", label="_")
    top.plot([1, 32], [1, 32], "--", color="0.75", lw=1.2, label="_", zorder=0)
    ticks = [1, 2, 4, 8, 16, 32]
    for ax in (top, bottom):
        ax.set(xscale="log", yscale="log")
        ax.set_xticks(ticks, [str(t) for t in ticks])
    top.set_yticks(ticks, [str(t) for t in ticks])
    memory = [10, 30, 100, 300]
    bottom.set_yticks(memory, [str(m) for m in memory])
    for ax in (top, bottom):
        ax.minorticks_off()
        plots.end_labels(ax)
    top.set_ylabel("times the seconds")
    bottom.set(xlabel="times the smallest size", ylabel="megabytes")


def reached(speed: Any) -> Any:
    """The measurements of the time to 97.5 %, by method."""
    found = speed[speed["what"].str.startswith("to accuracy")]
    return found.set_index(found["what"].str.removeprefix("to accuracy, "))


def to_accuracy(speed: Any) -> pd.DataFrame:
    """A row a method: how it was trained, what it reached and in how many seconds."""
    return pd.DataFrame(
        [
            {
                "Method": METHODS[method],
                "Epochs": f"{row['epochs']:.0f}",
                "Batch": f"{row['batch']:.0f}",
                "Rate": "" if np.isnan(row["rate"]) else f"{row['rate']:g}",
                "Held out": f"{row['held_out']:.2%}",
                "Test": f"{row['accuracy']:.2%}",
                "Seconds": f"{row['seconds']:.2f}",
                "With compiling": f"{row['seconds'] + row['compiling']:.2f}",
            }
            for method, row in reached(speed).iterrows()
        ]
    )


def goals(speed: Any) -> list[claims.Claim]:
    """What was required of an iteration beside other epochs, and of the time to 97.5 %."""
    found = []
    for (what, batch), (required, aim) in TARGETS.items():
        text = f"an EM iteration's seconds over those of: {WHAT[what][0]}, batch {batch}"
        found.append(_goal(text, required, aim, ratios(speed).loc[(what, batch), "ratio"]))
    for text, seconds in _seconds(speed).items():
        what = f"seconds to 97.5 % over Keras Adam's at its best schedule, {text}"
        found.append(_goal(what, 1.0, None, seconds["em-tdamp"] / seconds["adam"]))
    return found


def met(found: list[claims.Claim]) -> int:
    """How many of the goals of an iteration are met."""
    return sum(claim.outcome != "missed" for claim in found[: len(TARGETS)])


def in_text(speed: Any, found: list[claims.Claim]) -> dict[str, claims.Scalar]:
    """What the text quotes of the committed measurements."""
    around, measured = speed.iloc[0], ratios(speed)
    share = 1 / measured.loc["products", "ratio"]
    parts = growth(speed)
    texts: dict[str, claims.Scalar] = {
        f"grow_{name}": f"{np.polyfit(np.log(part[name]), np.log(part['seconds']), 1)[0]:.2f}"
        for name, part in parts.items()
    }
    widest = parts["width"].iloc[-1]
    weights = widest["arrays"] - widest["rows"] * 785 * 4 / 2**20  # less the data, float32
    for claim, name in zip(found[len(TARGETS) :], ("before", "included"), strict=True):
        texts[f"sooner_{name}"] = f"{claim.outcome}, at {float(claim.ours):.2f} of Adam's time"
    return texts | {
        "speed_device": str(around["device"]),
        "speed_date": str(around["date"]),
        "speed_tensorflow": str(around["tensorflow"]),
        "speed_met": f"{met(found)} of {len(TARGETS)}",
        "speed_share": ", ".join(f"{s:.0%} at batch {b}" for b, s in share.items()),
        "grow_on_top": f"{(widest['memory'] - widest['arrays']) / weights:.1f}",
        "grow_widest": f"{widest['width']:,}",
        "good_enough": _good_enough(reached(speed)["accuracy"]),
    }


def here(x: np.ndarray, y: np.ndarray, rounds: int) -> pd.DataFrame:
    """Seconds on this machine: an epoch of Adam after each EM iteration, batch 100."""
    keras.utils.set_random_seed(0)
    adam = keras.Sequential([keras.layers.Dense(128, "relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam.compile("adam", loss, jit_compile=True)
    marks, seconds = [], []

    def mark(epoch: int, logs: object) -> None:
        marks.append(time.perf_counter())

    clock = keras.callbacks.LambdaCallback(on_epoch_begin=mark, on_epoch_end=mark)

    def adam_epoch(row: dict[str, float], posterior: object) -> None:
        adam.fit(x, y, 100, epochs=2, verbose=0, callbacks=[clock])
        seconds.append(marks[-1] - marks[-2])  # the second: the first sets up

    settings: dict[str, Any] = {"batch_size": 100, "em_iters": rounds, "random_state": 0}
    model = EMTDAMPClassifier((128,), **settings)
    model.fit(x, y, monitor=adam_epoch)
    ours = [row["seconds"] for row in model.history_]
    found = pd.DataFrame({"EM-TDAMP": ours, "Keras Adam": seconds})
    return found.assign(Ratio=found["EM-TDAMP"] / found["Keras Adam"])


def rounds_shown(found: pd.DataFrame) -> pd.DataFrame:
    """What `here` measured, a row a round."""
    shown = found.map("{:.3f}".format).assign(Ratio=found["Ratio"].map("{:.2f}".format))
    shown = shown.rename(columns={name: f"{name}, s" for name in METHODS.values()})
    shown.insert(0, "Round", [str(k + 1) for k in range(len(found))])
    return shown


def _good_enough(accuracy: Any) -> str:
    if (accuracy >= 0.975).all():
        return "Both reach 97.5 % on the test images"
    words = {True: "reaches", False: "misses"}
    parts = [f"{METHODS[m]} {words[bool(a >= 0.975)]}" for m, a in accuracy.items()]
    return " and ".join(parts) + " 97.5 % on the test images"


def _seconds(speed: Any) -> dict[str, Any]:
    rows = reached(speed)
    return {
        "compiled before": rows["seconds"],
        "compiling included": rows["seconds"] + rows["compiling"],
    }


def _goal(text: str, required: float, aim: float | None, ours: Any) -> claims.Claim:
    return pages.goal(f"Speed: {text}", required=required, aim=aim, at_most=True, ours=float(ours))
