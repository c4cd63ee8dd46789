"""Page mnist-rounds: scores after each of 30 passes, all methods side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from emtdamp.study import contests, headlines, methods, pages, plots

LIMIT = 0.025  # the error whose first pass is looked up
SHOWN = (1, 3, 30)  # passes in the tables
TICKS = (1, 2, 3, 5, 10, 20, 30)
FORMS = {"decoupled": "em-tdamp", "window": "em-tdamp, window"}
NAMED = {  # curves told apart, with short names; all others are grey
    "em-tdamp": "EM-TDAMP",
    "em-tdamp, window": "window form",
    "paper": "paper's form",
    "adam": "Adam, default",
    "adam, best": "Adam, best held out",
    "adam, 0.005": "Adam, 0.005 cosine",
    "gradual": "gradual pruning",
    "group lasso": "group lasso",
    "bayes by backprop": "Bayes by Backprop",
}


@dataclass(frozen=True)
class Rounds:
    """The committed study, a row a run; `case` is a method and the percentage that it keeps."""

    runs: Any

    @cached_property
    def passes(self) -> range:
        return range(1, 1 + int(self.runs["rounds"].max()))

    @cached_property
    def cases(self) -> list[str]:
        return [*dict.fromkeys(self.runs["case"])]

    @cached_property
    def seeds(self) -> int:
        return int(self.runs["seed"].nunique())

    def mean(self, score: str) -> Any:
        """Mean over seeds: a row a case, a column a pass."""
        return self._over_seeds(score, "mean")

    def sem(self, score: str) -> Any:
        """Its standard error."""
        return self._over_seeds(score, "sem")

    def _over_seeds(self, score: str, of: str) -> Any:
        names = [f"{score}_{k}" for k in self.passes]
        found = getattr(self.runs.groupby("case")[names], of)().loc[self.cases]
        return found.set_axis([*self.passes], axis=1)

    def standing(self, case: str, others: Sequence[str], score: str, k: int) -> Any:
        """How a case stands against all others after pass `k`."""
        return contests.against(self.runs, f"{score}_{k}", case, others, by="case")

    @cached_property
    def schedules(self) -> list[str]:
        """Adam, in all its schedules."""
        return [case for case in self.cases if case.startswith("adam")]

    @cached_property
    def rivals(self) -> list[str]:
        """All that is not EM-TDAMP."""
        own = [f"{method} {kept}" for method in methods.OWN for kept in (50, 100)]
        return [case for case in self.cases if case not in own]

    @cached_property
    def pruned(self) -> list[str]:
        return [case for case in self.rivals if case.endswith(" 50")]


def read() -> Rounds:
    """The committed study."""
    return Rounds(contests.with_cases(pages.study("mnist-rounds")))


def _parts(case: str) -> tuple[str, int]:
    method, kept = case.rsplit(" ", 1)
    return method, int(kept)


def gaps(rounds: Rounds, kept: int) -> None:
    """Error and negative log-likelihood less EM-TDAMP's own, by pass, of networks of `kept` %."""
    axes = plots.panels(2, height=3.4, sharex=True)
    looks = [("error", 100, (-0.45, 2.0), "% of the images"), ("nll", 1, (-0.012, 0.07), "nats")]
    for ax, (score, factor, limits, unit) in zip(axes, looks, strict=True):
        mean, sem = factor * rounds.mean(score), factor * rounds.sem(score)
        ours = f"em-tdamp {kept}"
        for case in rounds.cases:
            method, of = _parts(case)
            if of != kept or case == ours:
                continue
            gap, around = mean.loc[case] - mean.loc[ours], np.hypot(sem.loc[case], sem.loc[ours])
            named = method in NAMED
            colour = plots.COLOURS[method] if named else "0.8"
            label = NAMED.get(method, "_")
            ax.plot(rounds.passes, gap, color=colour, label=label, lw=2 if named else 1.2)
            if named:
                low, high = gap - around, gap + around
                ax.fill_between(rounds.passes, low, high, alpha=0.15, lw=0, color=colour)
        colour = plots.COLOURS["em-tdamp"]
        ax.axhline(0, color=colour, lw=2.5, label="_")
        ax.plot([rounds.passes[0], rounds.passes[-1]], [0, 0], color=colour, label="EM-TDAMP")
        name = "Test error" if score == "error" else "Negative log-likelihood"
        ax.set_title(f"{name} less EM-TDAMP's, {unit}", loc="left", fontsize="medium")
        ax.set(xscale="log", ylim=limits, xlim=(1, rounds.passes[-1]))
        _pass_ticks(ax, rounds.passes)
        plots.end_labels(ax)
    axes[-1].set_xlabel("passes over 60,000 images")
    plt.show()


