"""What the post on Bayesian neural networks says, each claim that can be tested."""

from __future__ import annotations

from emtdamp.study import pages
from emtdamp.study.chapters import sizes, uncertainty_boston, uncertainty_mathematics
from emtdamp.study.chapters.uncertainty import (
    ENSEMBLE,
    FEW,
    IMAGES,
    NEURONS,
    OWN,
    POINT,
    Study,
    falls,
    label,
)
from emtdamp.study.chapters.uncertainty_mathematics import POST
from emtdamp.study.claims import Claim

DROPOUT, BACKPROP = "mc dropout", "bayes by backprop"


def claims(study: Study, fits: uncertainty_boston.Fits) -> list[Claim]:
    """A row for each."""
    return [
        *_kinds(study, fits),
        *_points(study),
        *_counted(study),
        *_pruning(),
        *uncertainty_mathematics.claims(),
    ]


def _kinds(study: Study, fits: uncertainty_boston.Fits) -> list[Claim]:
    found = []
    for part, reported in {"epistemic": "can be reduced", "aleatoric": "cannot be reduced"}.items():
        left = falls(study, part)
        spoken = ", ".join(f"{label(name)} {share:.2f}" for name, share in left.items())
        down = all(share < 0.9 for share in left.values())
        holds = down if part == "epistemic" else all(share > 0.9 for share in left.values())
        found.append(
            pages.statement(
                f"{part.capitalize()} uncertainty {reported} by more data",
                reported=reported,
                ours=f"what is left after ten times the images: {spoken}" if left else "not run",
                holds=bool(left) and holds,
                why=f"the mean {part} entropy of test digits falls by more than a tenth from "
                f"{FEW:,} to {IMAGES:,} images, by every method; or by none",
                source=POST,
            )
        )
    gap = uncertainty_boston.gap(fits)
    values = (fits.each(name, "log_likelihood").mean() for name in
              (uncertainty_boston.OWNED, uncertainty_boston.SAME))  # fmt: skip
    found.append(
        pages.versus(
            "Noise that depends on x keeps predictions from being very confident",
            reported="ahead",
            ours="log-likelihood {:.3f} against {:.3f}".format(*values),
            standing=gap.standing,
            why="Boston, ensembles of 5 with it and with one noise; two standard errors, paired",
            source=POST,
        )
    )
    return found


def _points(study: Study) -> list[Claim]:
    found = []
    for text, where in [("on test digits", ""), ("on digits turned by 45 degrees", "_turned_45")]:
        gap = study.each(POINT, f"confidence{where}") - study.each(POINT, f"accuracy{where}")
        found.append(
            pages.statement(
                f"Networks of point estimates make overconfident predictions, {text}",
                reported="overconfident",
                ours=f"too sure by {100 * gap.mean():.1f} points ({label(POINT)})",
                holds=bool(gap.min() > 0.005),
                why="confidence above accuracy by half a point or more, every seed",
                source=POST,
            )
        )
    over = {name: study.mean(name, "nll") - study.mean(name, "train_nll") for name in study.methods}
    spoken = ", ".join(f"{label(name)} {gap:.3f}" for name, gap in over.items())
    others = [over[name] for name in study.several if name != ENSEMBLE]
    found.append(
        pages.statement(
            "Averaging over parameters makes a network robust to overfitting",
            reported="robust",
            ours=f"test less training NLL: {spoken}",
            holds=max(others) < over[POINT],
            why=f"a smaller gap than {label(POINT)}'s by every method that draws weights",
            source=POST,
        )
    )
    rivals = [name for name in (OWN, BACKPROP, DROPOUT) if name in study.methods]
    for name in rivals:
        found.append(
            pages.versus(
                f"Uncertainty of parameters improves predictions: {label(name)}, NLL",
                reported="ahead",
                ours=f"{study.mean(name, 'nll'):.3f} against {study.mean(POINT, 'nll'):.3f}",
                standing=study.against(name, POINT, "nll"),
                why=f"against {label(POINT)}; two standard errors",
                source=POST,
            )
        )
        found.append(
            pages.versus(
                f"Uncertainty of parameters is accounted for: {label(name)}, clothes told apart",
                reported="ahead",
                ours=f"AUROC {study.mean(name, 'auroc_total'):.3f} against "
                f"{study.mean(POINT, 'auroc_total'):.3f}",
                standing=study.against(name, POINT, "auroc_total", more_is_better=True),
                why=f"by the prediction's entropy, against {label(POINT)}; two standard errors",
                source=POST,
            )
        )
    return found


def _counted(study: Study) -> list[Claim]:
    single = study.mean(POINT, "numbers")
    rows = [
        (name, 2, "a mean and a variance for every weight")
        for name in (OWN, BACKPROP)
        if name in study.methods
    ]
    found = [
        pages.numeric(
            f"The method only doubles the number of parameters: {label(name)}",
            reported=times,
            ours=study.mean(name, "numbers") / single,
            tolerance=0.0,
            why="numbers stored, over those of one network",
            source=POST,
            certain=certain,
        )
        for name, times, certain in rows
    ]
    for name, *_ in rows:
        found.append(
            pages.versus(
                f"… and yet is an infinite ensemble: {label(name)} against an ensemble of 5, NLL",
                reported="level or ahead",
                ours=f"{study.mean(name, 'nll'):.3f} against {study.mean(ENSEMBLE, 'nll'):.3f}",
                standing=study.against(name, ENSEMBLE, "nll"),
                why="two standard errors; the ensemble stores five networks",
                source=POST,
            )
        )
    return found


def _pruning() -> list[Claim]:
    study = sizes.load()
    rows = {neurons: sizes.of(study, IMAGES, neurons) for neurons in NEURONS}
    best = rows[NEURONS[0]]["accuracy"].mean()
    lost = {
        neurons: 100 * float(best - rows[neurons]["accuracy"].mean()) for neurons in NEURONS[1:]
    }
    pruned = rows[32]["accuracy"].to_numpy(float)
    theirs = 1 - rows[32]["adam_error_10"].to_numpy(float)
    standing = pages.compare(pruned, theirs, paired=False, more_is_better=True).standing
    return [
        *(
            pages.statement(
                f"Pruning loses little accuracy: {neurons} of {NEURONS[0]} neurons left",
                reported="without much loss",
                ours=f"{points:.2f} points lost",
                holds=points < 1,
                why="EM-TDAMP, less than one point",
                source=POST,
            )
            for neurons, points in lost.items()
        ),
        pages.versus(
            "Training a large model and pruning it is comparable to training a small dense one",
            reported="comparable",
            ours=f"{pruned.mean():.2%} against {theirs.mean():.2%}",
            standing=standing,
            why="accuracy, EM-TDAMP pruned to 32 of 128 against Adam on 32; two standard errors",
            source=POST,
        ),
        pages.statement(
            "Pruning reduces the sparsity of the connections",
            reported="reduces",
            ours="fewer weights are left: sparsity is the share that is zero, and it rises",
            holds=False,
            why="the meaning of the word",
            source=POST,
            certain="removing weights makes more of them zero",
        ),
    ]
