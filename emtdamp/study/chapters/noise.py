"""Page noise: the noise variance of the probit fixed, by EM's closed form, or by maximisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.ticker import MaxNLocator

from emtdamp import EMTDAMPClassifier, metrics
from emtdamp.messages.likelihoods import ProbitProduct, maximise_noise
from emtdamp.scaling import scaling
from emtdamp.study import pages, plots, runs
from emtdamp.training import fitting, recipes

WAYS = ("fixed", "EM, closed form", "numerical")
LEARNT = WAYS[1:]
COLOURS = {
    "fixed": "0.6",
    "EM, closed form": plots.SERIES[2],
    "numerical": plots.SERIES[0],
}
LEAST = 1e-3  # v that the numerical maximum may have
PROBIT = ProbitProduct()


@tf.function(reduce_retracing=True)
def _best_noise(w: tf.Tensor, var: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The v of the highest log-partition for these outputs."""
    return maximise_noise(PROBIT, w, var, labels, bounds=(LEAST, 1e4), iterations=25)


class Bench:
    """Nine in ten of the images to learn from; v is maximised on the others."""

    def __init__(self, task: runs.Task, em_iters: int, sparsity: float) -> None:
        scale = scaling(task.x, np.ones(len(task.x)), 0.5)
        x, y = scale(task.x), task.y.astype(np.int32)
        self.first = len(x) - len(x) // 10
        self.em_iters, self.sparsity = em_iters, sparsity
        self.data = fitting.Data(x[: self.first], y[: self.first], np.ones(self.first))
        self.held = x[self.first :], tf.constant(y[self.first :])
        self.test = scale(task.x_test), task.y_test

    def follow(self, way: str, start: float, seed: int) -> dict[str, Any]:
        """v after each EM iteration, the start first; error and likelihood at the end."""
        given: dict[str, Any] = {"em_iters": self.em_iters, "sparsity": self.sparsity}
        model = EMTDAMPClassifier((128,), **given)
        recipe = recipes.make(model.get_params(), self.data, 10, start)
        schedule = recipe.schedule._replace(learn_noise=float(way == "EM, closed form"))
        recipe = recipe._replace(schedule=schedule)
        noises = [start]
        if way == "numerical":
            posterior, progress = None, None
            for number in range(self.em_iters):
                trained = fitting.train(self.data, recipe, seed, progress, until=number + 1)
                posterior, progress = trained.posterior, trained.progress
                outputs = (tf.constant(a, tf.float32) for a in posterior.propagate(self.held[0]))
                noise = _best_noise(*outputs, self.held[1]).numpy()
                progress = progress._replace(state=progress.state._replace(noise=noise))
                noises.append(float(noise))
        else:
            trained = fitting.train(self.data, recipe, seed)
            posterior = trained.posterior
            noises += [row["noise"] for row in trained.history]
        assert posterior is not None
        x, y = self.test
        log_p = posterior.log_probabilities(x)
        nll = metrics.negative_log_likelihood(y, np.exp(log_p))
        return {"v": noises, "error": float((log_p.argmax(axis=1) != y).mean()), "nll": nll}


@dataclass(frozen=True)
class Found:
    """Runs by way and start, one a seed, and the start that is too high."""

    runs: Mapping[tuple[str, float], Sequence[dict[str, Any]]]
    high: float

    def each(self, way: str, start: float, score: str) -> np.ndarray:
        """A score of every seed; of v the last."""
        values = [run[score] for run in self.runs[way, start]]
        return np.array([value[-1] if score == "v" else value for value in values])

    def mean(self, way: str, start: float, score: str = "error") -> float:
        return float(self.each(way, start, score).mean())

    def better(self, start: float) -> str:
        """The better of the two ways to learn v."""
        return min(LEARNT, key=lambda way: self.mean(way, start))

    def beside_fixed(self, start: float) -> Any:
        """How the better way stands beside a fixed v; pairs of one start and order."""
        errors = [self.each(way, start, "error") for way in (self.better(start), "fixed")]
        return pages.compare(*errors, paired=True).standing


