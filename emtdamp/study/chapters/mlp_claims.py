"""What the assignment of the page `mlp-from-scratch` says, number by number, and what came out."""

from __future__ import annotations

from typing import Any

import numpy as np

from emtdamp.study import pages
from emtdamp.study.chapters import mlp_from_scratch as chapter
from emtdamp.study.chapters.mlp_from_scratch import NAMES, READINGS, REPORTED, TOLERANCES
from emtdamp.study.chapters.mlp_runs import curve

SOURCE = "MLP assignment"
STATED, TENTH = READINGS
WHY = {
    "accuracy": "printed with two decimals; another split and start",
    "loss_train": "perhaps of one minibatch; another split and start",
    "loss_val": "another split and start",
}


def claims(study: Any, starts: Any, spread: float, ratio: float) -> list[pages.Claim]:
    """Every number, then every sentence; of what a study holds.

    starts, spread: of `mlp_from_scratch.starts` and `spread`. ratio: an epoch's seconds in NumPy
    over those in Keras.
    """
    found = [*_numbers(study), *_reports(study)]
    known = chapter.means(study).index
    wanted = {(name, reading) for name in REPORTED for reading in READINGS}
    if wanted - {("keras", TENTH)} <= set(known):  # the copy is of the stated network
        found += [*_sentences(study), *_other_experiments(study)]
    return [*found, _rows_of_a_report(), *_starts(starts, spread), _seconds(study, ratio)]


def _numbers(study: Any) -> list[pages.Claim]:
    """Accuracies and losses, under the settings as stated; the other reading in the reason."""
    found, rows, mean = [], chapter.main_rows(study), chapter.means(study)
    rows = rows[rows["reading"] == STATED]
    for name, numbers in REPORTED.items():
        runs = rows[rows["name"] == name]
        for column, reported in numbers.items() if len(runs) else ():
            why = WHY.get(column, WHY["accuracy"])
            if (name, TENTH) in mean.index:
                why += f"; with {TENTH} {mean.loc[(name, TENTH), column]:.3f}"
            found.append(
                pages.numeric(
                    f"{NAMES[name]}: {chapter.HEADS[column]}",
                    reported=reported,
                    ours=float(runs[column].mean()),
                    tolerance=TOLERANCES[column],
                    why=why,
                    sd=float(runs[column].std()) if len(runs) > 1 else None,
                    n=len(runs),
                    source=SOURCE,
                )
            )
    return found


def _reports(study: Any) -> list[pages.Claim]:
    """The eight reports by class: how far their 30 numbers are from ours on average."""
    found = []
    for name in REPORTED:
        for part in ("train", "test"):
            gaps = {r: chapter.report_gap(study, name, part, r) for r in READINGS}
            known = {reading: gap for reading, gap in gaps.items() if gap is not None}
            if STATED not in known:
                continue
            words = "; ".join(f"{gap:.3f} {reading}" for reading, gap in known.items())
            found.append(
                pages.statement(
                    f"{NAMES[name]}: precision, recall and F1 of each digit, {part} images",
                    reported="30 numbers",
                    ours=f"mean difference {words}",
                    holds=known[STATED] <= 0.02,
                    why="as stated, a mean absolute difference of at most 0.02",
                    source=SOURCE,
                )
            )
    return found


def _rows_of_a_report() -> pages.Claim:
    rows = int(chapter.printed_report("sigmoid", "train")["support"].sum())
    return pages.statement(
        "The baseline's training report is of the predictions on the validation set",
        reported="10,000 images",
        ours=f"{rows:,} images in the printed report",
        holds=rows == 10_000,
        why="the sum of its column of supports",
        source=SOURCE,
        certain="it is in the print",
    )


