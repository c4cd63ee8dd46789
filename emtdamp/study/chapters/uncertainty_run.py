"""The page `uncertainty-run`: one method put to every test of uncertainty on MNIST."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import rotate

from emtdamp import datasets, metrics
from emtdamp.study import methods, plots, runs, uncertainty
from emtdamp.study.predictors import Predictor
from emtdamp.study.uncertainty import Entropies

ANGLES = range(0, 181, 15)  # degrees
ROTATED = 1_000  # test images that are
KEPT = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)  # shares of rows that are not handed over
BINS = 10
SCORES = ("accuracy", "nll", "brier", "ece")
PARTS = Entropies._fields


def fashion() -> np.ndarray:
    """(10000, 784): pictures of clothes, which no network here has seen anything of."""
    return datasets.scale_images(datasets.load_fashion_mnist_test().x_test)


def turned(x: np.ndarray, angle: float) -> np.ndarray:
    """Images (B, 784) turned by so many degrees about their middle, linearly interpolated."""
    pictures = x.reshape(-1, 28, 28)
    found = rotate(pictures, angle, axes=(2, 1), reshape=False, order=1)
    return np.clip(found, 0, 1).reshape(x.shape)


def scores(found: Predictor, task: runs.Task, rows: int = 10_000) -> dict[str, float]:
    """Every test: a row of the study.

    `rows`: how many test images, images of clothes, and training images are looked at.
    """
    x, y = task.x_test[:rows], np.asarray(task.y_test[:rows], int)
    p, parts = found.predict(x)
    row = {name: metrics.classification_scores(y, p)[name] for name in SCORES}
    row["confidence"] = float(p.max(axis=1).mean())
    seen = found.probabilities(task.x[:rows])
    labels = np.asarray(task.y[:rows], int)
    row["train_nll"] = metrics.negative_log_likelihood(labels, seen)
    row["train_accuracy"] = float((seen.argmax(axis=1) == labels).mean())
    row |= {"numbers": found.numbers, "training_seconds": found.seconds}
    row |= {f"{name}_test": float(part.mean()) for name, part in parts._asdict().items()}
    row |= _clothes(found, parts, rows) | _errors(y, p, parts)
    return row | _by_class(y, p, parts) | _reliability(y, p) | _turned(found, task)


def _clothes(found: Predictor, parts: Entropies, rows: int) -> dict[str, float]:
    p, others = found.predict(fashion()[:rows])
    row = {"confidence_fashion": float(p.max(axis=1).mean())}
    for name in PARTS:
        here, there = getattr(parts, name), getattr(others, name)
        row[f"{name}_fashion"] = float(there.mean())
        row[f"auroc_{name}"] = uncertainty.detection(here, there)
    return row


def _errors(y: np.ndarray, p: np.ndarray, parts: Entropies) -> dict[str, float]:
    wrong = p.argmax(axis=1) != y
    row = {
        f"errors_{name}": uncertainty.detection(part[~wrong], part[wrong])
        for name, part in parts._asdict().items()
    }
    left = uncertainty.rejection(wrong, parts.total, KEPT)
    return row | {f"error_at_{100 * k:g}": float(e) for k, e in zip(KEPT, left, strict=True)}


def _by_class(y: np.ndarray, p: np.ndarray, parts: Entropies) -> dict[str, float]:
    frame = uncertainty.by_class(y, p, parts)
    return {
        f"{name}_{digit}": float(frame.loc[digit, name])  # pyright: ignore
        for name in frame
        for digit in frame.index
    }


def _reliability(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    frame = uncertainty.reliability(y, p, BINS)
    return {
        f"{name}_bin_{number}": float(frame.loc[number, name])  # pyright: ignore
        for name in ("confidence", "accuracy")
        for number in frame.index
    }


def _turned(found: Predictor, task: runs.Task) -> dict[str, float]:
    x, y, row = task.x_test[:ROTATED], task.y_test[:ROTATED], {}
    for angle in ANGLES:
        p, parts = found.predict(turned(x, angle))
        row[f"accuracy_turned_{angle}"] = float((p.argmax(axis=1) == y).mean())
        row[f"confidence_turned_{angle}"] = float(p.max(axis=1).mean())
        row |= {f"{n}_turned_{angle}": float(v.mean()) for n, v in parts._asdict().items()}
    return row


def figure(row: dict[str, float], method: str) -> None:
    """How sure the method is of a turned digit, and how often it is right."""
    (ax,) = plots.panels(1)
    looks: dict[str, Any] = {"confidence": "-", "accuracy": ":"}
    for name, style in looks.items():
        values = [row[f"{name}_turned_{angle}"] for angle in ANGLES]
        ax.plot(list(ANGLES), values, style, lw=2, color=plots.COLOURS[method], label=name)
    ax.set(xlabel="turned by, degrees", ylim=(0, 1.02), xticks=range(0, 181, 30))
    plots.end_labels(ax)


def table(row: dict[str, float], method: str) -> pd.DataFrame:
    """The main scores of this run."""
    shown = {
        "Method": methods.label(method),
        "Test accuracy": f"{row['accuracy']:.2%}",
        "NLL, nats": f"{row['nll']:.3f}",
        "ECE": f"{row['ece']:.3f}",
        "Entropy, nats": f"{row['total_test']:.3f}",
        "of it epistemic": f"{row['epistemic_test']:.3f}",
        "AUROC of clothes by the entropy": f"{row['auroc_total']:.3f}",
        "AUROC of clothes by its epistemic part": f"{row['auroc_epistemic']:.3f}",
    }
    return pd.DataFrame({"Test": list(shown), "Value": list(shown.values())})
