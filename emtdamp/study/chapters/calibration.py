"""One size of the study of random teachers: how wide a student's posterior is, by its counts."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from emtdamp.study import teachers as teaching
from emtdamp.study.teachers import Lesson, Student

COUNTS = np.array([1.0, 2.0, 4.0, 8.0])


class Counted(NamedTuple):
    """By the window form: the recorded results. By the decoupled form: variance, squared error,
    degrees of freedom held and responded, each by count and teacher (4, counts, teachers)."""

    window: dict[str, float]
    decoupled: np.ndarray

    def at(self, chosen: np.ndarray) -> tuple[float, float]:
        """The count at which the degrees of freedom of these teachers match, and the ratio there;
        straight lines on logarithmic axes in between."""
        variance, error, held, response = self.decoupled[:, :, chosen].mean(axis=2)
        surplus = np.log(held / np.maximum(response, 0.1))  # falls with c
        c = np.exp(np.interp(0.0, -surplus, np.log(COUNTS)))
        ratio = np.interp(np.log(c), np.log(COUNTS), np.log(variance / error))
        return float(c), float(np.exp(ratio))

    def matched(self) -> tuple[float, float, float]:
        """The matched count, the ratio there, and its standard error, leaving one out at a time."""
        everyone = np.arange(self.decoupled.shape[2])
        without = np.array([self.at(everyone != t)[1] for t in everyone])
        return *self.at(everyone), float(np.sqrt((len(everyone) - 1) * without.var()))

    def columns(self) -> dict[str, np.ndarray]:
        """What the decoupled form comes to, by count."""
        variance, error, held, response = self.decoupled.mean(axis=2)
        return {"ratio": variance / error, "error": error, "held": held, "response": response}

    def results(self) -> dict[str, float]:
        """What the page records."""
        found = dict(self.window)
        for name, values in self.columns().items():
            found |= {f"{name}_{c:.0f}": float(v) for c, v in zip(COUNTS, values, strict=True)}
        found["first_ratio"] = float(self.decoupled[0, 0, 0] / self.decoupled[1, 0, 0])
        names = ("matched", "ratio_matched", "ratio_matched_se")
        return found | dict(zip(names, self.matched(), strict=True))


def count(rows: int, hidden: int, teachers: int) -> Counted:
    """Draw the teachers, and teach students in both forms."""
    problems = [teaching.draw(rows, 5, hidden, noise=0.1, seed=t) for t in range(teachers)]
    window = {}
    for passes in (1, 3):
        learnt = [teaching.learn(p, "window", passes, seed=t) for t, p in enumerate(problems)]
        window[f"window_{passes}"] = _ratio(problems, learnt)
        window[f"window_{passes}_once"] = _ratio(problems, [s.counting(1.0) for s in learnt])
        window["window_counts"] = learnt[0].counts
    found = np.empty((4, len(COUNTS), teachers))
    for i, c in enumerate(COUNTS):
        for t, problem in enumerate(problems):
            student = teaching.learn(problem, "decoupled", counts=float(c), seed=t)
            found[:2, i, t] = teaching.calibration(problem, student)
            found[2:, i, t] = teaching.degrees_of_freedom(problem, student, seed=t)
    return Counted(window, found)


def _ratio(problems: list[Lesson], students: list[Student]) -> float:
    pairs = zip(problems, students, strict=True)
    variance, error = np.mean([teaching.calibration(*pair) for pair in pairs], axis=0)
    return float(variance / error)


def window_table(found: Counted) -> pd.DataFrame:
    """The window form's ratios, as seen and brought back to one count."""
    rows = {
        f"T = {passes}": [found.window[f"window_{passes}{end}"] for end in ("", "_once")]
        for passes in (1, 3)
    }
    seen = f"counted {found.window['window_counts']:.0f} times, as seen"
    names = pd.Index([seen, "brought back to once"])
    return pd.DataFrame(rows, index=names).map("{:.3f}".format)


def decoupled_table(found: Counted) -> pd.DataFrame:
    """The decoupled form's ratios and degrees of freedom, by count."""
    columns = found.columns()
    table = {
        "variance / squared error": [f"{v:.2f}" for v in columns["ratio"]],
        "squared error": [f"{v:.4f}" for v in columns["error"]],
        "held": [f"{v:.1f}" for v in columns["held"]],
        "response": [f"{v:.1f}" for v in columns["response"]],
    }
    return pd.DataFrame(table, index=pd.Index([f"c = {c:.0f}" for c in COUNTS]))
