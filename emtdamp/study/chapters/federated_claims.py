"""Goals and claims of the page federated, and what its text quotes."""

from typing import Any

import numpy as np

from emtdamp.study import contests, federations, pages
from emtdamp.study.chapters.federated import (
    GAUSSIANS,
    HALVED,
    LIMIT,
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
from emtdamp.study.chapters.federated_kept import (
    BOSTON,
    BOSTON_THEIRS,
    gap,
    nmse,
    squares,
    standings,
)

PAIRS = {
    "one local pass": (OURS, THEIRS),
    "three local passes": (OURS_3, THEIRS_3),
    "rows dealt out by label": (OURS_SKEWED, THEIRS_SKEWED),
}
WORDS = {"ahead": "ahead", "behind": "behind", "level": "level", "undecided": "not told apart"}
RULES = {
    "mean": "means and spreads each by their mean",
    "geometric": "by the same rule as EM-TDAMP's: means weighted by precision",
}
PASSES = {"one local pass": OURS, "three local passes": OURS_3}


def claims(study: Study) -> list[pages.Claim]:
    """What was asked for, and what the paper's figures say, of all that was run."""
    return [
        *_goals(study),
        *_by_round(study),
        *_bytes(study),
        *_dropped(study),
        *_boston(study),
        *_paper(study),
    ]


def _goals(study: Study) -> list[pages.Claim]:
    end = study.rounds()[-1]

    def goal(text: str, required: float, aim: float, case: Case, number: int) -> pages.Claim:
        values = study.scores(case, "error", number)
        around = {"sd": float(values.std(ddof=1)), "n": len(values)} if len(values) > 1 else {}
        text = f"MNIST over ten clients: test error {text}"
        ours = float(values.mean())
        return pages.goal(text, required=required, aim=aim, ours=ours, **around)

    found = []
    for name, case in PASSES.items():
        found.append(goal(f"after round 1, {name}", 0.055, 0.045, case, 1))
        found.append(goal(f"after round {end}, {name}", 0.022, 0.020, case, end))
    theirs = float(study.last(THEIRS_SKEWED).mean())
    aim = min(0.025, np.nextafter(theirs, 0.0))
    what = f"after round {end}, by label, at most that of federated averaging"
    return [*found, goal(what, theirs, aim, OURS_SKEWED, end)]


def _by_round(study: Study) -> list[pages.Claim]:
    found = []
    for name, (ours, rival) in PAIRS.items():
        rounds = study.rounds()
        each = [study.standing(ours, rival, "error", k) for k in rounds]
        lower = int(np.sum(study.mean(ours, "error") < study.mean(rival, "error")))
        found.append(
            pages.versus(
                f"Ahead of federated averaging at every round, {name}",
                reported="ahead",
                ours=f"lower at {lower} of {len(rounds)}",
                standing=pages.overall(each),
                why=f"test error, two standard errors; seeds: {len(study.of(ours))}",
                source="this book" if ours == OURS_SKEWED else "paper's figures",
            )
        )
    if study.has(GAUSSIANS):
        one, two = (study.last(case).mean() for case in (OURS, GAUSSIANS))
        found.append(
            pages.versus(
                "Ahead of federated averaging of Bayes by Backprop at the end",
                reported="ahead",
                ours=f"{one:.2%} against {two:.2%}",
                standing=gap(study, OURS, GAUSSIANS).standing,
                why="test error, one local pass, two standard errors",
                source="this book",
            )
        )
    return found


def _bytes(study: Study) -> list[pages.Claim]:
    sent = study.in_common(OURS_SKEWED, THEIRS_SKEWED)
    one, two = (study.at_bytes(case, sent) for case in (OURS_SKEWED, THEIRS_SKEWED))
    found = [
        pages.versus(
            "Rows dealt out by label, at equal bytes: lower error than federated averaging",
            reported="ahead",
            ours=f"{one.mean():.2%} against {two.mean():.2%}",
            standing=pages.compare(one, two, paired=False).standing,
            why=f"when both have sent {sent / 1e6:.0f} MB, on a line between two rounds",
            source="this book",
        )
    ]
    for kept, (case, *rivals) in {
        "all neurons": (OURS, THEIRS, GAUSSIANS),
        "half of the neurons": HALVED,
    }.items():
        rivals = [rival for rival in rivals if study.has(rival)]
        ours, others = study.reaches(case), [study.reaches(rival) for rival in rivals]
        for name, place in (("rounds", 0), ("bytes", 1)):
            texts = [_reached(found, place) for found in (ours, *others)]
            fewer = [ours and (not found or ours[place] < found[place]) for found in others]
            found.append(
                pages.statement(
                    f"Fewer {name} to {1 - LIMIT:.1%} than every rival, {kept}",
                    reported="fewer",
                    ours=f"{texts[0]} against {', '.join(texts[1:])}",
                    holds=all(fewer),
                    why="mean test error, one local pass: "
                    + "; ".join(federations.LABELS[rival.method] for rival in rivals),
                    source="this book",
                )
            )
    return found


def _reached(found: tuple[int, float] | None, place: int) -> str:
    if found is None:
        return "never"
    return f"{found[0]}" if place == 0 else f"{found[1] / 1e6:.0f} MB"


def _dropped(study: Study) -> list[pages.Claim]:
    whole, half = (float(study.last(case).mean()) for case in (OURS, OURS_HALF))
    found = [
        pages.statement(
            "Half of the neurons dropped in the federation: at most 0.1 points worse",
            reported="at most 0.1 points",
            ours=f"{half:.2%} against {whole:.2%}",
            holds=bool(half - whole <= 0.001),
            why="mean test error, one local pass",
            source="this book",
        )
    ]
    rivals = [case for case in HALVED if case != OURS_HALF and study.has(case)]
    found.append(
        pages.versus(
            "Half of the neurons: better than federated averaging with pruning",
            reported="lower",
            ours=f"{half:.2%} against "
            + ", ".join(f"{study.last(case).mean():.2%}" for case in rivals),
            standing=pages.overall(gap(study, OURS_HALF, case).standing for case in rivals),
            why="test error at the end, two standard errors: "
            + "; ".join(case.label for case in rivals),
            source="paper's figures",
        )
    )
    for data, name in (("mnist", "MNIST"), ("boston", "Boston")):
        each = standings(study, data)
        if len(each) > 1:
            found.append(
                pages.versus(
                    f"{name}, neurons dropped in the federation: ahead at all levels",
                    reported="ahead",
                    ours=contests.spelled(each),
                    standing=pages.overall(each.values()),
                    why=f"beside all that drop neurons, at {len(each)} levels",
                    source="paper's figures",
                )
            )
    return found


def _boston(study: Study) -> list[pages.Claim]:
    if not study.has(BOSTON):
        return []
    error, around = nmse(study, BOSTON)
    splits = len(squares(study, BOSTON))
    found = [
        pages.goal(
            f"Boston over five clients: NMSE after round {study.rounds('boston')[-1]}",
            required=0.125,
            at_most=True,
            ours=error,
            sd=around * splits**0.5,
            n=splits,
        )
    ]
    if study.has(BOSTON_THEIRS):
        found.append(
            pages.versus(
                "Boston over five clients: ahead of federated averaging at the end",
                reported="ahead",
                ours=f"{error:.3f} against {nmse(study, BOSTON_THEIRS)[0]:.3f}",
                standing=gap(study, BOSTON, BOSTON_THEIRS).standing,
                why=f"NMSE pooled over {splits} splits, paired",
                source="paper's figures",
            )
        )
    return found


def _paper(study: Study) -> list[pages.Claim]:
    found = []
    cases = [(f"MNIST, {name}", case, "fed_mnist_error") for name, case in PASSES.items()]
    cases += [("Boston", BOSTON, "fed_boston_nmse")] * study.has(BOSTON)
    for name, case, figure in cases:
        error = study.mean(case, "error")
        read: Any = contests.reported(figure).query("method == 'em-tdamp'")
        read = read[read["x"].isin(error.index)]
        below = sum(error[int(x)] < y for x, y in zip(read["x"], read["y"], strict=True))
        found.append(
            pages.statement(
                f"Our error below the paper's federated EM-TDAMP at its points: {name}",
                reported="below",
                ours=f"below at {below} of {len(read)}",
                holds=bool(below == len(read)),
                why="read off the paper's figure; its clients and network are not known to us",
                source="this book",
            )
        )
    return found


def numbers(study: Study) -> dict[str, Any]:
    """What the text quotes."""
    end = study.rounds()[-1]
    error = {case: study.mean(case, "error") for case in (OURS, THEIRS, OURS_3, THEIRS_3)}
    sent = [study.scores(case, "bytes", 1).mean() / 20 / 1e3 for case in (OURS, THEIRS)]
    return {
        "rounds": end,
        "lower": int(np.sum(error[OURS] < error[THEIRS])),
        "first_ours": f"{error[OURS_3].iloc[0]:.2%}",
        "first_theirs": f"{error[THEIRS_3].iloc[0]:.2%}",
        "last_ours": f"{error[OURS_3].iloc[-1]:.2%}",
        "last_theirs": f"{error[THEIRS_3].iloc[-1]:.2%}",
        "one_last": f"{error[OURS].iloc[-1]:.2%}",
        "one_last_theirs": f"{error[THEIRS].iloc[-1]:.2%}",
        "skewed_ours": f"{study.last(OURS_SKEWED).mean():.2%}",
        "skewed_theirs": f"{study.last(THEIRS_SKEWED).mean():.2%}",
        "nll_ours": f"{study.last(OURS, 'nll').mean():.3f}",
        "nll_theirs": f"{study.last(THEIRS, 'nll').mean():.3f}",
        "kilobytes_ours": f"{sent[0]:.0f}",
        "kilobytes_theirs": f"{sent[1]:.0f}",
        "seeds": len(study.of(OURS)),
        "to_limit": to_limit(study),
        "on_the_way": on_the_way(study),
        "dropped": dropped(study),
        "variational_rule": RULES[federations.best(GAUSSIANS.method, "mnist", "iid", 1).rule],
        "variational": variational(study),
        "boston": boston(study),
    }


def to_limit(study: Study) -> str:
    """Megabytes to `LIMIT`, in half a sentence."""
    found = [_reached(study.reaches(case), 1) for case in (OURS, THEIRS)]
    texts = [text.replace("never", "does not get there in ten rounds") for text in found]
    texts = [f"sends {text}" if text.endswith("MB") else text for text in texts]
    return f"EM-TDAMP {texts[0]}, federated averaging {texts[1]}"


def on_the_way(study: Study) -> str:
    """After how many rounds federated averaging has the lower error."""
    rounds, counts = len(study.rounds()), []
    for ours, theirs in (PAIRS["one local pass"], PAIRS["three local passes"]):
        counts.append(int(np.sum(study.mean(theirs, "error") < study.mean(ours, "error"))))
    return (
        f"Of {rounds} rounds federated averaging, at its best rate, has the lower error after"
        f" {counts[0]} with one local pass, after {counts[1]} with three."
    )


def variational(study: Study) -> str:
    """Bayes by Backprop over clients, in a sentence."""
    if not study.has(GAUSSIANS):
        return "The study has no run of it yet."
    found = [study.last(case).mean() for case in (OURS, GAUSSIANS)]
    standing = WORDS[gap(study, OURS, GAUSSIANS).standing]
    return (
        f"Its last error is {found[1]:.2%}, that of EM-TDAMP {found[0]:.2%}: EM-TDAMP is"
        f" {standing}."
    )


def dropped(study: Study) -> str:
    """How EM-TDAMP stands where neurons are dropped, in a sentence."""
    names = {"mnist": "on MNIST", "boston": "on Boston"}
    found = {name: standings(study, data) for data, name in names.items()}
    texts = [f"{name} {contests.spelled(each)}" for name, each in found.items() if each]
    if not texts:
        return "The study has no run of it yet."
    return (
        "By the error at the end, beside federated averaging with pruning, EM-TDAMP is"
        f" {'; '.join(texts)} of the neurons."
    )


def boston(study: Study) -> str:
    """Boston at the end, in a sentence."""
    if not (study.has(BOSTON) and study.has(BOSTON_THEIRS)):
        return "The study has no run of it yet."
    ours, theirs = (nmse(study, case)[0] for case in (BOSTON, BOSTON_THEIRS))
    standing = WORDS[gap(study, BOSTON, BOSTON_THEIRS).standing]
    return (
        f"After {study.rounds('boston')[-1]} rounds EM-TDAMP has an NMSE of {ours:.3f},"
        f" federated averaging {theirs:.3f}: EM-TDAMP is {standing}, paired over the splits."
    )


def results(study: Study) -> dict[str, float]:
    """What the page records besides its claims."""
    cases = {"one_pass": OURS, "three_passes": OURS_3, "by_label": OURS_SKEWED, "half": OURS_HALF}
    found = {
        f"{name}_{score}": float(study.last(case, score).mean())
        for name, case in cases.items()
        for score in ("error", "nll")
    }
    return found | {"fedavg_error": float(study.mean(THEIRS, "error").min())}
