"""Times of things that are to be compared, taken in turns."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Run = Callable[[], float]  # does its work once and returns the seconds that count


class Ratio(NamedTuple):
    """Median seconds of both, the median of their ratio a round, and its quartiles."""

    seconds: float
    against: float
    ratio: float
    low: float
    high: float


def clocked(work: Callable[[], object]) -> Run:
    """A `Run` whose seconds are those of all of `work`."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def in_turns(runs: Mapping[str, Run], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each run, (rounds,), after one round that does not count.

    Whatever else slows the machine for a while slows all that are compared; the order turns round
    every time, so that none always follows the same other.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        order = list(runs.items())
        for name, run in order if number % 2 else order[::-1]:
            spent = run()
            if number > 0:
                seconds[name].append(spent)
    return {name: np.array(values) for name, values in seconds.items()}


def compare(own: np.ndarray, other: np.ndarray) -> Ratio:
    """The ratio of seconds taken in turns.

    >>> compare(np.array([1.0, 2.0, 9.0]), np.array([2.0, 4.0, 4.0])).ratio
    0.5
    """
    low, ratio, high = np.quantile(own / other, [0.25, 0.5, 0.75])
    return Ratio(
        float(np.median(own)), float(np.median(other)), float(ratio), float(low), float(high)
    )
