"""Figures of the page `mlp-from-scratch`, and its reports by class."""

from __future__ import annotations

import html
from typing import Any

from matplotlib.ticker import PercentFormatter

from emtdamp.study import plots
from emtdamp.study.chapters import mlp_from_scratch as chapter
from emtdamp.study.chapters.mlp_from_scratch import NAMES, READINGS, REPORTED
from emtdamp.study.chapters.mlp_runs import curve

COLOURS = dict(zip(READINGS, plots.SERIES, strict=False)) | {"reported": "0.35"}


def draw(study: Any) -> None:
    """Accuracies as reported, as stated, and at a tenth of the step, a line a network."""
    (ax,) = plots.panels(1, height=3.6)
    found = chapter.means(study)
    for place, (name, numbers) in enumerate(REPORTED.items()):
        column = "accuracy_test" if "accuracy_test" in numbers else "accuracy_train"
        ax.axhline(place, color="0.85", lw=1, zorder=0)
        for reading, colour in COLOURS.items():
            known = reading == "reported" or (name, reading) in found.index
            if known:
                at = (
                    numbers[column] if reading == "reported" else found.loc[(name, reading)][column]
                )
                face = "none" if reading == "reported" else colour
                label = None if place else reading
                ax.plot(at, place, "o", ms=9, mew=1.8, mec=colour, mfc=face, label=label)
    ax.set_yticks(range(len(REPORTED)), list(NAMES.values()))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("accuracy on test images (L2: training images)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, 1.2), ncols=3, fontsize="small")


def draw_losses(study: Any) -> None:
    """Training and validation loss step by step, a panel a network, a colour a reading."""
    names = [name for name in REPORTED if name in set(chapter.main_rows(study)["name"])]
    axes = plots.panels(max(1, len(names)), height=2.3, sharex=True)
    for ax, name in zip(axes, names, strict=False):
        ends = []
        for reading in READINGS:
            rows = chapter.counts(study, name, reading)
            if rows.empty:
                continue
            losses, colour = curve(rows.iloc[0]), COLOURS[reading]
            ends.append(losses.index[-1])
            ax.plot(losses["loss"], color=colour, lw=1, alpha=0.6)
            ax.plot(losses["validation"], color=colour, lw=2, label=reading)
        for column, face in [("loss_train", "none"), ("loss_val", COLOURS["reported"])]:
            if column in REPORTED[name]:
                ax.plot(
                    max(ends), REPORTED[name][column], "o", ms=8, mfc=face,
                    mec=COLOURS["reported"], clip_on=False, zorder=5,
                )  # fmt: skip
        ax.set(ylabel="loss", ylim=(0, None), title=NAMES[name])
        plots.end_labels(ax)
    axes[-1].set_xticks(range(0, 12_001, 4000), [f"{step:,}" for step in range(0, 12_001, 4000)])
    axes[-1].set_xlabel("steps of 64 images")


def draw_steps(study: Any) -> None:
    """Accuracy of the sigmoid network against the step, and what was reported as lines."""
    (ax,) = plots.panels(1, height=3.4)
    found = chapter.by_step(study)
    for part, style in (("train", "--"), ("test", "-")):
        column = f"accuracy_{part}"
        ax.plot(found.index, found[column], f"o{style}", color=plots.SERIES[0], label=part)
    for name, text in (("sigmoid", "reported"), ("keras", "reported, by a package")):
        value = REPORTED[name]["accuracy_test"]
        ax.axhline(value, color=COLOURS["reported"], ls=":", lw=1.5, label=text)
    ax.set(xscale="log", xlabel="step", ylabel="accuracy after 15 epochs")
    ax.set_xticks(found.index, [f"{step:g}" for step in found.index])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    plots.end_labels(ax)


def reports(study: Any) -> str:
    """Every report by class as folded HTML, ours with what was printed behind it."""
    text = ""
    for name in REPORTED:
        for reading in READINGS:
            rows = chapter.counts(study, name, reading)
            if not rows.empty:
                title = f"{NAMES[name]}, {reading}"
                text += f"<details><summary>{html.escape(title)}</summary>{_report(rows, name)}"
                text += "</details>"
    return text


def _report(rows: Any, name: str) -> str:
    head = "<tr><th>digit</th>"
    body = [f"<tr><td>{digit}</td>" for digit in range(10)]
    for part in ("train", "test"):
        ours, printed = chapter.our_report(rows, part), chapter.printed_report(name, part)
        for column in ("precision", "recall", "f1"):
            head += f"<th>{part} {column}</th>"
            for digit in range(10):
                known = "" if printed.empty else f" <small>({printed[column][digit]:.2f})</small>"
                body[digit] += f'<td class="number">{ours[column][digit]:.2f}{known}</td>'
    lines = "".join(f"{line}</tr>" for line in body)
    table = f"<thead>{head}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="scrolls"><table class="table dataframe">{table}</table></div>'


def show_reports(study: Any) -> None:
    """Show `reports` on the page."""
    from IPython.display import HTML, display

    display(HTML(reports(study)))
