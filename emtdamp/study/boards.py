"""Claims as tables of HTML: on the page that tests them, and all of them on the scoreboard.

A row shows what was reported, what came out here and the verdict; its tolerance and reason unfold
on demand. On a phone a row becomes a card (`custom.css`); `table.js` sorts and filters.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from emtdamp.errors import EmtdampError
from emtdamp.study.claims import BOOK, Claim, comparison

GOOD = {"reproduced", "holds", "ahead", "met", "aim reached"}
BAD = {"not reproduced", "does not hold", "behind", "missed"}
KINDS = ["stands", "level or undecided", "fails", "settled by construction"]


def claim_tables(claims: Sequence[Claim]) -> str:
    """What others reported, what is expected here, and goals: a table each, none empty.

    The k-th claim's row has the id ``claim-k``, from 1.
    """
    numbered = list(enumerate(claims, 1))
    kinds = {
        "Reported": [n for n in numbered if not n[1].goal and n[1].source != BOOK],
        "Expected": [n for n in numbered if not n[1].goal and n[1].source == BOOK],
        "Required": [n for n in numbered if n[1].goal],
    }
    found = ""
    for asked, some in kinds.items():
        if some:
            head = ["Goal" if asked == "Required" else "Claim", asked, "Ours", "Verdict"]
            body = [_row(claim, head, f"claim-{number}") for number, claim in some]
            found += _table(head, body, "claims")
    return found


def scoreboard(
    titles: Mapping[str, str], folder: str | Path = "_generated/records"
) -> tuple[str, list[Claim]]:
    """Every claim of every record in `folder`, as a table that sorts and filters; and the claims.

    `titles` of pages by name, in reading order; pages that are not among them come last.
    """
    records = [json.loads(path.read_text("utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    if not records:
        raise EmtdampError(f"no records in {folder}: build the book first: make book")
    order = list(titles)
    records.sort(key=lambda r: order.index(r["page"]) if r["page"] in titles else len(order))
    head = ["Claim", "Claimed", "Ours", "Verdict", "Source", "Page"]
    body, found = [], []
    for record in records:
        name = record["page"]
        for number, values in enumerate(record["claims"], 1):
            claim = Claim(**values)
            found.append(claim)
            title = html.escape(titles.get(name, name).partition(":")[0])
            more = {
                "Source": html.escape(claim.source),
                "Page": f'<a href="{name}.html#claim-{number}">{title}</a>',
            }
            body.append(_row(claim, head, "", more))
    return _table(head, body, "claims sortable filterable"), found


def totals(claims: Sequence[Claim]) -> pd.DataFrame:
    """How many claims stand, a row a source: the report, others, goals of the book."""
    rows = [
        ("goals of this book" if claim.goal else claim.source, _kind(claim)) for claim in claims
    ]
    frame = pd.DataFrame(rows, columns=pd.Index(["Source", "kind"]))
    return pd.crosstab(frame["Source"], frame["kind"]).reindex(columns=KINDS, fill_value=0)


def _kind(claim: Claim) -> str:
    if claim.certain:
        return KINDS[3]
    return KINDS[0] if claim.outcome in GOOD else KINDS[2] if claim.outcome in BAD else KINDS[1]


def in_words(claims: Sequence[Claim]) -> str:
    """One sentence: how many claims and goals there are, and how many stand."""
    goals = [claim for claim in claims if claim.goal]
    rest = [claim for claim in claims if not claim.goal and not claim.certain]
    stand = sum(claim.outcome in GOOD for claim in rest)
    level = sum(claim.outcome == "level" for claim in rest)
    met = sum(claim.outcome in GOOD for claim in goals)
    return (
        f"Of {len(rest)} claims that could have failed, {stand} stand and {level} end level; "
        f"of {len(goals)} goals of the book, {met} are met."
    )


def _row(claim: Claim, head: Sequence[str], anchor: str, more: Mapping[str, str] = {}) -> str:
    text = {
        name: html.escape(value).replace(" ± ", "\xa0±\xa0")
        for name, value in comparison([claim]).iloc[0].items()
    }
    gap = text["Difference"] and f"difference {text['Difference']}"
    why = "; ".join(filter(None, [text["Tolerance and why"], gap]))
    mark = "good" if claim.outcome in GOOD else "bad" if claim.outcome in BAD else "even"
    badge = f'<span class="verdict {mark}">{claim.outcome}</span>'
    if why:
        badge = f"<details><summary>{badge}</summary>{why}</details>"
    cells = [text["Claim"], text["Reported"], text["Ours"], badge]
    cells += [more[name] for name in head[4:]]
    inner = "".join(
        f'<td data-label="{label}">{cell}</td>' for label, cell in zip(head, cells, strict=True)
    )
    name = f' id="{anchor}"' if anchor else ""
    return f'<tr{name} data-outcome="{html.escape(claim.outcome)}">{inner}</tr>'


def _table(head: Sequence[str], body: Sequence[str], kind: str) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    return (
        f'<div class="scrolls"><table class="table {kind}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )
