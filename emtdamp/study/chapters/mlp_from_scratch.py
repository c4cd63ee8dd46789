"""The page `mlp-from-scratch`: an assignment's numbers beside those of its networks trained here.

Its trainings are in `mlp_runs`, its figures in `mlp_figures`, its claims in `mlp_claims`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from emtdamp import baselines, datasets
from emtdamp.baselines.mlp_numpy import MLP, History, Settings
from emtdamp.study.chapters.mlp_runs import (
    EPOCHS,
    HIDDEN,
    Images,
    curve,
    settings,
    train,
    train_keras,
)

READINGS = {"as stated": 0.01, "a tenth of the step": 0.001}
SHORT = {"as stated": "stated", "a tenth of the step": "a tenth"}  # in a table's narrow columns
NAMES = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "ReLU",
    "keras": "package's sigmoid",
    "relu and l2": "ReLU and L2",
}
# What the assignment prints; its reports by class are in assignment.csv of the baselines.
REPORTED: dict[str, dict[str, float]] = {
    "sigmoid": {"accuracy_train": 0.85, "accuracy_test": 0.86, "loss_train": 0.4487,
                "loss_val": 0.4499},
    "tanh": {"accuracy_train": 0.93, "accuracy_test": 0.93, "loss_train": 0.2275,
             "loss_val": 0.2076},
    "relu": {"accuracy_train": 0.94, "accuracy_test": 0.94, "loss_train": 0.2233,
             "loss_val": 0.2131},
    "keras": {"accuracy_test": 0.94},
    "relu and l2": {"accuracy_train": 0.78},
}  # fmt: skip
SCORES = [
    *("accuracy_train", "accuracy_val", "accuracy_test", "loss_train", "loss_val"),
    *("nll_train", "nll_test"),
]
# Another draw of the split and the start; two decimals; perhaps the loss of one minibatch.
TOLERANCES = {
    "accuracy_train": 0.01, "accuracy_test": 0.01, "loss_train": 0.05, "loss_val": 0.03
}  # fmt: skip
HEADS = {
    "accuracy_train": "accuracy, training images",
    "accuracy_test": "accuracy, test images",
    "loss_train": "training loss",
    "loss_val": "validation loss",
}


def alone(parameters: Mapping[str, Any], row: Mapping[str, Any]) -> pd.DataFrame:
    """A study of one training."""
    return pd.DataFrame([dict(parameters) | dict(row)])


def labelled(study: Any) -> Any:
    """The study with its networks' names, L2 in them."""
    penalty = np.where(study["alpha"] > 0, " and l2", "")
    return study.assign(name=study["network"] + penalty)


def main_rows(study: Any) -> Any:
    """Those of the networks that the assignment reports, by name and reading of the step."""
    rows = labelled(study)
    alone = (rows["hidden"] == HIDDEN) & rows["standardise"] & (rows["epochs"] == EPOCHS)
    steps = {step: reading for reading, step in READINGS.items()}
    rows = rows[alone & rows["step"].isin(list(steps)) & rows["name"].isin(list(REPORTED))]
    return rows.assign(reading=rows["step"].map(steps))


def means(study: Any) -> Any:
    """Mean scores over the seeds, by (name, reading)."""
    return main_rows(study).groupby(["name", "reading"], sort=False)[SCORES].mean()


def counts(found: Any, name: str, reading: str) -> Any:
    """The rows of such networks, one a seed; none if the study lacks them."""
    rows = main_rows(found)
    return rows[(rows["name"] == name) & (rows["reading"] == reading)]


def outcome(reported: float, column: str, ours: Mapping[str, float]) -> str:
    """Which readings come within the tolerance of a number."""
    near = [
        reading for reading, value in ours.items() if abs(value - reported) <= TOLERANCES[column]
    ]
    return " and ".join(near) or ("neither" if ours else "")


def comparison(study: Any, kind: str) -> pd.DataFrame:
    """The assignment's accuracies or losses beside both readings, and which of them fits."""
    found, rows = means(study), []
    for name, numbers in REPORTED.items():
        for column, reported in numbers.items():
            if not column.startswith(kind):
                continue
            ours = {r: found.loc[(name, r), column] for r in READINGS if (name, r) in found.index}
            digits = 2 if kind == "accuracy" else 4
            row = {"Network": NAMES[name], "Images": column.partition("_")[2]}
            row["Printed"] = f"{reported:.{digits}f}"
            for reading, short in SHORT.items():
                row[short.capitalize()] = f"{ours[reading]:.3f}" if reading in ours else ""
            fit = outcome(reported, column, ours)
            for reading, short in SHORT.items():
                fit = fit.replace(reading, short)
            rows.append(row | {"Fits": fit})
    return pd.DataFrame(rows).replace({"Images": {"val": "validation", "train": "training"}})