def _pass_ticks(ax: Axes, passes: range) -> None:
    at = [k for k in TICKS if k in passes]
    ax.set_xticks(at, [str(k) for k in at])
    ax.minorticks_off()


def beside_figure(rounds: Rounds) -> None:
    """Our curves full, those of the paper's figure as open markers in the same colours."""
    ax = plots.panels(1, height=4.4)[0]
    error = 100 * rounds.mean("error")
    ours = ["em-tdamp 100", "adam, best 100", "group lasso 50", "group snip 50"]
    for case in ours:
        method, _ = _parts(case)
        ax.plot(error.columns, error.loc[case], color=plots.COLOURS[method], lw=2)
    colours = {_parts(case)[0].partition(",")[0]: plots.COLOURS[_parts(case)[0]] for case in ours}
    colours["amp"] = plots.COLOURS["amp"]
    names = {"em-tdamp": "EM-TDAMP", "adam": "Adam", "amp": "AMP"}
    for method, points in contests.reported("train_mnist_error").groupby("method"):
        colour = colours[str(method)]
        ax.plot(
            points["x"], 100 * points["y"], "o", mfc="none", ms=5, color=colour,
            label=names.get(str(method), methods.METHODS[str(method)].label),
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="passes over the training images")
    ax.set(ylabel="test error, %", ylim=(1.6, 26), xlim=(0.95, 32))
    _pass_ticks(ax, rounds.passes)
    ax.set_yticks([2, 3, 5, 10, 20], ["2", "3", "5", "10", "20"])
    plots.end_labels(ax)
    plt.show()


def table(rounds: Rounds, kept: int) -> pd.DataFrame:
    """A row a method that keeps `kept` %: error after some passes, likelihood after the last."""
    error, around = 100 * rounds.mean("error"), 100 * rounds.sem("error")
    nll, nll_around = rounds.mean("nll"), rounds.sem("nll")
    last, rows = rounds.passes[-1], []
    for case in (case for case in rounds.cases if _parts(case)[1] == kept):
        row = {"Method": methods.label(_parts(case)[0])}
        for k in (k for k in SHOWN if k in rounds.passes):
            row[f"{k}"] = f"{error.loc[case, k]:.2f} ± {around.loc[case, k]:.2f}"
        row[f"NLL after {last}"] = f"{nll.loc[case, last]:.4f} ± {nll_around.loc[case, last]:.4f}"
        row[f"Passes to {100 * LIMIT:g} %"] = _first_below(error.loc[case], 100 * LIMIT)
        rows.append(row)
    return pd.DataFrame(rows)


def _first_below(curve: Any, limit: float) -> str:
    below = curve.index[curve <= limit]
    return f"{below[0]}" if len(below) else "not reached"


