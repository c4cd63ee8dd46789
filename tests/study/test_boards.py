"""Claims as tables: on their page, and all of them on the scoreboard."""

import json
import re
from dataclasses import asdict

import pytest

from emtdamp.errors import EmtdampError
from emtdamp.study import boards, claims

GOAL = claims.goal("score", required=1, aim=2, ours=1.5, sd=0.1, n=3)
PRUNED = claims.statement("pruned", reported="yes", ours="no", holds=False, why="zero weights")
EXPECTED = claims.statement(
    "b < a & c", reported="yes", ours="no", holds=True, why="x", source=claims.BOOK
)
ACCURACY = claims.numeric(
    "accuracy", reported=0.9277, ours=0.91234, tolerance=0.028, why="2 sd", sd=0.01414, n=5
)
LEVEL = claims.versus("error", reported="ahead", ours="1.7", standing="level", why="two errors")
MEDIAN = claims.statement(
    "64 of 128", reported=64, ours=64, holds=True, why="a count", certain="it is the median"
)


def rows(html):
    return re.findall(r"<tr(?: id| data).*?</tr>", html)


def heads(html):
    return [re.findall(r"<th>(.*?)</th>", head) for head in re.findall(r"<thead>.*?</thead>", html)]


def records(folder, **pages):
    for name, some in pages.items():
        record = {"page": name, "claims": [asdict(claim) for claim in some]}
        (folder / f"{name}.json").write_text(json.dumps(record))


def test_reports_expectations_and_goals_are_different_tables():
    html = boards.claim_tables([GOAL, PRUNED, EXPECTED])
    assert heads(html) == [
        ["Claim", "Reported", "Ours", "Verdict"],
        ["Claim", "Expected", "Ours", "Verdict"],
        ["Goal", "Required", "Ours", "Verdict"],
    ]
    assert heads(boards.claim_tables([PRUNED])) == [["Claim", "Reported", "Ours", "Verdict"]]
    assert boards.claim_tables([]) == ""


def test_a_row_keeps_the_number_of_its_claim_whatever_its_table():
    html = boards.claim_tables([GOAL, PRUNED, EXPECTED])
    named = {number: row for row in rows(html) for number in re.findall(r'id="claim-(\d)"', row)}
    assert "score" in named["1"] and "pruned" in named["2"] and "b &lt; a" in named["3"]


def test_a_verdict_unfolds_its_reason_and_its_difference():
    (row,) = rows(boards.claim_tables([ACCURACY]))
    badge = '<summary><span class="verdict good">reproduced</span></summary>'
    assert f"<details>{badge}0.028: 2 sd; difference -0.01536</details>" in row
    assert "0.9123\xa0±\xa00.0063 (n = 5)" in row and 'data-outcome="reproduced"' in row


def test_a_goal_without_a_reason_unfolds_its_difference():
    (row,) = rows(boards.claim_tables([GOAL]))
    assert "</summary>difference +0.5</details>" in row


@pytest.mark.parametrize(
    ("claim", "mark"), [(GOAL, "good"), (PRUNED, "bad"), (LEVEL, "even"), (MEDIAN, "even")]
)
def test_a_verdict_has_a_colour(claim, mark):
    assert f'class="verdict {mark}">{claim.outcome}<' in boards.claim_tables([claim])


def test_text_of_claims_is_escaped():
    html = boards.claim_tables([EXPECTED])
    assert "b &lt; a &amp; c" in html and "b < a" not in html


def test_the_scoreboard_has_every_claim_in_the_order_of_the_pages(tmp_path):
    records(tmp_path, audit=[PRUNED, MEDIAN], results=[ACCURACY], draft=[LEVEL], empty=[])
    titles = {"results": "The report", "audit": "What <it> does"}
    html, found = boards.scoreboard(titles, tmp_path)
    assert found == [ACCURACY, PRUNED, MEDIAN, LEVEL]
    assert heads(html) == [["Claim", "Claimed", "Ours", "Verdict", "Source", "Page"]]
    links = re.findall(r'<a href="(.*?)">(.*?)</a>', html)
    assert links == [
        ("results.html#claim-1", "The report"),
        ("audit.html#claim-1", "What &lt;it&gt; does"),
        ("audit.html#claim-2", "What &lt;it&gt; does"),
        ("draft.html#claim-1", "draft"),
    ]
    assert 'class="table claims sortable filterable"' in html and " id=" not in html


def test_a_scoreboard_without_records_says_how_to_get_them(tmp_path):
    with pytest.raises(EmtdampError, match="build the book first: make book"):
        boards.scoreboard({}, tmp_path)


def test_totals_have_a_row_a_source_and_goals_apart():
    board = boards.totals([GOAL, PRUNED, ACCURACY, LEVEL, MEDIAN, EXPECTED])
    assert set(board.index) == {"goals of this book", "report", "paper's abstract", "this book"}
    assert [*board.columns] == boards.KINDS and board.to_numpy().sum() == 6
    assert board.loc["report"].tolist() == [1, 0, 1, 1]  # accuracy, pruned, the median
    assert board.loc["goals of this book"].tolist() == [1, 0, 0, 0]
    assert board.loc["paper's abstract"].tolist() == [0, 1, 0, 0]


def test_in_words_leaves_out_what_could_not_fail():
    assert boards.in_words([GOAL, PRUNED, ACCURACY, LEVEL, MEDIAN]) == (
        "Of 3 claims that could have failed, 1 stand and 1 end level; of 1 goals of the book, "
        "1 are met."
    )