def run(bench: Bench, high: float, seeds: int) -> Found:
    """Every way from both starts."""
    return Found(
        {
            (way, start): [bench.follow(way, start, seed) for seed in range(seeds)]
            for start in (1.0, high)
            for way in WAYS
        },
        high,
    )


def figure(found: Found) -> None:
    """v by iteration from both starts, and the test error at the end."""
    axes = plots.panels(2, height=3.2)
    for (way, start), several in found.runs.items():
        v = np.mean([run["v"] for run in several], axis=0)
        style = "-" if start == 1.0 else "--"
        label = way if start == 1.0 else f"_{way}"
        axes[0].plot(range(len(v)), v, style, color=COLOURS[way], lw=2, label=label)
    axes[0].set(yscale="log", xlabel="EM iterations")
    axes[0].set_title("Noise variance v", loc="left", fontsize="medium")
    axes[0].set_xlim(0, None)
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    plots.end_labels(axes[0])
    for place, start in enumerate((1.0, found.high)):
        for shift, way in zip((-0.2, 0, 0.2), WAYS, strict=True):
            errors = 100 * found.each(way, start, "error")
            mean, around = errors.mean(), pd.Series(errors).sem()
            axes[1].errorbar(mean, -place - shift, xerr=around, fmt="o", color=COLOURS[way])
    axes[1].set_yticks([0, -1], ["from v = 1", f"from v = {found.high:g}"])
    axes[1].set(ylim=(-1.5, 0.5))
    axes[1].set_title("Test error at the end, %", loc="left", fontsize="medium")
    plt.show()


def table(found: Found) -> pd.DataFrame:
    """A row a way and start."""
    rows = []
    for way, start in found.runs:
        row = {
            "v": way,
            "Start": f"{start:g}",
            "v at the end": f"{found.mean(way, start, 'v'):.3f}",
        }
        for name, score, factor, digits in [
            ("Test error, %", "error", 100, 2),
            ("NLL", "nll", 1, 4),
        ]:
            values = factor * pd.Series(found.each(way, start, score))
            row[name] = f"{values.mean():.{digits}f} ± {values.sem():.{digits}f}"
        rows.append(row)
    return pd.DataFrame(rows)


def numbers(found: Found) -> dict[str, Any]:
    """What the text quotes."""
    high, em, top = found.high, "EM, closed form", "numerical"
    return {
        "high": f"{high:g}",
        "em_from_one": f"{found.mean(em, 1.0, 'v'):.2g}",
        "em_from_high": f"{found.mean(em, high, 'v'):.3g}",
        "held_from_one": f"{found.mean(top, 1.0, 'v'):.2g}",
        "held_from_high": f"{found.mean(top, high, 'v'):.2g}",
        "least": f"{LEAST:g}",
        "fixed_one": f"{found.mean('fixed', 1.0):.2%}",
        "fixed_high": f"{found.mean('fixed', high):.2%}",
        "best_one": f"{found.mean(found.better(1.0), 1.0):.2%}",
        "best_high": f"{found.mean(found.better(high), high):.2%}",
        "standing_one": found.beside_fixed(1.0),
        "standing_high": found.beside_fixed(high),
    }


def claims(found: Found) -> list[pages.Claim]:
    """The paper's figures show a learnt variance ahead of a fixed one."""
    return [
        pages.statement(
            text,
            reported="2.3 % against 2.8 %",
            ours=f"{found.mean(found.better(start), start):.2%}"
            f" against {found.mean('fixed', start):.2%}",
            holds=found.beside_fixed(start) == "ahead",
            why="better of two ways, lower by two standard errors of the paired difference",
            source="paper's figures",
        )
        for text, start in {
            "A learnt noise variance ends at a lower error than a fixed one, v = 1": 1.0,
            f"The same, started and fixed at v = {found.high:g}": found.high,
        }.items()
    ]