def standings(rounds: Rounds) -> pd.DataFrame:
    """How the forms stand against all schedules of Adam, by pass; nothing is pruned."""
    columns = {
        "EM-TDAMP, error": ("em-tdamp 100", "error"),
        "EM-TDAMP, NLL": ("em-tdamp 100", "nll"),
        "Window form, error": ("em-tdamp, window 100", "error"),
        "Window form, NLL": ("em-tdamp, window 100", "nll"),
    }
    return pd.DataFrame(
        {"After pass": f"{k}"}
        | {
            name: rounds.standing(case, rounds.schedules, score, k)
            for name, (case, score) in columns.items()
        }
        for k in TICKS
        if k in rounds.passes
    )


def beside_table(rounds: Rounds) -> pd.DataFrame:
    """Error after the last pass in the paper's figure and here."""
    read: Any = contests.reported("train_mnist_error").set_index("method")["y"]
    last = 100 * rounds.mean("error")[rounds.passes[-1]]
    ours = {
        "em-tdamp": "em-tdamp 100",
        "adam": "adam, best 100",
        "group snip": "group snip 50",
        "group lasso": "group lasso 50",
        "amp": "em-tdamp 100",
    }
    return pd.DataFrame(
        {
            "Method": methods.METHODS[method].label.replace(", Keras default", ""),
            "Paper's figure": f"{100 * read[method].iloc[-1]:.2f}",
            "Here": f"{last[case]:.2f}",
        }
        for method, case in ours.items()
    )


def points_ahead(rounds: Rounds, case: str) -> tuple[int, int]:
    """At how many points of the paper's curve for EM-TDAMP a case is ahead of it, and of how many.

    The curve was read off the paper's figure.
    """
    rows = rounds.runs[rounds.runs["case"] == case]
    read: Any = contests.reported("train_mnist_error").query("method == 'em-tdamp'")
    read = read[read["x"] <= rounds.passes[-1]]
    found = [
        pages.compare_to_number(rows[f"error_{x:g}"], y).standing
        for x, y in zip(read["x"], read["y"], strict=True)
    ]
    return found.count("ahead"), len(found)


def numbers(rounds: Rounds) -> dict[str, Any]:
    """What the text quotes."""
    error, last = rounds.mean("error"), rounds.passes[-1]
    ours = error.loc["em-tdamp 100"]
    ahead, points = points_ahead(rounds, "em-tdamp 100")
    standing = {
        name: headlines.WORDS[rounds.standing("em-tdamp 100", rounds.schedules, score, k)]
        for name, score, k in [
            ("third_standing", "error", 3),
            ("last_standing", "error", last),
            ("last_nll_standing", "nll", last),
        ]
    }
    beside = []
    for name, kept in {"whole": 100, "half": 50}.items():
        bayes = f"bayes by backprop {kept}"
        against = rounds.standing(f"em-tdamp {kept}", [bayes], "error", last)
        beside.append(headlines.WORDS[against])
        standing[f"bayes_{name}"] = f"{error.loc[bayes, last]:.2%}"
    first, second = beside
    same = f"{first} it in both cases"
    apart = f"{first} it in the first case and {second} it in the second"
    return standing | {
        "bayes_standings": same if first == second else apart,
        "bayes_seeds": int(rounds.runs.query("method == 'bayes by backprop'")["seed"].nunique()),
        "seeds": rounds.seeds,
        "schedules": len(rounds.schedules),
        "third_ours": f"{ours[3]:.2%}",
        "third_adam": f"{error.loc[rounds.schedules, 3].min():.2%}",
        "first_pass": headlines.first_pass(),
        "last_pass": headlines.last_pass(),
        "time": headlines.seconds_a_pass(),
        "time_to": headlines.seconds_to_accuracy(),
        "limit": f"{LIMIT:.1%}",
        "ahead": ahead,
        "window_ahead": points_ahead(rounds, "em-tdamp, window 100")[0],
        "points": points,
        "half_ours": f"{error.loc['em-tdamp 50', last]:.2%}",
        "half_best": f"{error.loc[rounds.pruned, last].min():.2%}",
        "half_standing": headlines.WORDS[
            rounds.standing("em-tdamp 50", rounds.pruned, "error", last)
        ],
        "paper_seeds": int(rounds.runs.query("method == 'paper'")["seed"].nunique()),
    }


