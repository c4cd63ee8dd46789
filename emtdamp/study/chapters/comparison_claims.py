"""Claims of the page `comparison`: EM-TDAMP beside all others, and the post on what size costs."""

from __future__ import annotations

from emtdamp.study import contests, pages
from emtdamp.study.chapters.comparison import (
    CASES,
    FEW,
    MANY,
    OWN,
    POINT,
    PRICES,
    WHOLE,
    Study,
    scores,
    short,
)
from emtdamp.study.chapters.uncertainty_mathematics import POST
from emtdamp.study.claims import BOOK, Claim

SCORES = {
    "error": "test error", "rmse": "test error", "nll": "likelihood",
    "ece": "calibration (ECE)", "auroc": "clothes told from digits",
}  # fmt: skip
BACKPROP = "bayes by backprop"
WHILE_LEARNING = (OWN, "gradual", BACKPROP)  # lose neurons bit by bit


def claims(study: Study) -> list[Claim]:
    """A row for each."""
    return [*_beside(study), *_doubled(study), *_pruned(study), *_larger(study)]


def _beside(study: Study) -> list[Claim]:
    found = []
    for case in study.cases:
        if study.seeds(case) < 2:  # no standard error, no verdict
            continue
        for score in scores(case):
            standings = study.standings(case, score)
            ours = contests.spelled(standings, "neurons")
            runs = "splits, paired" if case == PRICES else "seeds"
            found.append(
                pages.versus(
                    f"Every method run on {CASES[case]}: EM-TDAMP's {SCORES[score]}",
                    reported="ahead",
                    ours=ours,
                    standing=pages.overall(standings.values()),
                    why=f"against each other method at each size; two standard errors over"
                    f" {study.seeds(case)} {runs}",
                    source=BOOK,
                )
            )
    same = study.by_bytes(FEW, "error")
    found.append(
        pages.versus(
            "Every network of points with as many bytes, twice the neurons: EM-TDAMP's test error",
            reported="ahead",
            ours=contests.spelled(same, "neurons"),
            standing=pages.overall(same.values()),
            why=f"{CASES[FEW]}, against each method without variances; two standard errors",
            source=BOOK,
        )
    )
    return found


def _doubled(study: Study) -> list[Claim]:
    whole, half = WHOLE[FEW], WHOLE[FEW] // 2
    single = study.mean(FEW, POINT, whole, "bytes")
    found = [
        pages.numeric(
            f"The method only doubles the number of parameters: {short(name)}, bytes",
            reported=2,
            ours=study.mean(FEW, name, whole, "bytes") / single,
            tolerance=0.0,
            why="bytes of the weights that a prediction needs, over those of one network",
            source=POST,
            certain="a mean and a variance for every weight",
        )
        for name in ("ivon",)
        if name in study.methods(FEW, whole)
    ]
    if BACKPROP not in study.methods(FEW, half):
        return found
    pruned = study.each(FEW, BACKPROP, half, "error")
    dense = study.each(FEW, POINT, whole, "error")
    found.append(
        pages.versus(
            "The doubled parameters are pruned away again: as many bytes as a network of points",
            reported="level or ahead",
            ours=f"error {pruned.mean():.2%} of {half} neurons with variances, {dense.mean():.2%}"
            f" of {whole} without",
            standing=pages.compare(pruned, dense, paired=False).standing,
            why=f"Bayes by Backprop against {short(POINT)}; two standard errors",
            source=POST,
        )
    )
    return found


def _pruned(study: Study) -> list[Claim]:
    sizes = study.sizes(FEW)
    whole, small = sizes[0], sizes[-1]
    names = [name for name in WHILE_LEARNING if name in study.methods(FEW, small)]
    found = []
    if BACKPROP in names:
        for neurons in sizes[1:]:
            errors = (study.mean(FEW, BACKPROP, n, "error") for n in (neurons, whole))
            lost = 100 * (next(errors) - next(errors))
            found.append(
                pages.statement(
                    f"Pruning loses little accuracy: Bayes by Backprop, {neurons} of {whole}",
                    reported="without much loss",
                    ours=f"{lost:.2f} points lost",
                    holds=lost < 1,
                    why="less than one point",
                    source=POST,
                )
            )

    def shares(score: str) -> dict[str, float]:
        return {
            name: study.mean(FEW, name, small, score) / study.mean(FEW, name, whole, score)
            for name in names
        }

    def spoken(of: dict[str, float]) -> str:
        return ", ".join(f"{short(name)} {share:.2f}" for name, share in of.items())

    memory, training, prediction = map(shares, ("bytes", "seconds", "microseconds"))
    what = f"of what the whole network takes, with {small} of {whole} neurons"
    return [
        *found,
        pages.statement(
            "Pruning reduces the memory that is used",
            reported="reduced",
            ours=f"{spoken(memory)} {what}",
            holds=max(memory.values()) < 1,
            why="bytes of the weights, by every method that prunes while it learns",
            source=POST,
            certain="whole neurons are removed, and their weights with them",
        ),
        pages.statement(
            "Pruning reduces the time of inference",
            reported="reduced",
            ours=f"{spoken(prediction)} {what}",
            holds=max(prediction.values()) < 0.9,
            why="the processor's time for a prediction, less by a tenth or more by every method",
            source=POST,
        ),
        pages.statement(
            "Pruning reduces the cost of computing",
            reported="reduced",
            ours=f"training: {spoken(training)} {what}",
            holds=max(training.values()) < 0.9,
            why="the processor's time for the training, less by a tenth or more by every method",
            source=POST,
        ),
        pages.statement(
            "Inference with a pruned model requires purpose-built hardware",
            reported="requires",
            ours=f"on this processor a prediction takes {spoken(prediction)} {what}",
            holds=min(prediction.values()) >= 0.9,
            why="no method is faster by a tenth; where whole neurons go, small dense arrays stay",
            source=POST,
        ),
    ]


def _larger(study: Study) -> list[Claim]:
    if MANY not in study.cases or POINT not in study.methods(MANY, WHOLE[MANY]):
        return []
    times = int(MANY.split()[0]) / int(FEW.split()[0])
    seconds = (study.mean(case, POINT, WHOLE[case], "seconds") for case in (MANY, FEW))
    return [
        pages.numeric(
            "The time to find the best weights is proportional to the data's size",
            reported=times,
            ours=next(seconds) / next(seconds),
            tolerance=0.2 * times,
            why=f"{short(POINT)}, ten passes over six times the images; a fifth for what else"
            " runs on the machine",
            source=POST,
        )
    ]
