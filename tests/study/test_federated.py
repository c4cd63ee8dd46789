"""The page on federations: its sentences and claims, recomputed from the study's columns."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from emtdamp.study import contests, pages
from emtdamp.study.chapters import federated, federated_claims, federated_kept

ROUNDS = range(1, 11)


def error(method: str, number: int, partition: str = "iid", passes: int = 1, kept: int = 100):
    """Mean over seeds."""
    study: Any = pages.study("federated").query("data == 'mnist'")
    for name, value in {"method": method, "partition": partition, "passes": passes}.items():
        study = study[study[name] == value]
    return float(study[study["kept"] == kept][f"error_{number}"].mean())


def test_who_is_lower_on_the_way():
    found = federated_claims.numbers(federated.read())
    counts = []
    for passes in (1, 3):
        ours, theirs = (
            [error(method, k, passes=passes) for k in ROUNDS] for method in ("em-tdamp", "fedavg")
        )
        counts.append(sum(b < a for a, b in zip(ours, theirs, strict=True)))
    text = f"after {counts[0]} with one local pass, after {counts[1]} with three"
    assert text in found["on_the_way"]


def test_goals_and_claims_are_recomputed():
    found = {claim.text: claim for claim in federated_claims.claims(federated.read())}
    start = "MNIST over ten clients: test error after round"
    for passes, words in ((1, "one local pass"), (3, "three local passes")):
        for number, limit in ((1, 0.055), (10, 0.022)):
            ours = error("em-tdamp", number, passes=passes)
            outcome = found[f"{start} {number}, {words}"].outcome
            assert (outcome == "missed") == (ours > limit)
        points = contests.reported("fed_mnist_error").query("method == 'em-tdamp' and x <= 10")
        below = sum(
            error("em-tdamp", int(x), passes=passes) < y
            for x, y in zip(points["x"], points["y"], strict=True)
        )
        where = f"at its points: MNIST, {words}"
        claim = found[f"Our error below the paper's federated EM-TDAMP {where}"]
        assert claim.ours == f"below at {below} of {len(points)}"
    ours, theirs = (error(method, 10, "dirichlet:0.3") for method in ("em-tdamp", "fedavg"))
    skewed = found[f"{start} 10, by label, at most that of federated averaging"]
    assert skewed.ours == pytest.approx(ours)
    assert (skewed.outcome == "missed") == (ours > theirs)
    half = found["Half of the neurons dropped in the federation: at most 0.1 points worse"]
    lost = error("em-tdamp", 10, kept=50) - error("em-tdamp", 10)
    assert half.outcome == ("holds" if lost <= 0.001 else "does not hold")


def test_a_goal_stays_where_federated_averaging_does_well():
    runs: Any = pages.study("federated").copy()
    runs["error_10"] = runs["error_10"].where(runs["method"] != "fedavg", 0.02)
    claims = federated_claims.claims(federated.Study(runs))
    (skewed,) = (claim for claim in claims if "by label, at most" in claim.text)
    assert skewed.outcome == "missed"


def two_runs(case: federated.Case, **columns: list[float]) -> federated.Study:
    """Two seeds of a case whose last round is 2."""
    return federated.Study(pd.DataFrame({**case._asdict(), "rounds": 2, "splits": 2, **columns}))


def test_errors_at_equal_bytes_lie_between_rounds():
    study = two_runs(
        federated.OURS,
        error_1=[0.1, 0.2], error_2=[0.06, 0.1], bytes_1=[10.0, 10.0], bytes_2=[20.0, 30.0],
    )  # fmt: skip
    assert study.at_bytes(federated.OURS, 15.0) == pytest.approx([0.08, 0.175])
    assert study.at_bytes(federated.OURS, 20.0) == pytest.approx([0.06, 0.15])
    assert study.in_common(federated.OURS, federated.OURS) == 25.0


def test_splits_of_boston_are_pairs():
    ours = federated_kept.BOSTON
    theirs = ours._replace(method="fedavg")
    worst = contests.worst_squares(2)
    one = two_runs(ours, squares_split_0=[40.0, 44.0], squares_split_1=[90.0, 90.0])
    two = two_runs(theirs, squares_split_0=[52.0, 52.0], squares_split_1=[95.0, 105.0])
    study = federated.Study(pd.concat([one.runs, two.runs]))
    assert federated_kept.nmse(study, ours)[0] == pytest.approx((42 + 90) / worst.sum())
    gap = federated_kept.gap(study, ours, theirs)
    assert gap.by == pytest.approx((10 + 10) / worst.sum())
    away = np.array([10, 10]) - gap.by * worst
    assert gap.error == pytest.approx(np.sqrt(2 * away.var(ddof=1)) / worst.sum())


def test_what_drops_neurons_begins_as_federated_averaging():
    study = federated.read()
    snip = federated_kept.levels(study, "fedavg, group lasso")
    assert [case.method for case in snip][:2] == ["fedavg", "fedavg, group lasso"]
    assert all(case.kept < 100 for case in snip[1:])
    standing = federated_kept.standings(study)
    assert 100 not in standing and 50 in standing
