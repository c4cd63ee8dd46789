import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from emtdamp import claims
from emtdamp.errors import EmtdampError, UsageError


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
    assert claims.numeric("a", reported=0.93, ours=ours, tolerance=0.01, why="x").verdict == verdict


def test_a_tolerance_of_nothing_asks_for_the_same_number():
    count = claims.numeric("neurons", reported=64, ours=64, tolerance=0, why="a count")
    assert count.verdict == "reproduced"
    other = claims.numeric("neurons", reported=64, ours=65, tolerance=0, why="a count")
    assert other.verdict == "not reproduced"


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
    assert goal.verdict == verdict
    (row,) = claims.comparison([goal]).to_dict("records")
    assert row["Reported"] == f"{required} (aim {aim})" and row["Verdict"] == verdict


def test_a_goal_is_read_back_from_a_record(tmp_path):
    goal = claims.goal("score", required=1, aim=2, ours=1.5, sd=0.1, n=3)
    (tmp_path / "page.json").write_text(json.dumps({"page": "p", "claims": [asdict(goal)]}))
    (row,) = claims.scoreboard(tmp_path).to_dict("records")
    assert (row["Source"], row["Verdict"], row["Difference"]) == ("this book", "met", "+0.5")


def test_a_goal_needs_a_direction():
    with pytest.raises(UsageError, match=r"aim of claim 'score' is 0.5: give one that differs"):
        claims.goal("score", required=0.5, aim=0.5, ours=1.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ours": math.nan}, "ours of claim 'accuracy' is nan"),
        ({"reported": "92 %"}, "reported of claim 'accuracy' is '92 %'"),
        ({"tolerance": -0.1}, "tolerance of claim 'accuracy' is -0.1"),
        ({"sd": -1.0}, "sd of claim 'accuracy' is -1.0"),
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


def test_a_scoreboard_without_records_says_how_to_get_them(tmp_path):
    with pytest.raises(EmtdampError, match="build the book first: make book"):
        claims.scoreboard(tmp_path)


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.str_("a")])
def test_numpy_scalars_become_python_ones(value):
    plain = claims.scalar("x", value)
    assert plain == value and type(plain) in (float, int, bool, str)


@pytest.mark.parametrize("value", [None, [1], np.zeros(2), math.inf, np.float64("nan")])
def test_what_is_no_scalar_is_refused_by_name(value):
    with pytest.raises(UsageError, match="accuracy is"):
        claims.scalar("accuracy", value)
