"""Claims of the page `sizes`, and the sentence on its goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emtdamp.study import claims, pages, runs
from emtdamp.study.chapters.sizes import CASE, GOALS, NAMES, of


def goals_in_words(found: Sequence[claims.Claim]) -> dict[str, claims.Scalar]:
    """How many goals there are and how many were reached, met or missed."""
    outcomes = [claim.outcome for claim in found if claim.goal]
    return {
        "goals": len(outcomes),
        "reached": outcomes.count("aim reached"),
        "met": outcomes.count("met"),
        "missed": outcomes.count("missed"),
    }


def study_claims(study: Any, run: runs.Result) -> list[claims.Claim]:
    """Goals of all sizes; calibration, pixels and the first pass; and the run repeated here."""
    found = []
    for (images, neurons), limits in GOALS.items():
        for score, (required, aim) in zip(NAMES, limits, strict=True):
            each = of(study, images, neurons)[score]
            text = f"MNIST, {images:,} images, {neurons} neurons: {NAMES[score]}"
            found.append(_goal(text, each, required=required, aim=aim))
    eight = study[(study["update"] == "decoupled") & (study["input_sparsity"] == 0)]
    lost = of(study, 60_000, 64)["accuracy"].mean()
    lost -= of(study, 60_000, 64, pixels=0.5)["accuracy"].mean()
    found += [
        pages.goal(
            "MNIST: expected calibration error, the largest of the eight sizes",
            required=0.012,
            aim=0.006,
            ours=float(eight.groupby(CASE)["ece"].mean().max()),
        ),
        pages.goal(
            "MNIST, 60,000 images, 64 neurons: accuracy lost by half of the pixels",
            required=0.003,
            aim=0.001,
            ours=float(lost),
        ),
    ]
    for form in ("window", "decoupled"):
        text = f"MNIST, 60,000 images, 128 neurons: test error after one pass, {form} form"
        each = of(study, 60_000, 128, form=form)["error_1"]
        found.append(_goal(text, each, required=0.038, at_most=True))
    return found + _repeated(study, run)


def _repeated(study: Any, run: runs.Result) -> list[claims.Claim]:
    seed = run.settings.seed
    there = of(study, 10_000, 64, pixels=0.5).set_index("seed").loc[seed]
    spread = study[study["train_size"] == 10_000].groupby(CASE)[["accuracy", "nll"]].std()
    return [
        pages.numeric(
            f"The study's {name} for seed {seed}, 64 neurons and half of the pixels",
            reported=float(there[score]),
            ours=float(run.metrics[f"test_{score}"]),
            tolerance=4 * float(np.sqrt((spread[score] ** 2).mean())),
            why="four standard deviations between seeds, pooled over the sizes",
            source="study",
        )
        for score, name in {"accuracy": "accuracy", "nll": NAMES["nll"]}.items()
    ]


def _goal(text: str, each: Any, **limits: Any) -> claims.Claim:
    return pages.goal(text, ours=each.mean(), sd=each.std(), n=len(each), **limits)