def _sentences(study: Any) -> list[pages.Claim]:
    mean, rows = chapter.means(study), chapter.main_rows(study)

    def of(name: str, column: str, reading: str = STATED) -> float:
        return float(mean.loc[(name, reading), column])

    found = []
    for name in ("sigmoid", "tanh", "relu"):
        gap = of(name, "accuracy_train") - of(name, "accuracy_test")
        found.append(
            pages.statement(
                f"The {NAMES[name]} network does equally well on seen and unseen images",
                reported="equally well",
                ours=f"{gap:+.2%} of accuracy between them",
                holds=abs(gap) < 0.01,
                why="less than one point between training and test images",
                source=SOURCE,
            )
        )
    sigmoid, tanh, relu = (of(name, "accuracy_test") for name in ("sigmoid", "tanh", "relu"))
    found += [
        pages.statement(
            "Tanh is better than sigmoid",
            reported="0.93 against 0.86",
            ours=f"{tanh:.3f} against {sigmoid:.3f}",
            holds=tanh > sigmoid,
            why="mean test accuracy",
            source=SOURCE,
        ),
        pages.statement(
            "ReLU is slightly better than tanh and a lot better than sigmoid",
            reported="0.94 against 0.93 and 0.86",
            ours=f"{relu:.3f} against {tanh:.3f} and {sigmoid:.3f}",
            holds=0 < relu - tanh < 0.02 and relu - sigmoid > 0.05,
            why="less than two points above tanh and more than five above sigmoid",
            source=SOURCE,
        ),
    ]
    copy = of("keras", "accuracy_test")
    found.append(
        pages.statement(
            "A package's copy of the baseline is 8 points more accurate",
            reported="0.94 against 0.86",
            ours=f"{copy:.3f} against {sigmoid:.3f}",
            holds=copy - sigmoid > 0.01,
            why="more than one point between the copy in Keras and the network in NumPy",
            source=SOURCE,
        )
    )
    loss = {r: of("relu", "accuracy_train", r) - of("relu and l2", "accuracy_train", r)
            for r in READINGS}  # fmt: skip
    found.append(
        pages.statement(
            "L2 costs much accuracy even on the training images",
            reported="0.94 to 0.78",
            ours="; ".join(f"{value:+.3f} {reading}" for reading, value in loss.items()),
            holds=loss[STATED] > 0.05,
            why="as stated, more than five points",
            source=SOURCE,
        )
    )
    rough = {name: roughness(rows, name) for name in ("relu", "relu and l2")}
    found.append(
        pages.statement(
            "The loss with L2 is much smoother than without",
            reported="much smoother",
            ours=f"{rough['relu and l2']:.4f} against {rough['relu']:.4f}",
            holds=2 * rough["relu and l2"] < rough["relu"],
            why="second half of the training loss: median change between entries, relative to the"
            " loss, halved at least",
            source=SOURCE,
        )
    )
    falls = fall(rows, "relu and l2")
    found.append(
        pages.statement(
            "With L2, more epochs would lower the loss further",
            reported="a good chance",
            ours=f"{falls:+.1%} over the last three epochs",
            holds=falls < -0.01,
            why="the minibatches' loss still falls by more than 1 % there, as stated",
            source=SOURCE,
        )
    )
    gaps = {name: of(name, "nll_test") - of(name, "nll_train") for name in rough}
    found.append(
        pages.statement(
            "Regularisation helps to prevent overfitting",
            reported="helps",
            ours=f"test loss above training loss by {gaps['relu and l2']:.3f} with L2,"
            f" {gaps['relu']:.3f} without",
            holds=gaps["relu and l2"] < gaps["relu"],
            why="the cross entropies' difference is smaller with L2",
            source=SOURCE,
        )
    )
    return found


def fall(rows: Any, name: str) -> float:
    """Relative change of the training loss over the last three of 15 epochs, as stated."""
    chosen = rows[(rows["name"] == name) & (rows["reading"] == STATED)]
    loss = np.asarray(curve(chosen.iloc[0])["loss"], float)
    fifth = max(1, len(loss) // 5)
    return float(loss[-1] / loss[-1 - fifth] - 1)


def roughness(rows: Any, name: str) -> float:
    """Median change from entry to entry of the training loss over its mean, second half, stated."""
    chosen = rows[(rows["name"] == name) & (rows["reading"] == STATED)]
    loss = curve(chosen.iloc[0])["loss"]
    half = np.asarray(loss[len(loss) // 2 :], float)
    return float(np.median(np.abs(np.diff(half))) / half.mean())


def _other_experiments(study: Any) -> list[pages.Claim]:
    found = chapter.others(study).set_index("what")["accuracy_test"]
    if "baseline" not in found.index or len(found) < 2:
        return []
    base, rest = found["baseline"], found.drop("baseline")
    claims = [
        pages.statement(
            f"With {what} the baseline does not get better",
            reported="no better",
            ours=f"{accuracy:.3f} against {base:.3f}",
            holds=bool(accuracy <= base),
            why="test accuracy of one seed",
            source=SOURCE,
        )
        for what, accuracy in rest.items()
        if "pixels" not in str(what)
    ]
    raw = [accuracy for what, accuracy in rest.items() if "pixels" in str(what)]
    claims += [
        pages.statement(
            "Standardised pixels make the training converge faster",
            reported="faster",
            ours=f"{base:.3f} with them, {accuracy:.3f} without",
            holds=bool(base > accuracy),
            why="test accuracy after as many epochs, one seed",
            source=SOURCE,
        )
        for accuracy in raw
    ]
    return claims


def _starts(starts: Any, spread: float) -> list[pages.Claim]:
    ratios = starts.div(starts.loc["glorot"], axis=1).drop("glorot")
    low, high = float(ratios.to_numpy().min()), float(ratios.to_numpy().max())
    return [
        pages.statement(
            "A poor start makes gradients vanish or explode",
            reported="vanish or explode",
            ours=f"the first layer's is {chapter.plain(low)} to {chapter.plain(high)} times"
            " that of Glorot's start",
            holds=low < 0.01 and high > 100,
            why="one start below a hundredth, another above a hundred times",
            source=SOURCE,
        ),
        pages.statement(
            "Glorot's start keeps the variance from layer to layer",
            reported="preserved",
            ours=f"the largest of three layers' is {spread:.1f} times the smallest (tanh)",
            holds=spread <= 2,
            why="variances of the hidden layers' sums before the first step, within a factor of 2",
            source=SOURCE,
        ),
    ]


def _seconds(study: Any, ratio: float) -> pages.Claim:
    rows = chapter.main_rows(study)
    rows = rows[(rows["network"] != "keras") & (rows["reading"] == STATED)]
    minutes = rows["train_seconds"].median() / 60 if len(rows) else float("nan")
    told = f"{minutes:.1f} minutes" if len(rows) else "not in this run"
    return pages.statement(
        "Training the baseline in NumPy takes 44 minutes",
        reported="44 minutes on 8 cores",
        ours=f"{told} on one core; {ratio:.1f} times Keras's seconds",
        holds=bool(minutes > 22),
        why="at least half of it, whatever the processor",
        source=SOURCE,
    )
