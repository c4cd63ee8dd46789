"""Page federated: EM-TDAMP over clients that keep their rows, beside federated averaging."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from emtdamp.federated.aggregation import cavity, geometric_average, sum_sites, times
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import claims as verdicts
from emtdamp.study import contests, federations, pages, plots

LIMIT = 0.025  # the error whose first round is looked up
SHOWN = (1, 2, 5, 10)  # rounds in the tables
SKEWED = "dirichlet:0.3"


class Case(NamedTuple):
    """What is compared: a method, how rows are dealt out, local passes, % of neurons kept."""

    method: str
    partition: str = "iid"
    passes: int = 1
    kept: float = 100.0

    @property
    def label(self) -> str:
        more = "" if self.passes == 1 else f", {self.passes} passes"
        return federations.LABELS[self.method] + more


OURS, THEIRS = Case("em-tdamp"), Case("fedavg")
OURS_3, THEIRS_3 = Case("em-tdamp", passes=3), Case("fedavg", passes=3)
OURS_SKEWED, THEIRS_SKEWED = Case("em-tdamp", SKEWED), Case("fedavg", SKEWED)
OURS_HALF = Case("em-tdamp", kept=50.0)
HALVED = [OURS_HALF, Case("fedavg, gradual", kept=50.0), Case("fedavg, group lasso", kept=50.0)]
PLAIN = Case("em-tdamp, plain")
STYLES = {1: "-", 3: "--"}


@dataclass(frozen=True)
class Study:
    """The committed study, a row a run."""

    runs: Any

    @property
    def rounds(self) -> int:
        return int(self.runs["rounds"].max())

    def of(self, case: Case) -> Any:
        """The runs of a case, a row a seed."""
        runs = self.runs
        for name, value in case._asdict().items():
            runs = runs[runs[name] == value]
        return runs

    def has(self, case: Case) -> bool:
        return len(self.of(case)) > 0

    def scores(self, case: Case, score: str, number: int) -> np.ndarray:
        """(seeds,) after a round."""
        return np.asarray(self.of(case)[f"{score}_{number}"], float)

    def mean(self, case: Case, score: str) -> np.ndarray:
        """(rounds,) means over seeds."""
        return np.array([self.scores(case, score, k).mean() for k in range(1, self.rounds + 1)])

    def standing(self, ours: Case, theirs: Case, score: str, number: int) -> Any:
        """How ours stands after a round, by two standard errors; the runs are no pairs."""
        one, two = (self.scores(case, score, number) for case in (ours, theirs))
        return pages.compare(one, two, paired=False).standing

    def reaches(self, case: Case) -> tuple[int, float] | None:
        """First round whose mean error is at most `LIMIT`, and bytes sent until then."""
        found = np.flatnonzero(self.mean(case, "error") <= LIMIT)
        if not len(found):
            return None
        return int(found[0]) + 1, float(self.mean(case, "bytes")[found[0]])


def read() -> Study:
    """The committed study."""
    return Study(pages.study("federated"))


def _curve(ax: Axes, study: Study, case: Case, label: str) -> None:
    if not study.has(case):
        return
    rounds = np.arange(1, study.rounds + 1)
    colour = plots.COLOURS[federations.COLOURED[case.method]]
    ax.plot(rounds, 100 * study.mean(case, "error"), STYLES[case.passes], color=colour, label=label)


def _axes(ax: Axes, study: Study, title: str) -> None:
    ticks = [k for k in SHOWN if k <= study.rounds]
    ax.set(xscale="log", yscale="log", ylabel="test error, %")
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.set_yticks([2, 3, 5, 10], ["2", "3", "5", "10"])
    ax.minorticks_off()
    plots.end_labels(ax)


def draw(study: Study) -> None:
    """Test error by round: rows dealt out evenly, and by label."""
    above, below = plots.panels(2, height=3.6, sharex=True)
    read: Any = contests.reported("fed_mnist_error")
    for method in ("em-tdamp", "adam"):
        points = read[(read["method"] == method) & (read["x"] <= study.rounds)]
        colour = plots.COLOURS["em-tdamp" if method == "em-tdamp" else "adam, best"]
        above.plot(points["x"], 100 * points["y"], "o", mfc="none", color=colour, label="_")
    for case in (OURS, THEIRS, OURS_3, THEIRS_3):
        _curve(above, study, case, case.label)
    _axes(above, study, "Rows dealt out evenly; markers: the paper's figure")
    for case in (OURS_SKEWED, THEIRS_SKEWED):
        _curve(below, study, case, case.label)
    _axes(below, study, "Rows dealt out by label, Dirichlet(0.3)")
    below.set_xlabel("rounds")


def table(study: Study) -> pd.DataFrame:
    """Error by round, likelihood at the end, rounds and megabytes to `LIMIT`."""
    rows = []
    cases = [OURS, THEIRS, OURS_3, THEIRS_3, PLAIN, OURS_SKEWED, THEIRS_SKEWED, *HALVED]
    for case in filter(study.has, cases):
        where = "by label" if case.partition == SKEWED else "evenly"
        row = {"Method": case.label, "Rows": where, "Kept, %": f"{case.kept:g}"}
        for k in SHOWN:
            if k <= study.rounds:
                row[f"Round {k}"] = _spread(100 * study.scores(case, "error", k), 2)
        row["NLL"] = _spread(study.scores(case, "nll", study.rounds), 3)
        reached = study.reaches(case)
        row["MB to 2.5 %"] = f"{reached[1] / 1e6:.0f} ({reached[0]})" if reached else "not reached"
        rows.append(row)
    return pd.DataFrame(rows)


def _spread(values: np.ndarray, digits: int) -> str:
    text = f"{values.mean():.{digits}f}"
    if len(values) > 1:
        text += f" ± {verdicts.standard_error(values):.{digits}f}"
    return text


def after(study: Study, number: int) -> str:
    """Error of the study's first run after some rounds."""
    run = study.of(OURS).sort_values("seed").iloc[0]
    return f"{run[f'error_{number}']:.2%}"


