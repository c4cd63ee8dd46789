"""Claims: what a source says beside what came out here, and a verdict that is always computed.

The pages of the book make them (`numeric`, `statement`; `goal` for what the book asks of its own
algorithm), show them (`comparison`) and record them; `scoreboard` collects them from the records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from emtdamp.errors import EmtdampError, UsageError

Scalar = int | float | bool | str


@dataclass(frozen=True)
class Claim:
    """A claim of `source` beside what came out here; made by `numeric`, `statement` or `goal`."""

    source: str
    text: str
    reported: Scalar
    ours: Scalar
    why: str  # reason of the tolerance, or the condition that was tested
    tolerance: float | None = None
    sd: float | None = None
    n: int | None = None
    holds: bool | None = None
    aim: float | None = None

    @property
    def verdict(self) -> str:
        """Computed, never given: a number within its tolerance, a statement by its condition."""
        if self.aim is not None:
            ours, required = float(self.ours), float(self.reported)
            sign = 1 if self.aim > required else -1
            if sign * (ours - self.aim) >= -1e-9:  # a mean of equal numbers may round below them
                return "aim reached"
            return "met" if sign * (ours - required) >= -1e-9 else "missed"
        if self.tolerance is None:
            return "holds" if self.holds else "does not hold"
        gap = abs(float(self.ours) - float(self.reported))
        within = gap <= self.tolerance or math.isclose(gap, self.tolerance, rel_tol=1e-9)
        return "reproduced" if within else "not reproduced"


def numeric(
    text: str,
    *,
    reported: float,
    ours: float,
    tolerance: float,
    why: str,
    sd: float | None = None,
    n: int | None = None,
    source: str = "report",
) -> Claim:
    """Claim a number: reproduced if ours lies within `tolerance` (both ends count) of reported.

    `why` is the tolerance's reason, in a few words; `sd` the standard deviation over `n` runs.

    >>> numeric("accuracy", reported=0.93, ours=0.92, tolerance=0.01, why="one sd").verdict
    'reproduced'
    """
    values = _numbers(text, reported=reported, ours=ours, tolerance=tolerance, sd=sd)
    return Claim(source, text, why=why, n=n, **values)


def goal(
    text: str,
    *,
    required: float,
    aim: float,
    ours: float,
    why: str = "",
    sd: float | None = None,
    n: int | None = None,
    source: str = "this book",
) -> Claim:
    """Set a goal: met if ours is at least as good as `required`, and reached if as `aim`.

    An `aim` above `required` means that more is better, one below it that less is.

    >>> goal("test error", required=0.03, aim=0.02, ours=0.025).verdict
    'met'
    """
    if aim == required:
        raise UsageError(f"aim of claim {text!r} is {aim}: give one that differs from required")
    values = _numbers(text, reported=required, aim=aim, ours=ours, sd=sd)
    return Claim(source, text, why=why, n=n, **values)


def _numbers(text: str, **given: float | None) -> dict[str, Any]:
    """Check a claim's numbers; an sd of None is left out."""
    if given["sd"] is None:
        del given["sd"]
    values = {name: scalar(f"{name} of claim {text!r}", value) for name, value in given.items()}
    for name, value in values.items():
        if isinstance(value, (str, bool)):
            raise UsageError(f"{name} of claim {text!r} is {value!r}: give a number")
        if name in ("tolerance", "sd") and value < 0:
            raise UsageError(f"{name} of claim {text!r} is {value}: give 0 or more")
    return values


def statement(
    text: str, *, reported: Scalar, ours: Scalar, holds: bool, why: str, source: str = "report"
) -> Claim:
    """Claim a statement, tested by a condition: `holds` is its outcome, `why` names it in words."""
    holds = scalar(f"holds of claim {text!r}", holds)  # pyright: ignore[reportAssignmentType]
    if not isinstance(holds, bool):
        raise UsageError(f"holds of claim {text!r} is {holds!r}: give a condition's outcome")
    reported, ours = (scalar(f"claim {text!r}", value) for value in (reported, ours))
    return Claim(source, text, reported, ours, why, holds=holds)


def scoreboard(folder: str | Path = "_generated/records") -> pd.DataFrame:
    """Every claim of every record in `folder`, in page order; verdicts are computed from them."""
    records = [json.loads(path.read_text("utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    if not records:
        raise EmtdampError(f"no records in {folder}: build the book first: make book")
    claims = [Claim(**claim) for record in records for claim in record["claims"]]
    pages = [record["page"] for record in records for _ in record["claims"]]
    board = comparison(claims)
    board.insert(0, "Source", [claim.source for claim in claims])
    return board.assign(Page=pages)


def comparison(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row of text for each claim: what was reported, what came out, how far apart, the verdict.

    >>> accuracy = numeric("accuracy", reported=0.93, ours=0.92, tolerance=0.01, why="one sd")
    >>> comparison([accuracy]).iloc[0].tolist()
    ['accuracy', '0.93', '0.92', '-0.01', '0.01: one sd', 'reproduced']
    """
    rows = [(c.text, _reported(c), _ours(c), _difference(c), _reason(c), c.verdict) for c in claims]
    names = ["Claim", "Reported", "Ours", "Difference", "Tolerance and why", "Verdict"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def _shown(value: Scalar) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _reported(claim: Claim) -> str:
    aim = "" if claim.aim is None else f" (aim {_shown(claim.aim)})"
    return _shown(claim.reported) + aim


def _ours(claim: Claim) -> str:
    spread = "" if claim.sd is None else f" ± {claim.sd:.2g}"
    return _shown(claim.ours) + spread + ("" if claim.n is None else f" (n = {claim.n})")


def _difference(claim: Claim) -> str:
    number = claim.tolerance is not None or claim.aim is not None
    return f"{claim.ours - claim.reported:+.4g}" if number else ""  # type: ignore


def _reason(claim: Claim) -> str:
    return claim.why if claim.tolerance is None else f"{_shown(claim.tolerance)}: {claim.why}"


def scalar(name: str, value: Any) -> Scalar:
    """Return `value` as a plain Python scalar (NumPy's are unpacked), or refuse it."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if (
        type(value) not in (int, float, bool, str)
        or value in (math.inf, -math.inf)
        or value != value
    ):
        raise UsageError(f"{name} is {value!r}: give a finite number, a truth value or a text")
    return value
