"""What the report's program says of itself, and what came out: claims of the page `audit`."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from emtdamp.baselines import report
from emtdamp.study import pages
from emtdamp.study.chapters.audit import PRINTED, Steps, same, zero_weights


def claims(
    runs: dict[str, report.Result], study: pd.DataFrame, steps: Steps, after: dict[str, float]
) -> list[pages.Claim]:
    """What the report says of its program, tested on this page's runs and the study's."""
    zeros, total = zero_weights(runs[PRINTED])
    left = steps.left
    starts = initial_weights()
    right, wrong = after.values()
    ece = study[f"{PRINTED}: ece"].mean()
    return [
        pages.statement(
            "Pruning: the program prunes neurons",
            reported="50 % of the hidden neurons",
            ours=f"{zeros} of {total} weights are zero",
            holds=bool(not same(runs) and zeros > 0),
            why="the target changes some prediction, and some saved weight is zero",
            certain="no prediction reads rho",
        ),
        pages.statement(
            "Target sparsity: 0.1 prunes a tenth of the neurons",
            reported="13 pruned, 115 left",
            ours=f"{left[0.1]} left",
            holds=left[0.1] > 64,
            why="a target of 0.1 leaves more than half of the neurons",
            certain="the target is the fraction that stays",
        ),
        pages.statement(
            "Module A updates posteriors",
            reported="posteriors of the weights",
            ours=f"variance {right:.4f} and {wrong:.4f} for right and random labels",
            holds=right != wrong,
            why="the variance depends on the labels",
            certain="it is multiplied by 0.95 a step, whatever the data",
        ),
        pages.statement(
            "Low entropy: the model is confident, and rightly so",
            reported="reflects high confidence",
            ours=f"{study['confidence where wrong'].mean():.0%} sure where it is wrong, "
            f"ECE {ece:.3f} (n = {len(study)})",
            holds=bool(ece < 0.02),
            why="expected calibration error below 0.02",
        ),
        pages.statement(
            "Random seeds are set for reproducibility",
            reported="reproducible",
            ours=f"first initial weight {starts[0]:+.4f}, then {starts[1]:+.4f}",
            holds=starts[0] == starts[1],
            why="the same seeds give the same initial weights",
            certain="Keras draws them from a generator that is not seeded",
        ),
    ]


def initial_weights() -> tuple[float, float]:
    """The first initial weight twice, each time after what the program seeds is seeded."""
    found = []
    for _ in range(2):
        tf.random.set_seed(42)
        np.random.seed(42)  # noqa: NPY002
        found.append(float(keras.initializers.GlorotUniform()((784, 128))[0, 0]))
    return found[0], found[1]