def linear_example(clients: int = 5, seed: int = 0) -> pd.DataFrame:
    """What each rule makes of a linear model's rows, beside the posterior of all rows.

    Clients' posteriors are exact and joint, so that what differs is the rule's.
    """
    rng, noise = np.random.default_rng(seed), 0.3
    rows = rng.integers(5, 60, clients)
    prior = Gaussian(2.0 * np.eye(3), np.zeros(3))
    sites = []
    for number in rows:
        x = rng.normal(size=(number, 3))
        y = x @ [1.0, -2.0, 0.5] + rng.normal(scale=noise**0.5, size=number)
        sites.append(Gaussian(x.T @ x / noise, x.T @ y / noise))
    exact = sum_sites(prior, sites)

    def average(counts: np.ndarray) -> Gaussian:
        posteriors = [sum_sites(prior, [times(t, c)]) for t, c in zip(sites, counts, strict=True)]
        return geometric_average(posteriors, rows.tolist())

    own = [Gaussian(np.zeros((3, 3)), np.zeros(3))] * clients
    for _ in range(3):  # rounds: each client's new site is what its cavity lacks
        q = sum_sites(prior, own)
        rest = [cavity(q, site) for site in own]
        own = [cavity(sum_sites(r, [t]), r) for r, t in zip(rest, sites, strict=True)]
    found = {
        "average, rows counted n/n_k times": average(rows.sum() / rows),
        "average, rows counted once": average(np.ones(clients)),
        "sum of sites, after three rounds": sum_sites(prior, own),
    }
    mean, sd = _moments(exact)
    out = []
    for name, q in found.items():
        away, width = _moments(q)
        distance, ratio = np.linalg.norm((away - mean) / sd), np.mean(width / sd)
        out.append(
            {
                "Rule": name,
                "Mean: distance from the exact one, in its deviations": f"{distance:.6f}",
                "Standard deviation, times the exact one": f"{ratio:.6f}",
            }
        )
    return pd.DataFrame(out)


def _moments(q: Gaussian) -> tuple[np.ndarray, np.ndarray]:
    cov = np.linalg.inv(q.precision)
    return cov @ q.shift, np.sqrt(np.diag(cov))
