"""The page `choices`: EM-TDAMP with one setting changed, scored on training images held out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from emtdamp import EMTDAMPClassifier, datasets
from emtdamp.errors import UsageError
from emtdamp.metrics import expected_calibration_error
from emtdamp.scaling import scaling
from emtdamp.training import fitting, recipes
from emtdamp.training.forms import Schedule

TRAINING = 50_000  # images; the 10,000 after them are held out


def _counts(factor: float) -> Callable[[Schedule], dict[str, float]]:
    return lambda s: {
        "width_start": factor * s.width_start,
        "width_end": factor * s.width_end,
    }


def _same(_: Schedule) -> dict[str, float]:
    return {}


# name: (the estimator's parameters, the schedule from the estimator's)
CHANGES: dict[str, tuple[dict[str, Any], Callable[[Schedule], dict[str, float]]]] = {
    "defaults": ({}, _same),
    "steps half as large": ({}, lambda s: {"lr": s.lr / 2}),
    "steps twice as large": ({}, lambda s: {"lr": 2 * s.lr}),
    "momentum 0.9": ({}, lambda s: {"momentum": 0.9}),
    "steps clipped at half": ({}, lambda s: {"clip": s.clip / 2}),
    "precision remembers 1 epoch": ({}, lambda s: {"memory": 1.0}),
    "mean of 1/20 epoch": ({}, lambda s: {"average": 0.05}),
    "half the counts": ({}, _counts(0.5)),
    "twice the counts": ({}, _counts(2.0)),
    "each row counted once": ({}, lambda s: {"width_start": 1.0, "width_end": 1.0}),
    "full counts from the start": ({}, lambda s: {"width_start": s.width_end}),
    "slab 100": ({"slab": 100.0}, _same),
    "incoming weights in the groups": ({"share_incoming": True}, _same),
    "window form": ({"update": "window"}, _same),
}


def scores(setting: str, images: int, neurons: int, em_iters: int, seed: int) -> dict[str, float]:
    """Accuracy, negative log-likelihood and calibration error on the images held out.

    Args:
        setting: a name in `CHANGES`.
        images: the first so many are learnt from.
        neurons: left of 128.
        em_iters: passes over the images.
        seed: of the start and the order of the images.

    Raises:
        UsageError: for another `setting`.
    """
    if setting not in CHANGES:
        raise UsageError(f"setting={setting!r}; use one of {', '.join(CHANGES)}")
    given, change = CHANGES[setting]
    mnist = datasets.load_mnist()
    x, y = datasets.scale_images(mnist.x_train), mnist.y_train
    x_held, y_held = x[TRAINING:], y[TRAINING:]
    model = EMTDAMPClassifier((128,), sparsity=1 - neurons / 128)
    model.set_params(em_iters=em_iters, **given)
    scale = scaling(x[:images], np.ones(images), 0.5)
    data = fitting.Data(scale(x[:images]), y[:images].astype(np.int32), np.ones(images))
    recipe = recipes.make(model.get_params(), data, 10, 1.0)
    schedule = recipe.schedule._replace(**change(recipe.schedule))
    trained = fitting.train(data, recipe._replace(schedule=schedule), seed)
    log_p = trained.posterior.log_probabilities(scale(x_held))
    return {
        "accuracy": float((log_p.argmax(axis=1) == y_held).mean()),
        "nll": -float(log_p[np.arange(len(y_held)), y_held].mean()),
        "ece": float(expected_calibration_error(y_held, np.exp(log_p))),
    }


def shown(found: Mapping[tuple[int, int], Mapping[str, float]]) -> pd.DataFrame:
    """`scores` by (images, neurons left), as the page shows them."""
    rows = {
        f"{images:,} images, {neurons} neurons left": {
            "Accuracy, %": f"{100 * row['accuracy']:.2f}",
            "NLL": f"{row['nll']:.4f}",
            "ECE": f"{row['ece']:.4f}",
        }
        for (images, neurons), row in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")
