"""Claims: what a source says beside what came out here, and a verdict that is always computed.

One rule compares two methods everywhere (`compare`): ahead or behind by more than two standard
errors of the difference, else level. The pages of the book make claims (`numeric`, `statement`,
`versus`; `goal` for what the book asks of its own algorithm), show and record them; `boards` draws
their tables, and the scoreboard from the records. Behind every ± stands a standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from emtdamp.errors import UsageError

Scalar = int | float | bool | str
Standing = Literal["ahead", "level", "behind", "undecided"]
ERRORS = 2.0  # standard errors of a difference from which on it counts
BOOK = "this book"  # the source of what is asked for here


class Comparison(NamedTuple):
    """How far one method is ahead of another (`by`; negative: behind), and its standard error."""

    by: float
    error: float

    @property
    def standing(self) -> Standing:
        """Ahead or behind by more than `ERRORS` standard errors, else level; nan: undecided."""
        if not math.isfinite(self.by) or not math.isfinite(self.error):
            return "undecided"
        if abs(self.by) <= ERRORS * self.error + 1e-12:
            return "level"
        return "ahead" if self.by > 0 else "behind"


def compare(
    ours: ArrayLike, other: ArrayLike, *, paired: bool, more_is_better: bool = False
) -> Comparison:
    """Compare two methods by their scores of single runs.

    `paired`: the k-th scores belong together (the same split, or the same start and rows), and the
    standard error is that of their differences. Otherwise it is the root of both methods' squared
    standard errors; two methods that only share the number of a seed are no pairs. With fewer than
    two scores of either there is no error, and the standing is undecided.

    >>> compare([1.64, 1.69, 1.74], [1.70, 1.75, 1.80], paired=False).standing
    'level'
    >>> compare([1.64, 1.69, 1.74], [1.70, 1.75, 1.81], paired=True).standing
    'ahead'
    """
    one, two = np.asarray(ours, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    sign = 1.0 if more_is_better else -1.0
    if paired:
        if len(one) != len(two):
            raise UsageError(f"{len(one)} scores against {len(two)}: pairs need as many of each")
        gaps = sign * (one - two)
        return Comparison(float(gaps.mean()), standard_error(gaps))
    error = math.hypot(standard_error(one), standard_error(two))
    return Comparison(float(sign * (one.mean() - two.mean())), error)


def compare_to_number(
    ours: ArrayLike, other: float, error: float | None = None, *, more_is_better: bool = False
) -> Comparison:
    """Compare with a mean that others reported, and its standard error.

    Where none was reported, ours stands in for it.
    """
    one = np.asarray(ours, np.float64).ravel()
    own = standard_error(one)
    theirs = own if error is None or math.isnan(error) else error
    sign = 1.0 if more_is_better else -1.0
    return Comparison(float(sign * (one.mean() - other)), math.hypot(own, theirs))


def standard_error(values: ArrayLike) -> float:
    """Standard error of a mean; nan for fewer than two values.

    >>> standard_error([1.0, 3.0])
    1.0
    """
    x = np.asarray(values, np.float64).ravel()
    return float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else math.nan


def overall(standings: Iterable[Standing]) -> Standing:
    """Against several at once: ahead of all, behind one at least, or level.

    >>> overall(["ahead", "level"]), overall(["ahead", "behind"]), overall(["ahead"])
    ('level', 'behind', 'ahead')
    """
    found = set(standings)
    for standing in ("behind", "undecided", "level"):
        if standing in found:
            return standing
    return "ahead" if found else "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim of `source` beside what came out here; made by one of the functions below.

    `certain`: why the outcome was settled before anything ran, whatever that outcome is.
    """

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
    goal: Literal["", "at least", "at most"] = ""
    standing: Standing | None = None
    certain: str = ""

    @property
    def outcome(self) -> str:
        """The verdict in one of a few words: what scoreboards count."""
        if self.certain:
            return "true by construction" if self._true else "false by construction"
        if self.standing is not None:
            return self.standing
        if self.goal:
            ours, required = float(self.ours), float(self.reported)
            sign = 1 if self.goal == "at least" else -1
            slack = -1e-9  # a mean of equal numbers may round below them
            if self.aim is not None and sign * (ours - self.aim) >= slack:
                return "aim reached"
            return "met" if sign * (ours - required) >= slack else "missed"
        if self.tolerance is None:
            return "holds" if self.holds else "does not hold"
        return "reproduced" if self._true else "not reproduced"

    @property
    def verdict(self) -> str:
        """Computed, never given; of a number with the width within which it was tested."""
        if self.tolerance is None or self.certain:
            return self.outcome
        return f"{self.outcome} within {_shown(float(self.tolerance))}"

    @property
    def _true(self) -> bool:
        if self.tolerance is None:
            return bool(self.holds)
        gap = abs(float(self.ours) - float(self.reported))
        return gap <= self.tolerance or math.isclose(gap, self.tolerance, rel_tol=1e-9)

    @property
    def error(self) -> float | None:
        """Standard error of `ours`."""
        return None if self.sd is None or not self.n else self.sd / math.sqrt(self.n)


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
    certain: str = "",
) -> Claim:
    """Claim a number: reproduced if ours lies within `tolerance` (both ends count) of reported.

    `why` is the tolerance's reason, in a few words; `sd` the standard deviation over `n` runs.
    `certain` marks a number that could not have come out otherwise, and says why.

    >>> numeric("accuracy", reported=0.93, ours=0.92, tolerance=0.01, why="one sd").verdict
    'reproduced within 0.01'
    """
    values = _numbers(text, n, reported=reported, ours=ours, tolerance=tolerance, sd=sd)
    return Claim(source, text, why=why, n=n, certain=certain, **values)