def claims(rounds: Rounds) -> list[pages.Claim]:
    """Goals, and what the paper's abstract and figure say."""
    error, nll, end = rounds.mean("error"), rounds.mean("nll"), rounds.passes[-1]
    rule = f"two standard errors of the difference, {rounds.seeds} seeds"

    def goal(text: str, required: float, aim: float, case: str, k: int) -> pages.Claim:
        return pages.goal(
            f"MNIST, 30 passes: test error {text}",
            required=required,
            aim=aim,
            ours=float(error.loc[case, k]),
            sd=float(rounds.runs.loc[rounds.runs["case"] == case, f"error_{k}"].std()),
            n=rounds.seeds,
        )

    first = min(("em-tdamp, window 100", "em-tdamp 100"), key=lambda case: error.loc[case, 1])
    goals = [goal("after the first", 0.040, 0.035, first, 1)]
    for form, method in FORMS.items():
        goals += [goal(f"at the end, {form} form", 0.017, 0.016, f"{method} 100", end)]
    for form, method in FORMS.items():
        text = f"at the end, half of the neurons kept, {form} form"
        goals += [goal(text, 0.019, 0.017, f"{method} 50", end)]
    faster = [
        pages.versus(
            f"Faster convergence than Adam {name}, {form} form: error after pass {k}",
            reported="lower",
            ours=f"{error.loc[f'{method} 100', k]:.2%} against {error.loc[others, k].min():.2%}",
            standing=rounds.standing(f"{method} 100", others, "error", k),
            why=rule,
        )
        for form, method in FORMS.items()
        for name, others, k in [
            ("at its default", ["adam 100", "adam, standardised 100"], 1),
            (f"at {len(rounds.schedules)} schedules", rounds.schedules, 1),
            (f"at {len(rounds.schedules)} schedules", rounds.schedules, 3),
        ]
    ]
    better = [
        pages.versus(
            f"Better than every baseline after 30 passes, {form} form: {text}",
            reported="lower",
            ours=f"{of.loc[f'{method} 100', end]:{digits}} against"
            f" {of.loc[rounds.rivals, end].min():{digits}}",
            standing=rounds.standing(f"{method} 100", rounds.rivals, score, end),
            why=f"{rule}, all neurons kept; the abstract: better test performance",
        )
        for form, method in FORMS.items()
        for text, score, of, digits in [
            ("error", "error", error, ".2%"),
            ("negative log-likelihood", "nll", nll, ".4f"),
        ]
    ]
    half = [
        pages.versus(
            f"Half of the neurons, {form} form: better than every pruned baseline after 30 passes",
            reported="lower",
            ours=f"{error.loc[f'{method} 50', end]:.2%} against"
            f" {error.loc[rounds.pruned, end].min():.2%}",
            standing=rounds.standing(f"{method} 50", rounds.pruned, "error", end),
            why=f"test error, {rule}",
        )
        for form, method in FORMS.items()
    ]
    ahead, points = points_ahead(rounds, "em-tdamp 100")
    beside = pages.statement(
        "Our error by pass below the paper's EM-TDAMP at its points",
        reported="below",
        ours=f"ahead at {ahead} of {points}",
        holds=ahead == points,
        why=f"decoupled form, {rule}; read off the paper's figure, its network is not known",
        source="this book",
    )
    return [*goals, *faster, *better, *half, beside]


def shown(curve: pd.DataFrame) -> pd.DataFrame:
    """A run of `contests.curve` as the page shows it."""
    found = {
        "Test error, %": (100 * curve["error"]).map("{:.2f}".format),
        "NLL": curve["nll"].map("{:.3f}".format),
        "Seconds": curve["seconds"].map("{:.2f}".format),
    }
    return pd.DataFrame(found).rename_axis("Pass", axis="columns")
