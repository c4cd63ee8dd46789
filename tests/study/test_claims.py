import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from emtdamp.errors import UsageError
from emtdamp.study import claims


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (0.93, "reproduced"),
        (0.94, "reproduced"),  # 0.94 - 0.93 is above 0.01 in floating point
        (0.92, "reproduced"),
        (0.9401, "not reproduced"),
        (0.9199, "not reproduced"),
    ],
)
def test_a_number_is_reproduced_within_its_tolerance_ends_included(ours, verdict):
    claim = claims.numeric("a", reported=0.93, ours=ours, tolerance=0.01, why="x")
    assert claim.outcome == verdict
    assert claim.verdict == f"{verdict} within 0.01"


def test_a_tolerance_of_nothing_asks_for_the_same_number():
    count = claims.numeric("neurons", reported=64, ours=64, tolerance=0, why="a count")
    assert count.verdict == "reproduced within 0"
    other = claims.numeric("neurons", reported=64, ours=65, tolerance=0, why="a count")
    assert other.verdict == "not reproduced within 0"


@pytest.mark.parametrize(
    ("holds", "verdict"), [(True, "holds"), (np.bool_(False), "does not hold")]
)
def test_a_statement_holds_by_its_condition(holds, verdict):
    claim = claims.statement("pruned", reported="yes", ours="no", holds=holds, why="zero weights")
    assert claim.verdict == verdict


def test_a_verdict_cannot_be_given():
    claim = claims.statement("pruned", reported="yes", ours="no", holds=False, why="zero weights")
    with pytest.raises(AttributeError):
        claim.verdict = "holds"


@pytest.mark.parametrize(
    ("required", "aim", "ours", "verdict"),
    [
        (0.96, 0.97, 0.98, "aim reached"),
        (0.96, 0.97, np.mean([0.97] * 3), "aim reached"),  # rounds to less than 0.97
        (0.96, 0.97, 0.9699, "met"),
        (0.96, 0.97, 0.96, "met"),
        (0.96, 0.97, 0.9599, "missed"),
        (0.06, 0.05, 0.05, "aim reached"),
        (0.06, 0.05, 0.055, "met"),
        (0.06, 0.05, 0.0601, "missed"),
    ],
)
def test_a_goal_is_missed_met_or_reached_on_the_side_of_its_aim(required, aim, ours, verdict):
    goal = claims.goal("score", required=required, aim=aim, ours=ours)
    assert goal.verdict == goal.outcome == verdict
    (row,) = claims.comparison([goal]).to_dict("records")
    assert (row["Reported"], row["Verdict"]) == (f"{required} (aim {aim})", verdict)


def test_a_goal_is_read_back_from_a_record():
    goal = claims.goal("score", required=1, aim=2, ours=1.5, sd=0.1, n=3)
    back = claims.Claim(**json.loads(json.dumps(asdict(goal))))
    assert back == goal and back.source == claims.BOOK
    (row,) = claims.comparison([back]).to_dict("records")
    assert (row["Verdict"], row["Difference"]) == ("met", "+0.5")


def test_behind_plus_minus_stands_a_standard_error():
    claim = claims.numeric("a", reported=1.0, ours=1.1, tolerance=1, why="x", sd=0.2, n=4)
    assert claim.error == 0.1
    assert claims.comparison([claim])["Ours"].item() == "1.1 ± 0.1 (n = 4)"
    with pytest.raises(UsageError, match="claim 'a' has an sd and no n"):
        claims.numeric("a", reported=1.0, ours=1.1, tolerance=1, why="x", sd=0.2)


@pytest.mark.parametrize(
    ("other", "standing"),
    [
        ([1.70, 1.75, 1.80], "level"),  # 1.69 +- .03 against 1.75 +- .03
        ([1.73, 1.78, 1.83], "ahead"),  # by .09 of an error of .041
        ([1.55, 1.60, 1.65], "behind"),
    ],
)
def test_two_methods_are_told_apart_by_two_standard_errors(other, standing):
    ours = [1.64, 1.69, 1.74]
    found = claims.compare(ours, other, paired=False)
    assert found.standing == standing
    assert found.error == pytest.approx(0.05 * (2 / 3) ** 0.5)
    turned = claims.compare(-np.array(ours), -np.array(other), paired=False, more_is_better=True)
    assert turned == pytest.approx(found)


def test_exactly_two_standard_errors_are_level():
    assert claims.Comparison(2.0, 1.0).standing == "level"
    assert claims.Comparison(2.001, 1.0).standing == "ahead"
    assert claims.Comparison(0.0, 0.0).standing == "level"  # the same fit under two names


