"""Pictures of learning on the page `explained`: weights that narrow, groups that tip, two paths."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf

from emtdamp.messages import damp, prior
from emtdamp.messages.damp import Batch, Rates, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import plots
from emtdamp.study.chapters.explained import ABOVE, BELOW, MINUS, density
from emtdamp.study.chapters.small_cases import NETWORK, f64


@tf.function(autograph=False)
def _learn(state: State, x: tf.Tensor, y: tf.Tensor, keep: tf.Tensor) -> State:
    """A minibatch learnt by the window form."""
    return damp.step_window(NETWORK, state, Batch(x, y, tf.ones_like(y[:, 0])), Rates(keep))[0]


class Narrowing(NamedTuple):
    """True weight, belief (mean, sd) before any and after each minibatch, and the exact posterior
    of all rows at once."""

    truth: float
    beliefs: list[tuple[float, float]]
    exact: tuple[float, float]


def narrowing(batches: int = 16, rows: int = 20, inputs: int = 20, seed: int = 3) -> Narrowing:
    """One of 20 weights of a linear model, all drawn from their prior; each row counted once."""
    rng, noise, slab = np.random.default_rng(seed), 1.0, 1 / inputs
    truth = slab**0.5 * rng.normal(size=(inputs, 1))
    x = rng.normal(size=(batches, rows, inputs))
    y = x @ truth + noise**0.5 * rng.normal(size=(batches, rows, 1))
    state, beliefs = damp.init([0 * truth], [0.0], [1 / slab], noise), [(0.0, slab**0.5)]
    for pair in zip(x, y, strict=True):
        state = _learn(state, *map(f64, pair), f64(1.0))
        layer = state.layers[0]
        sd = float(1 / (layer.precision + layer.prior.precision)[0, 0]) ** 0.5
        beliefs.append((float(layer.mean[0, 0]), sd))
    x, y = x.reshape(-1, inputs), y.reshape(-1, 1)
    cov = np.linalg.inv(x.T @ x / noise + np.eye(inputs) / slab)
    exact = float((cov @ x.T @ y)[0, 0] / noise), float(cov[0, 0]) ** 0.5
    return Narrowing(float(truth[0, 0]), beliefs, exact)


def draw_narrowing(found: Narrowing, shown: tuple[int, ...] = (0, 1, 2, 4, 8, 16)) -> None:
    """The weight's density after some of the minibatches, darker the later."""
    _, ax = plt.subplots(figsize=(plots.WIDTH, 3.8))
    width = 3 * found.beliefs[0][1]
    grid = np.linspace(-width, width, 500)
    for place, number in enumerate(shown):
        mean, sd = found.beliefs[number]
        shade = 0.2 + 0.8 * place / (len(shown) - 1)
        label = f"after {number}" if number else "the prior"
        ax.plot(grid, density(grid, mean, sd**2), color=BELOW, alpha=shade, lw=2, label=label)
    ax.axvline(found.truth, color="0.35", ls="--", lw=1, label="the true weight")
    ax.set(xlabel="the weight", ylabel="density", ylim=(0, None), xlim=(-width, width))
    ax.legend(fontsize="small", title="minibatches", title_fontsize="small")
    plt.show()


def narrowing_table(found: Narrowing) -> pd.DataFrame:
    """Mean and standard deviation before and after, beside those of all rows at once."""
    rows = {"prior": found.beliefs[0], "after 16 minibatches": found.beliefs[-1]}
    rows["exact, all rows at once"] = found.exact
    table = pd.DataFrame(rows, index=pd.Index(["mean", "standard deviation"])).T
    return table.map("{:.3f}".format)


MODULE_B = prior.GroupPrior(("free",), learn_slab=False)


@tf.function(autograph=False)
def _learn_groups(
    state: State, beliefs: prior.PriorState, x: tf.Tensor, y: tf.Tensor
) -> tuple[State, prior.PriorState, tf.Tensor]:
    """A minibatch, then module B's answer; with the log-odds of the groups."""
    layer = _learn(state, x, y, f64(1.0)).layers[0]
    shift = layer.mean * (layer.precision + layer.prior.precision) - layer.prior.shift
    beliefs, (answer,), info = MODULE_B.step(beliefs, [Gaussian(layer.precision, shift)], [4])
    mean = (shift + answer.shift) / (layer.precision + answer.precision)
    layer = layer._replace(mean=mean, prior=answer)
    return state._replace(layers=(layer,)), beliefs, info.log_odds[0]


class Tipping(NamedTuple):
    """By minibatch: log-odds of the groups (steps, 4), and means of their weights (steps, 4, 2)."""

    log_odds: np.ndarray
    means: np.ndarray


INPUT_NAMES = ("strong", "weak", "useless", "useless too")


def tipping(batches: int = 60, rows: int = 4, seed: int = 0) -> Tipping:
    """Four inputs of two outgoing weights each, two of which y does not depend on; module B is
    called after each minibatch, with one rate for all groups that EM learns."""
    rng, noise = np.random.default_rng(seed), 4.0
    truth = np.array([[1.0, -0.8], [0.4, -0.4], [0, 0], [0, 0], [0.2, 0]])
    beliefs = MODULE_B.init(slab=[1.0], groups=[4])
    state, odds, means = damp.init([0 * truth], [0.0], [1.0], noise), [], []
    for _ in range(batches):
        x = np.pad(rng.normal(size=(rows, 4)), [(0, 0), (0, 1)], constant_values=1.0)
        y = x @ truth + noise**0.5 * rng.normal(size=(rows, 2))
        state, beliefs, found = _learn_groups(state, beliefs, f64(x), f64(y))
        odds.append(found.numpy())
        means.append(state.layers[0].mean.numpy()[:4])
    return Tipping(np.array(odds), np.array(means))