def goal(
    text: str,
    *,
    required: float,
    ours: float,
    aim: float | None = None,
    at_most: bool | None = None,
    why: str = "",
    sd: float | None = None,
    n: int | None = None,
    source: str = BOOK,
) -> Claim:
    """Set a goal: met if ours is at least as good as `required`, and reached if as `aim`.

    An `aim` above `required` means that more is better, one below it that less is; without an aim
    `at_most` says so.

    >>> goal("test error", required=0.03, aim=0.02, ours=0.025).verdict
    'met'
    >>> goal("seconds", required=1.0, at_most=True, ours=1.5).verdict
    'missed'
    """
    if aim is None and at_most is None:
        raise UsageError(f"claim {text!r} has no aim: say by at_most which side is better")
    if aim is not None:
        if aim == required:
            raise UsageError(f"aim of claim {text!r} is {aim}: give one that differs from required")
        at_most = aim < required
    given = {"reported": required, "aim": aim, "ours": ours, "sd": sd}
    values = _numbers(text, n, **given)
    side = "at most" if at_most else "at least"
    return Claim(source, text, why=why, n=n, goal=side, **values)


def _numbers(text: str, n: int | None, **given: float | None) -> dict[str, Any]:
    """Check a claim's numbers; those that are None are left out."""
    given = {name: value for name, value in given.items() if value is not None}
    if "sd" in given and n is None:
        raise UsageError(f"claim {text!r} has an sd and no n: say over how many runs")
    values = {name: scalar(f"{name} of claim {text!r}", value) for name, value in given.items()}
    for name, value in values.items():
        if isinstance(value, (str, bool)):
            raise UsageError(f"{name} of claim {text!r} is {value!r}: give a number")
        if name in ("tolerance", "sd") and value < 0:
            raise UsageError(f"{name} of claim {text!r} is {value}: give 0 or more")
    return values


def statement(
    text: str,
    *,
    reported: Scalar,
    ours: Scalar,
    holds: bool,
    why: str,
    source: str = "report",
    certain: str = "",
) -> Claim:
    """Claim a statement, tested by a condition: `holds` is its outcome, `why` names it in words.

    `certain` marks a condition whose outcome does not depend on what was learnt, and says why.

    >>> statement("half are active", reported=64, ours=64, holds=True, why="their number",
    ...           certain="the median leaves half above it").verdict
    'true by construction'
    """
    holds = scalar(f"holds of claim {text!r}", holds)  # pyright: ignore[reportAssignmentType]
    if not isinstance(holds, bool):
        raise UsageError(f"holds of claim {text!r} is {holds!r}: give a condition's outcome")
    reported, ours = (scalar(f"claim {text!r}", value) for value in (reported, ours))
    return Claim(source, text, reported, ours, why, holds=holds, certain=certain)


def versus(
    text: str,
    *,
    reported: Scalar,
    ours: Scalar,
    standing: Standing,
    why: str,
    source: str = "paper's abstract",
) -> Claim:
    """Claim to be ahead of another method, or of several: the verdict is the `standing`.

    Take it from `compare(...).standing`, or from `overall` of several.

    >>> versus("error", reported="ahead", ours="1.7 and 1.8", standing="level", why="").verdict
    'level'
    """
    if standing not in ("ahead", "level", "behind", "undecided"):
        raise UsageError(f"standing of claim {text!r} is {standing!r}: take it from compare()")
    reported, ours = (scalar(f"claim {text!r}", value) for value in (reported, ours))
    return Claim(source, text, reported, ours, why, standing=standing)


def comparison(claims: Sequence[Claim]) -> pd.DataFrame:
    """A row of text for each claim: what was reported, what came out, how far apart, the verdict.

    >>> accuracy = numeric("accuracy", reported=0.93, ours=0.92, tolerance=0.01, why="one sd")
    >>> comparison([accuracy]).iloc[0].tolist()
    ['accuracy', '0.93', '0.92', '-0.01', '0.01: one sd', 'reproduced within 0.01']
    """
    rows = [(c.text, _reported(c), _ours(c), _difference(c), _reason(c), c.verdict) for c in claims]
    names = ["Claim", "Reported", "Ours", "Difference", "Tolerance and why", "Verdict"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def _shown(value: Scalar | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _reported(claim: Claim) -> str:
    aim = "" if claim.aim is None else f" (aim {_shown(claim.aim)})"
    return _shown(claim.reported) + aim


def _ours(claim: Claim) -> str:
    spread = "" if claim.error is None else f" ± {claim.error:.2g}"
    return _shown(claim.ours) + spread + ("" if claim.n is None else f" (n = {claim.n})")


def _difference(claim: Claim) -> str:
    number = claim.tolerance is not None or claim.goal
    return f"{claim.ours - claim.reported:+.4g}" if number else ""  # type: ignore


def _reason(claim: Claim) -> str:
    why = claim.why if claim.tolerance is None else f"{_shown(claim.tolerance)}: {claim.why}"
    return f"{why}; by construction: {claim.certain}" if claim.certain else why


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
