"""Page mnist-groups: the error at the end of the training by the share of groups kept."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from emtdamp.study import contests, methods, pages, plots

SHOWN = (10, 20, 30, 50, 100)  # percentages in the tables
TOLD_APART = ("paper", "gradual", "group lasso", "magnitude", "bayes by backprop")
NAMES = {"hidden": "hidden neurons", "inputs and hidden": "inputs and hidden neurons"}


@dataclass(frozen=True)
class Groups:
    """The committed study, a row a run: figures, tables and text all read it here."""

    runs: Any

    @cached_property
    def kept(self) -> list[int]:
        """Percentages of groups kept."""
        return [int(text) for text in self.runs["levels"].iloc[0].split()]

    @cached_property
    def kinds(self) -> list[str]:
        """What is pruned: hidden, or inputs and hidden."""
        return [*dict.fromkeys(self.runs["groups"])]

    @cached_property
    def seeds(self) -> int:
        return int(self.runs["seed"].nunique())

    def of(self, kind: str) -> Any:
        return self.runs[self.runs["groups"] == kind]

    def mean(self, score: str) -> Any:
        """Mean over seeds: a row a kind and method, a column a percentage."""
        return self._over_seeds(score, "mean")

    def sem(self, score: str) -> Any:
        """Its standard error."""
        return self._over_seeds(score, "sem")

    def _over_seeds(self, score: str, of: str) -> Any:
        names = [f"{score}_at_{k}" for k in self.kept]
        grouped = self.runs.groupby(["groups", "method"], sort=False)[names]
        return getattr(grouped, of)().set_axis(self.kept, axis=1)

    @cached_property
    def standings(self) -> dict[tuple[str, str], dict[int, Any]]:
        """How EM-TDAMP stands against all baselines: by kind and score, then by percentage."""
        return {
            (kind, score): contests.against_all(self.of(kind), score, self.kept)
            for kind in self.kinds
            for score in ("error", "nll")
        }

    def points_ahead(self, kind: str) -> tuple[int, int]:
        """At how many points of the paper's curve for EM-TDAMP ours is ahead, and of how many."""
        read: Any = contests.reported("sparsity_mnist_error").query("method == 'em-tdamp'")
        own = self.of(kind).query("method == 'em-tdamp'")
        found = [
            pages.compare_to_number(own[f"error_at_{x:g}"], y).standing
            for x, y in zip(read["x"], read["y"], strict=True)
        ]
        return found.count("ahead"), len(found)


def read() -> Groups:
    """The committed study."""
    return Groups(pages.study("mnist-groups"))


def ratios(groups: Groups) -> None:
    """Errors as multiples of EM-TDAMP's at the same percentage, a panel a kind of groups."""
    axes = plots.panels(len(groups.kinds), height=3.6, sharex=True)
    for ax, kind in zip(axes, groups.kinds, strict=True):
        error = groups.mean("error").loc[kind]
        ours = error.loc["em-tdamp"]
        for method in error.index.drop("em-tdamp"):
            told = method in TOLD_APART
            colour = plots.COLOURS[method] if told else "0.82"
            ax.plot(
                groups.kept, error.loc[method] / ours, color=colour, lw=2 if told else 1.2,
                label=methods.label(method).replace("EM-TDAMP, the ", "") if told else "_",
            )  # fmt: skip
        colour = plots.COLOURS["em-tdamp"]
        ax.plot(groups.kept, ours / ours, color=colour, lw=2.5, label="EM-TDAMP")
        ax.set(ylim=(0.9, 2.0), xlim=(groups.kept[0], groups.kept[-1]))
        ax.set_title(f"{NAMES[kind].capitalize()} pruned", loc="left", fontsize="medium")
        ax.set_ylabel("error, EM-TDAMP = 1")
        plots.end_labels(ax)
    axes[-1].set_xlabel("groups kept, %")
    plt.show()


def beside_figure(groups: Groups) -> None:
    """Our errors full, those of the paper's figure as open markers in the same colours."""
    read = contests.reported("sparsity_mnist_error")
    axes = plots.panels(len(groups.kinds), height=3.4, sharex=True)
    short = {"em-tdamp": "EM-TDAMP", "amp": "AMP", "adam": "Adam, default"}
    near = [k for k in groups.kept if k <= 60]
    for ax, kind in zip(axes, groups.kinds, strict=True):
        error = 100 * groups.mean("error").loc[kind][near]
        for method, points in read.groupby("method"):
            name, colour = str(method), plots.COLOURS[str(method)]
            label = short.get(name, methods.METHODS[name].label)
            ax.plot(near, error.loc[name], color=colour, lw=2, label=label)
            ax.plot(points["x"], 100 * points["y"], "o", mfc="none", color=colour, label="_")
        ax.set(yscale="log", ylim=(1.5, 100), xlim=(8, 60), ylabel="test error, %")
        ax.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
        ax.minorticks_off()
        ax.set_title(f"{NAMES[kind].capitalize()} pruned", loc="left", fontsize="medium")
        plots.end_labels(ax)
    axes[-1].set_xlabel("groups kept, %")
    plt.show()