def draw_tipping(found: Tipping) -> None:
    """Log-odds that a group is in use, and below the weights of the weak and of a useless one."""
    top, bottom = plots.panels(2, 2.9, sharex=True)
    steps = np.arange(1, len(found.log_odds) + 1)
    colours = ("0.55", BELOW, "0.55", ABOVE)  # those of the lower panel, the others grey
    for name, values, colour in zip(INPUT_NAMES, found.log_odds.T, colours, strict=True):
        top.plot(steps, values, color=colour, label=name)
    top.axhline(0, color="0.35", ls="--", lw=1)
    top.set(yscale="symlog", ylabel="log-odds: in use")
    top.set_yticks([-1, 0, 1, 10], [f"{MINUS}1", "0", "1", "10"])
    plots.end_labels(top)
    for group in (1, 3):
        values, colour = found.means[:, group], colours[group]
        bottom.plot(steps, values[:, 0], color=colour, label=INPUT_NAMES[group])
        bottom.plot(steps, values[:, 1], color=colour)
    bottom.set(xlabel="minibatches", ylabel="means of its weights")
    plots.end_labels(bottom)
    plt.show()


@tf.function(autograph=False)
def _learn_decoupled(state: State, x: tf.Tensor, y: tf.Tensor, effective: tf.Tensor) -> State:
    rates = Rates(2 / 3, gain=0.6, effective_minibatches=effective, momentum=0.8)
    return damp.step_decoupled(NETWORK, state, Batch(x, y, tf.ones_like(y[:, 0])), rates)[0]


class Paths(NamedTuple):
    """Means of two weights by minibatch (steps + 1, 2) for each form, and the ridge regression."""

    paths: dict[str, np.ndarray]
    end: np.ndarray
    hessian: np.ndarray

    @property
    def apart(self) -> float:
        """Largest distance of a path's end from the ridge regression."""
        return max(float(np.abs(path[-1] - self.end).max()) for path in self.paths.values())


def two_paths(steps: int = 200, effective: float = 4.0) -> Paths:
    """The same minibatch of a linear model with two weights, again and again, in both forms."""
    rng, noise = np.random.default_rng(2), 1.0
    x = rng.normal(size=(8, 2)) @ np.array([[1.0, 0.5], [0.0, 0.8]])
    y = x @ [[1.2], [-0.7]] + rng.normal(size=(8, 1))
    keep = effective / (1 + effective)
    data = f64(x), f64(y)
    one = two = damp.init([np.zeros((2, 1))], [0.0], [1.0], noise)
    window, decoupled = [np.zeros(2)], [np.zeros(2)]
    for _ in range(steps):
        one = _learn(one, *data, f64(keep))
        two = _learn_decoupled(two, *data, f64(effective))
        layer = one.layers[0]  # of the window form, the mean before a minibatch
        before = keep * (layer.precision + 1) * layer.mean / (keep * layer.precision + 1)
        window.append(before.numpy()[:, 0])
        decoupled.append(two.layers[0].mean.numpy()[:, 0])
    s = 1 / (keep * one.layers[0].precision.numpy()[:, 0] + 1)
    inflated = x / (noise + x**2 @ s)[:, None]
    hessian = effective * x.T @ inflated + np.eye(2)
    end = np.linalg.solve(hessian, effective * inflated.T @ y)[:, 0]
    paths = {"window form": np.array(window), "decoupled form": np.array(decoupled)}
    return Paths(paths, end, hessian)


def draw_paths(found: Paths) -> None:
    """Both paths over lines of equal height of the ridge regression that they end at."""
    _, ax = plt.subplots(figsize=(plots.WIDTH, 4.6))
    colours = (plots.COLOURS["em-tdamp, window"], plots.COLOURS["em-tdamp"])
    everything = np.concatenate(list(found.paths.values()))
    low, high = everything.min(axis=0) - 0.15, everything.max(axis=0) + 0.15
    grid = np.stack(
        np.meshgrid(*(np.linspace(*ends, 80) for ends in zip(low, high, strict=True))), -1
    )
    away = grid - found.end
    height = np.einsum("abi,ij,abj->ab", away, found.hessian, away)
    levels = height.max() * np.array([0.01, 0.05, 0.15, 0.35, 0.65])
    ax.contour(grid[..., 0], grid[..., 1], height, levels=levels, colors="0.8", linewidths=1)
    for (name, path), colour in zip(found.paths.items(), colours, strict=True):
        ax.plot(*path.T, color=colour, marker="o", ms=3, lw=1.4, label=name)
    ax.plot(*found.end, marker="*", ms=16, color="0.2", ls="", label="where both rest")
    ax.set(xlabel="mean of the first weight", ylabel="mean of the second weight")
    ax.legend(fontsize="small")
    plt.show()