def test_pairs_are_compared_by_their_differences():
    hard_and_easy = np.array([1.0, 5.0, 9.0])
    better = hard_and_easy - [0.1, 0.2, 0.3]
    assert claims.compare(better, hard_and_easy, paired=False).standing == "level"
    assert claims.compare(better, hard_and_easy, paired=True).standing == "ahead"
    with pytest.raises(UsageError, match="2 scores against 3: pairs need as many"):
        claims.compare([1, 2], [1, 2, 3], paired=True)


def test_a_single_run_decides_nothing():
    assert claims.compare([1.0], [2.0], paired=False).standing == "undecided"
    assert claims.overall(["ahead", "undecided"]) == "undecided"
    assert claims.overall([]) == "undecided"


def test_a_number_without_an_error_is_given_ours():
    ours = [0.9, 1.0, 1.1]  # +- .0577
    assert claims.compare_to_number(ours, 1.15).standing == "level"
    assert claims.compare_to_number(ours, 1.15, 0.0).standing == "ahead"
    assert claims.compare_to_number(ours, 1.15, 0.0, more_is_better=True).standing == "behind"


def test_being_ahead_is_a_verdict_of_its_own():
    claim = claims.versus("error", reported="lower", ours="1.7 to 1.8", standing="level", why="x")
    assert claim.verdict == claim.outcome == "level"
    assert claims.Claim(**asdict(claim)) == claim
    with pytest.raises(UsageError, match="standing of claim 'error' is 'better'"):
        claims.versus("error", reported="", ours="", standing="better", why="x")  # pyright: ignore


@pytest.mark.parametrize(("holds", "word"), [(True, "true"), (False, "false")])
def test_what_cannot_come_out_otherwise_says_so(holds, word):
    claim = claims.statement(
        "64 of 128", reported=64, ours=64, holds=holds, why="a count", certain="it is the median"
    )
    assert claim.verdict == claim.outcome == f"{word} by construction"
    why = claims.comparison([claim])["Tolerance and why"].item()
    assert why == "a count; by construction: it is the median"


def test_a_number_that_cannot_come_out_otherwise_is_not_reproduced():
    count = claims.numeric(
        "neurons", reported=64, ours=64, tolerance=0, why="a count", certain="it is the median"
    )
    assert count.verdict == "true by construction"


@pytest.mark.parametrize(("at_most", "verdict"), [(True, "missed"), (False, "met")])
def test_a_goal_without_an_aim_says_which_side_is_better(at_most, verdict):
    goal = claims.goal("ratio", required=2.4, at_most=at_most, ours=2.9)
    assert goal.verdict == verdict
    assert claims.comparison([goal])["Reported"].item() == "2.4"
    with pytest.raises(UsageError, match="claim 'ratio' has no aim"):
        claims.goal("ratio", required=2.4, ours=2.9)


def test_a_goal_needs_a_direction():
    with pytest.raises(UsageError, match=r"aim of claim 'score' is 0.5: give one that differs"):
        claims.goal("score", required=0.5, aim=0.5, ours=1.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ours": math.nan}, "ours of claim 'accuracy' is nan"),
        ({"reported": "92 %"}, "reported of claim 'accuracy' is '92 %'"),
        ({"tolerance": -0.1}, "tolerance of claim 'accuracy' is -0.1"),
        ({"sd": -1.0, "n": 2}, "sd of claim 'accuracy' is -1.0"),
        ({"ours": True}, "ours of claim 'accuracy' is True"),
    ],
)
def test_a_numeric_claim_refuses_what_cannot_be_compared(wrong, named):
    right = {"reported": 0.93, "ours": 0.92, "tolerance": 0.01, "why": "one sd"}
    with pytest.raises(UsageError, match=named):
        claims.numeric("accuracy", **right | wrong)


def test_a_statement_wants_a_truth_value():
    with pytest.raises(UsageError, match="holds of claim 'pruned' is 'yes'"):
        claims.statement("pruned", reported="yes", ours="no", holds="yes", why="zero weights")


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a")])
def test_numpy_scalars_become_python_ones(value):
    plain = claims.scalar("x", value)
    assert plain == value and type(plain) in (float, int, bool, str)


@pytest.mark.parametrize("value", [None, [1], np.zeros(2), math.inf, np.float64("nan")])
def test_what_is_no_scalar_is_refused_by_name(value):
    with pytest.raises(UsageError, match="accuracy is"):
        claims.scalar("accuracy", value)