def table(groups: Groups, kind: str) -> pd.DataFrame:
    """Test error in percent: a row a method, a column a percentage."""
    error, around = 100 * groups.mean("error").loc[kind], 100 * groups.sem("error").loc[kind]
    return pd.DataFrame(
        {"Method": methods.label(method)}
        | {
            f"{k} %": f"{error.loc[method, k]:.2f} ± {around.loc[method, k]:.2f}"
            for k in SHOWN
            if k in groups.kept
        }
        for method in error.index
    )


def standings(groups: Groups) -> pd.DataFrame:
    """A row a percentage: ahead of every baseline, behind one at least, or level."""
    heads = {"hidden": "Neurons", "inputs and hidden": "Inputs too"}
    scores = {"error": "error", "nll": "NLL"}
    return pd.DataFrame(
        {"Kept": f"{k} %"}
        | {
            f"{heads[kind]}: {scores[score]}": standings[k]
            for (kind, score), standings in groups.standings.items()
        }
        for k in groups.kept
    )


def numbers(groups: Groups) -> dict[str, Any]:
    """What the text quotes."""
    error, (hidden, both) = groups.mean("error"), groups.kinds
    cases = {"hidden": (hidden, "em-tdamp"), "both": (both, "em-tdamp"), "paper": (hidden, "paper")}
    found: dict[str, Any] = {
        f"{word}_{name}": f"{error.loc[case, k]:.2%}"
        for name, case in cases.items()
        for word, k in {"half": 50, "tenth": 10}.items()
    }
    for name, kind in {"hidden": hidden, "both": both}.items():
        found[f"below_{name}"], found["points"] = groups.points_ahead(kind)
        found[f"ahead_{name}"] = _ahead(groups.standings[kind, "error"].values())
    paper = groups.runs.query("method == 'paper'")["seed"].nunique()
    found |= {"paper_seeds": int(paper), "seeds": groups.seeds, "levels": len(groups.kept)}
    return found | {"standing_both": contests.spelled(groups.standings[both, "error"])}


def _ahead(standings: Iterable[str]) -> int:
    return [*standings].count("ahead")


def claims(groups: Groups) -> list[pages.Claim]:
    """A goal, and what the paper's abstract and figure say."""
    hidden = groups.kinds[0]
    half = groups.of(hidden).query("method == 'em-tdamp'")["error_at_50"]
    found = [
        pages.goal(
            "MNIST, ten passes, half of the hidden neurons kept: test error",
            required=0.019,
            aim=0.017,
            ours=float(half.mean()),
            sd=float(half.std()),
            n=groups.seeds,
        )
    ]
    for kind in groups.kinds:
        standings = groups.standings[kind, "error"]
        counted = contests.counted(standings.values()).replace(" on ", " at ")
        found += [
            pages.statement(
                f"Sparsity: {kind} pruned, EM-TDAMP ahead of every baseline in test error at all"
                " levels",
                reported="ahead",
                ours=f"{counted}, of {len(standings)} levels",
                holds=set(standings.values()) == {"ahead"},
                why=f"two standard errors of the difference, {groups.seeds} seeds,"
                f" {len(groups.kept)} levels",
                source="paper's abstract",
            )
        ]
    for kind in groups.kinds:
        ahead, points = groups.points_ahead(kind)
        found += [
            pages.statement(
                f"Sparsity: {kind} pruned, our error below the paper's EM-TDAMP at its points",
                reported="below",
                ours=f"ahead at {ahead} of {points}",
                holds=ahead == points,
                why="two standard errors; read off the paper's figure, its network is not known",
                source="this book",
            )
        ]
    return found


def shown(ends: pd.DataFrame) -> pd.DataFrame:
    """Rows of `contests.levels` as the page shows them."""
    found = {
        "Neurons left": ends["neurons"].map("{:.0f}".format),
        "Test error, %": (100 * ends["error"]).map("{:.2f}".format),
        "NLL": ends["nll"].map("{:.3f}".format),
    }
    return pd.DataFrame(found).rename_axis("% kept")
