"""Goals and claims of the page federated, and what its text quotes."""

from typing import Any

import numpy as np

from emtdamp.study import contests, pages
from emtdamp.study.chapters.federated import (
    HALVED,
    OURS,
    OURS_3,
    OURS_HALF,
    OURS_SKEWED,
    THEIRS,
    THEIRS_3,
    THEIRS_SKEWED,
    Case,
    Study,
)

PAIRS = {
    "one local pass": (OURS, THEIRS),
    "three local passes": (OURS_3, THEIRS_3),
    "rows dealt out by label": (OURS_SKEWED, THEIRS_SKEWED),
}


def claims(study: Study) -> list[pages.Claim]:
    """What was asked for, and what the paper's figure says."""
    end = study.rounds

    def goal(text: str, required: float, aim: float, case: Case, number: int) -> pages.Claim:
        values = study.scores(case, "error", number)
        spread = {"sd": float(values.std(ddof=1)), "n": len(values)} if len(values) > 1 else {}
        return pages.goal(
            f"MNIST over ten clients: test error {text}",
            required=required,
            aim=aim,
            ours=float(values.mean()),
            **spread,
        )

    found = []
    for name, case in (("one local pass", OURS), ("three local passes", OURS_3)):
        found.append(goal(f"after round 1, {name}", 0.055, 0.045, case, 1))
        found.append(goal(f"after round {end}, {name}", 0.022, 0.020, case, end))
    theirs = float(study.mean(THEIRS_SKEWED, "error")[end - 1])
    aim = min(0.025, np.nextafter(theirs, 0.0))
    what = f"after round {end}, by label, at most that of federated averaging"
    found.append(goal(what, theirs, aim, OURS_SKEWED, end))
    for name, (ours, rival) in PAIRS.items():
        standings = [study.standing(ours, rival, "error", k) for k in range(1, end + 1)]
        lower = int(np.sum(study.mean(ours, "error") < study.mean(rival, "error")))
        found.append(
            pages.versus(
                f"Ahead of federated averaging at every round, {name}",
                reported="ahead",
                ours=f"lower at {lower} of {end}",
                standing=pages.overall(standings),
                why=f"test error, two standard errors; seeds: {len(study.of(ours))}",
                source="this book" if ours == OURS_SKEWED else "paper's figures",
            )
        )
    whole, half = (float(study.mean(case, "error")[end - 1]) for case in (OURS, OURS_HALF))
    found.append(
        pages.statement(
            "Half of the neurons dropped in the federation: at most 0.1 points worse",
            reported="at most 0.1 points",
            ours=f"{half:.2%} against {whole:.2%}",
            holds=bool(half - whole <= 0.001),
            why="mean test error, one local pass",
            source="this book",
        )
    )
    rivals = [case for case in HALVED if case != OURS_HALF and study.has(case)]
    found.append(
        pages.versus(
            "Half of the neurons: better than federated averaging with pruning",
            reported="lower",
            ours=f"{half:.2%} against "
            + ", ".join(f"{study.mean(case, 'error')[end - 1]:.2%}" for case in rivals),
            standing=pages.overall(
                study.standing(OURS_HALF, case, "error", end) for case in rivals
            ),
            why="test error at the end, two standard errors; SNIP was not run",
            source="paper's figures",
        )
    )
    read: Any = contests.reported("fed_mnist_error").query("method == 'em-tdamp'")
    read = read[read["x"] <= end]
    for passes, case in (("one local pass", OURS), ("three local passes", OURS_3)):
        below = sum(
            float(study.mean(case, "error")[int(x) - 1]) < y
            for x, y in zip(read["x"], read["y"], strict=True)
        )
        found.append(
            pages.statement(
                f"Our error below the paper's federated EM-TDAMP at its points, {passes}",
                reported="below",
                ours=f"below at {below} of {len(read)}",
                holds=below == len(read),
                why="read off the paper's figure; its clients and network are not known to us",
                source="this book",
            )
        )
    return found


def numbers(study: Study) -> dict[str, Any]:
    """What the text quotes."""
    end = study.rounds
    error = {case: study.mean(case, "error") for case in (OURS, THEIRS, OURS_3, THEIRS_3)}
    skewed = [study.mean(case, "error")[end - 1] for case in (OURS_SKEWED, THEIRS_SKEWED)]
    sent = [study.scores(case, "bytes", 1).mean() / 20 / 1e3 for case in (OURS, THEIRS)]
    return {
        "rounds": end,
        "lower": int(np.sum(error[OURS] < error[THEIRS])),
        "theirs_lower": int(np.sum(error[THEIRS] < error[OURS])),
        "theirs_lower_3": int(np.sum(error[THEIRS_3] < error[OURS_3])),
        "first_ours": f"{error[OURS_3][0]:.2%}",
        "first_theirs": f"{error[THEIRS_3][0]:.2%}",
        "last_ours": f"{error[OURS_3][end - 1]:.2%}",
        "last_theirs": f"{error[THEIRS_3][end - 1]:.2%}",
        "one_last": f"{error[OURS][end - 1]:.2%}",
        "one_last_theirs": f"{error[THEIRS][end - 1]:.2%}",
        "skewed_ours": f"{skewed[0]:.2%}",
        "skewed_theirs": f"{skewed[1]:.2%}",
        "nll_ours": f"{study.mean(OURS, 'nll')[end - 1]:.3f}",
        "nll_theirs": f"{study.mean(THEIRS, 'nll')[end - 1]:.3f}",
        "kilobytes_ours": f"{sent[0]:.0f}",
        "kilobytes_theirs": f"{sent[1]:.0f}",
        "seeds": len(study.of(OURS)),
    }


def results(study: Study) -> dict[str, float]:
    """What the page records besides its claims."""
    end = study.rounds
    cases = {"one_pass": OURS, "three_passes": OURS_3, "by_label": OURS_SKEWED, "half": OURS_HALF}
    found = {
        f"{name}_{score}": float(study.mean(case, score)[end - 1])
        for name, case in cases.items()
        for score in ("error", "nll")
    }
    return found | {"fedavg_error": float(np.min(study.mean(THEIRS, "error")))}