def by_step(study: Any) -> Any:
    """Mean scores of the sigmoid network as it is stated but for the step."""
    rows = labelled(study)
    same = (rows["hidden"] == HIDDEN) & rows["standardise"] & (rows["epochs"] == EPOCHS)
    return rows[same & (rows["name"] == "sigmoid")].groupby("step")[SCORES].mean().sort_index()


def step_for(study: Any, score: float, column: str = "accuracy_train") -> float | None:
    """The step at which the sigmoid network would have a score; between two on a log axis."""
    found = by_step(study)[column].sort_values()
    if len(found) < 2 or not found.iloc[0] <= score <= found.iloc[-1]:
        return None
    return float(np.exp(np.interp(score, found, np.log(found.index))))


def others(study: Any) -> Any:
    """The other experiments: the sigmoid network with other layers or epochs, baseline first."""
    rows = labelled(study)
    rows = rows[(rows["name"] == "sigmoid") & (rows["step"] == READINGS["as stated"])]
    rows = rows[rows["seed"] == rows["seed"].min()]
    changed = (rows["hidden"] != HIDDEN) | ~rows["standardise"] | (rows["epochs"] != EPOCHS)
    return pd.concat([rows[~changed], rows[changed]]).assign(what=lambda f: f.apply(_what, axis=1))


def _what(row: Any) -> str:
    changes = []
    if row["hidden"] != HIDDEN:
        changes.append("hidden layers " + row["hidden"].replace(" ", "-"))
    if row["epochs"] != EPOCHS:
        changes.append(f"{row['epochs']} epochs")
    if not row["standardise"]:
        changes.append("pixels from 0 to 1")
    return ", ".join(changes) or "baseline"


def others_table(study: Any) -> pd.DataFrame:
    """Accuracies of the other experiments, as text."""
    found = others(study)
    table = pd.DataFrame({"Sigmoid network": found["what"]})
    for part, head in (("train", "Training"), ("val", "Validation"), ("test", "Test")):
        table[f"{head}, %"] = [f"{100 * value:.1f}" for value in found[f"accuracy_{part}"]]
    return table.reset_index(drop=True)


def printed_report(name: str, part: str) -> Any:
    """Precision, recall, F1 and rows of each digit as the assignment prints them; may be empty."""
    table: Any = pd.read_csv(Path(baselines.__file__).with_name("assignment.csv"))
    printed = "package" if name == "keras" else name  # theirs was PyTorch
    rows = table[(table["network"] == printed) & (table["rows"] == part)]
    return rows.set_index("digit")[["precision", "recall", "f1", "support"]]


def our_report(trained: Any, part: str) -> pd.DataFrame:
    """The same of one or more networks trained here, each number their mean."""
    found = []
    for text in trained[f"confusion_{part}"]:
        matrix = np.array(text.split(), int).reshape(10, 10)
        labels, predicted = np.divmod(np.repeat(np.arange(100), matrix.ravel()), 10)
        found.append(
            precision_recall_fscore_support(labels, predicted, labels=range(10), zero_division=0)  # pyright: ignore[reportArgumentType]
        )
    columns = pd.Index(["precision", "recall", "f1", "support"])
    return pd.DataFrame(np.mean(found, axis=0).T, columns=columns).rename_axis("digit")


def report_gap(study: Any, name: str, part: str, reading: str) -> float | None:
    """Mean absolute difference of a report's 30 numbers; None where one of them is missing."""
    rows, printed = counts(study, name, reading), printed_report(name, part)
    if rows.empty or printed.empty:
        return None
    columns = ["precision", "recall", "f1"]
    gaps = our_report(rows, part)[columns].to_numpy() - printed[columns].to_numpy()
    return float(np.abs(gaps).mean())


def starts(data: Images, seed: int) -> pd.DataFrame:
    """Norm of the loss's gradient by the first layer's weights before the first step, by start."""
    x, y = data.x["train"][:500], datasets.one_hot(data.labels["train"][:500])
    found = {}
    for start, scale in (("glorot", 1.0), ("gaussian", 0.01), ("random", 0.05), ("gaussian", 1.0)):
        row = {}
        for name in ("sigmoid", "tanh", "relu"):
            given = replace(settings(name, seed=seed), start=start, scale=scale)
            network = MLP(given, x.shape[1], 10)
            gradient = network.gradient(x, y)[1][: network.layers[0].weights.size]
            row[name] = float(np.linalg.norm(gradient))
        found[start if start == "glorot" else f"{start}, scale {scale:g}"] = row
    return pd.DataFrame(found).T.rename_axis("start")


def plain(value: float) -> str:
    """Two digits, and no power of ten.

    >>> plain(0.00153), plain(8911.0)
    ('0.0015', '8,900')
    """
    digits = 1 - int(np.floor(np.log10(abs(value)))) if value else 0
    return f"{round(value, digits):,.{max(0, digits)}f}"


def spread(data: Images, seed: int) -> float:
    """Largest over smallest variance of the hidden layers' sums at Glorot's start, with tanh."""
    network = MLP(settings("tanh", seed=seed), data.x["train"].shape[1], 10)
    outs = network.forward(data.x["train"][:500])
    sums = [before @ layer.weights for before, layer in zip(outs, network.layers, strict=False)]
    variances = [float(part.var()) for part in sums[:-1]]
    return max(variances) / min(variances)


