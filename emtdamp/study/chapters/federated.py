"""Page federated: EM-TDAMP over clients that keep their rows, beside federated averaging."""

from collections.abc import Sequence
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
    data: str = "mnist"

    @property
    def label(self) -> str:
        more = "" if self.passes == 1 else f", {self.passes} passes"
        return federations.LABELS[self.method] + more

    @property
    def colour(self) -> str:
        return plots.COLOURS[federations.COLOURED[self.method]]


OURS, THEIRS = Case("em-tdamp"), Case("fedavg")
OURS_3, THEIRS_3 = Case("em-tdamp", passes=3), Case("fedavg", passes=3)
OURS_SKEWED, THEIRS_SKEWED = Case("em-tdamp", SKEWED), Case("fedavg", SKEWED)
GAUSSIANS = Case("fedavg, variational")
OURS_HALF = Case("em-tdamp", kept=50.0)
PRUNING = ("fedavg, gradual", "fedavg, group lasso", "fedavg, group snip")
HALVED = [OURS_HALF, *(Case(method, kept=50.0) for method in PRUNING)]
STYLES = {1: "-", 3: "--"}


@dataclass(frozen=True)
class Study:
    """The committed study, a row a run."""

    runs: Any

    def rounds(self, data: str = "mnist") -> list[int]:
        """After which there are scores, the last one the end."""
        last = int(self.runs[self.runs["data"] == data]["rounds"].max())
        return [k for k in range(1, last + 1) if f"error_{k}" in self.runs]

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

    def mean(self, case: Case, score: str) -> Any:
        """Means over seeds by round, a series."""
        rounds = self.rounds(case.data)
        return pd.Series([self.scores(case, score, k).mean() for k in rounds], rounds)

    def last(self, case: Case, score: str = "error") -> np.ndarray:
        """(seeds,) at the end."""
        return self.scores(case, score, self.rounds(case.data)[-1])

    def standing(self, ours: Case, theirs: Case, score: str, number: int) -> Any:
        """How ours stands after a round, by two standard errors; the runs are no pairs."""
        one, two = (self.scores(case, score, number) for case in (ours, theirs))
        return pages.compare(one, two, paired=False).standing

    def reaches(self, case: Case) -> tuple[int, float] | None:
        """First round whose mean error is at most `LIMIT`, and bytes sent until then."""
        error = self.mean(case, "error")
        low = error.index[error <= LIMIT]
        return (int(low[0]), float(self.mean(case, "bytes")[low[0]])) if len(low) else None

    def at_bytes(self, case: Case, sent: float) -> np.ndarray:
        """(seeds,) errors when so many bytes were sent, on a line between two rounds."""
        rounds = self.rounds(case.data)
        found = [[self.scores(case, name, k) for k in rounds] for name in ("bytes", "error")]
        return np.array([np.interp(sent, *run) for run in np.array(found).transpose(2, 0, 1)])

    def in_common(self, ours: Case, theirs: Case) -> float:
        """The most bytes that both have sent."""
        return min(float(self.mean(case, "bytes").iloc[-1]) for case in (ours, theirs))


def read() -> Study:
    """The committed study."""
    return Study(pages.study("federated"))


def curve(ax: Axes, study: Study, case: Case, label: str, style: str = "-") -> None:
    """Mean error by round, in percent on MNIST; nothing where there is no run."""
    if study.has(case):
        error = study.mean(case, "error") * (100 if case.data == "mnist" else 1)
        ax.plot(error.index, error, style, color=case.colour, label=label)


def points(ax: Axes, figure: str, methods: dict[str, str], last: float) -> None:
    """Open markers of what was read off the paper's figure; `methods`: its and whose colour."""
    read: Any = contests.reported(figure)
    unit = 1 if "boston" in figure else 100
    for method, colour in methods.items():
        seen = read[(read["method"] == method) & (read["x"] <= last)]
        look: Any = {"mfc": "none", "color": plots.COLOURS[colour], "label": "_"}
        ax.plot(seen["x"], unit * seen["y"], "o", **look)


def axes_of_rounds(ax: Axes, ticks: Sequence[int], title: str) -> None:
    """Logarithmic in rounds, labels at the ends."""
    ax.set_xscale("log")
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    plots.end_labels(ax)


def draw(study: Study) -> None:
    """Test error by round: rows dealt out evenly, and by label."""
    above, below = plots.panels(2, height=3.6, sharex=True)
    rounds = study.rounds()
    points(above, "fed_mnist_error", {"em-tdamp": "em-tdamp", "adam": "adam, best"}, rounds[-1])
    for case in (OURS, THEIRS, GAUSSIANS, OURS_3, THEIRS_3):
        curve(above, study, case, case.label, STYLES[case.passes])
    for case in (OURS_SKEWED, THEIRS_SKEWED):
        curve(below, study, case, case.label)
    for ax in (above, below):
        _percent(ax)
    ticks = [k for k in SHOWN if k <= rounds[-1]]
    axes_of_rounds(above, ticks, "Rows dealt out evenly; markers: the paper's figure")
    axes_of_rounds(below, ticks, "Rows dealt out by label, Dirichlet(0.3)")
    below.set_xlabel("rounds")


def _percent(ax: Axes) -> None:
    ax.set(ylabel="test error, %", yscale="log")
    ax.set_yticks([2, 3, 5, 10], ["2", "3", "5", "10"])


def table(study: Study) -> pd.DataFrame:
    """Error by round, likelihood at the end, rounds and megabytes to `LIMIT`."""
    rows, end = [], study.rounds()[-1]
    cases = [OURS, THEIRS, GAUSSIANS, OURS_3, THEIRS_3, OURS_SKEWED, THEIRS_SKEWED, *HALVED]
    for case in filter(study.has, cases):
        where = "by label" if case.partition == SKEWED else "evenly"
        row = {"Method": case.label, "Rows": where, "Kept, %": f"{case.kept:g}"}
        for k in SHOWN:
            if k <= end:
                row[f"Round {k}"] = spread(100 * study.scores(case, "error", k), 2)
        row["NLL"] = spread(study.last(case, "nll"), 3)
        reached = study.reaches(case)
        row["MB to 2.5 %"] = f"{reached[1] / 1e6:.0f} ({reached[0]})" if reached else "not reached"
        rows.append(row)
    return pd.DataFrame(rows)


def spread(values: np.ndarray, digits: int) -> str:
    """Mean, and standard error where there is one."""
    text = f"{values.mean():.{digits}f}"
    if len(values) > 1:
        text += f" ± {verdicts.standard_error(values):.{digits}f}"
    return text


def by_bytes(study: Study) -> pd.DataFrame:
    """Rows dealt out by label: errors when both have sent as much, after rounds of the one that
    has sent more."""
    pair = OURS_SKEWED, THEIRS_SKEWED
    sent: Any = pd.concat([study.mean(case, "bytes") for case in pair], axis=1).max(axis=1)
    rows = []
    for number in (k for k in SHOWN if k in sent.index):
        each = min(float(sent[number]), study.in_common(*pair))
        row = {"MB sent by each": f"{each / 1e6:.1f}"}
        for case in pair:
            row[case.label] = spread(100 * study.at_bytes(case, each), 2)
        rows.append(row)
    return pd.DataFrame(rows)


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