def starts_table(found: Any) -> pd.DataFrame:
    """The norms of `starts` as text."""
    table = pd.DataFrame({NAMES[c]: [plain(value) for value in found[c]] for c in found.columns})
    table.insert(0, "Start", [name.capitalize() for name in found.index])
    return table


def live_table(history: History, study: Any, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Validation losses of the page's training beside those of its row of the study, by step."""
    same = study
    for name in ("network", "step", "alpha", "hidden", "standardise", "train_size", "seed"):
        same = same[same[name] == parameters[name]]
    kept = curve(same.iloc[0])["validation"] if len(same) else pd.Series(dtype=float)
    rows = list(zip(history.step, history.validation, strict=True))[:6]
    return pd.DataFrame(
        {
            "Step": [str(step) for step, _ in rows],
            "Here": [f"{value:.4f}" for _, value in rows],
            "Study": [f"{kept[step]:.4f}" if step in kept.index else "" for step, _ in rows],
        }
    )


TIMED = 10_000  # images of the timing


def side_by_side(given: Settings, data: Images) -> dict[str, float]:
    """Seconds of an epoch over the first images by NumPy and by Keras, the better of two each."""
    few = Images(
        {"train": data.x["train"][:TIMED], "val": data.x["val"][:64]},
        {"train": data.labels["train"][:TIMED], "val": data.labels["val"][:64]},
    )
    found: dict[str, list[float]] = {"numpy": [], "keras": []}
    for _ in range(2):
        found["numpy"].append(train(given, few, 1)[2])
        found["keras"].append(train_keras(given, few, 2, since=1)[2])
    return {name: min(seconds) for name, seconds in found.items()}


def fits(study: Any) -> dict[str, int]:
    """How many printed numbers each reading comes within the tolerance of, and how many there are.

    A package's copy counts under neither where the study lacks it.
    """
    found, count = means(study), dict.fromkeys(READINGS, 0)
    for name, numbers in REPORTED.items():
        for column, reported in numbers.items():
            for reading in READINGS:
                if (name, reading) in found.index:
                    ours = {reading: float(found.loc[(name, reading), column])}
                    count[reading] += outcome(reported, column, ours) == reading
    return count | {"numbers": sum(map(len, REPORTED.values()))}


def _sentence_on_sigmoid(study: Any) -> str:
    """Where the sigmoid network's printed accuracies would come out."""
    found, reported = means(study), REPORTED["sigmoid"]["accuracy_test"]
    ours = {r: found.loc[("sigmoid", r), "accuracy_test"] for r in READINGS
            if ("sigmoid", r) in found.index}  # fmt: skip
    fit = outcome(reported, "accuracy_test", ours)
    told = f"The sigmoid network's test accuracy fits {fit}." if fit else ""
    step = step_for(study, reported, "accuracy_test")
    other = step_for(study, REPORTED["sigmoid"]["loss_val"], "loss_val")
    if step is not None:
        told += f" By the steps that were tried, it would take one near {step:.1g}"
        told += "." if other is None else f", and its validation loss one near {other:.1g}."
    return told


def glued(study: Any) -> dict[str, Any]:
    """Numbers and sentences of the text."""
    count, rows = fits(study), main_rows(study)
    timed = rows[(rows["network"] != "keras") & (rows["reading"] == "as stated")]["train_seconds"]
    stated, tenth = (count[reading] for reading in READINGS)
    better = "The shorter step" if tenth > stated else "The stated step"
    verdict = f"{better} explains more of them." if tenth != stated else "Both explain as many."
    if max(stated, tenth) < count["numbers"]:
        verdict += " Neither explains all."
    return {
        "numbers": count["numbers"],
        "stated_fit": stated or "none",
        "tenth_fit": tenth or "none",
        "verdict": verdict,
        "sigmoid_step": _sentence_on_sigmoid(study),
        "relu_tenth": _shown(study, "relu", "a tenth of the step"),
        "minutes": f"{timed.median() / 60:.1f}" if len(timed) else "?",
        "timed_rows": f"{TIMED:,}",
        "seeds": int(rows[rows["network"] == "sigmoid"].groupby("reading").size().max())
        if len(rows)
        else 0,
    }


def _shown(study: Any, name: str, reading: str) -> str:
    found = means(study)
    known = (name, reading) in found.index
    return f"{found.loc[(name, reading), 'accuracy_test']:.3f}" if known else "?"


def results(study: Any, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What the page records besides its claims."""
    found = {
        f"{name}, {reading}: {column}": float(value)
        for (name, reading), row in means(study).iterrows()
        for column, value in row.items()
    }
    counted = {f"fits {name}": value for name, value in fits(study).items()}
    return found | counted | {"numpy_over_keras": seconds["numpy"] / seconds["keras"]}
