"""The page `proofs` beside sampling: sequential messages and NUTS on the same small network."""

from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf

from emtdamp.baselines import nuts
from emtdamp.messages import damp, equilibrium
from emtdamp.messages.damp import Batch, Rates, State
from emtdamp.study import plots
from emtdamp.study.chapters.small_cases import F64, NETWORK, batch_of, with_ones

BROWN, OURS = plots.SERIES[0], plots.COLOURS["em-tdamp"]


class Sampled(NamedTuple):
    """The network's data; mean and variance of its function on the grid of NUTS's table by module
    A, those at every other point by linear response, and the mean without remedies."""

    x: np.ndarray
    y: np.ndarray
    table: Any
    mean: np.ndarray
    var: np.ndarray
    some: np.ndarray
    linear: np.ndarray
    once: np.ndarray
    counts: float
    freedom: float

    @property
    def predictive(self) -> np.ndarray:
        """NUTS's standard deviation of a new y."""
        return np.sqrt(np.asarray(self.table["sd"]) ** 2 + nuts.NOISE)

    @property
    def off(self) -> np.ndarray:
        """Distance of the means, in units of the predictive standard deviation."""
        return np.abs(self.mean - np.asarray(self.table["mean"])) / self.predictive

    @property
    def true_freedom(self) -> float:
        """Degrees of freedom of the samples."""
        at_rows = np.interp(self.x[:, 0], self.table["x"], self.table["sd"] ** 2)
        return float(at_rows.sum() / nuts.NOISE)

    @property
    def ratios(self) -> dict[str, np.ndarray]:
        """Standard deviations on the grid, in units of those of NUTS."""
        sd = np.asarray(self.table["sd"])
        return {
            "predictive, noise included": np.sqrt(self.var + nuts.NOISE) / self.predictive,
            "noiseless, product of weights": np.sqrt(self.var) / sd,
            "noiseless, linear response": np.sqrt(self.linear) / sd[self.some],
        }

    @property
    def shares(self) -> dict[str, float]:
        """Of each ratio, the share of the grid where it is within a factor of 2."""
        return {name: float(np.mean((r > 0.5) & (r < 2))) for name, r in self.ratios.items()}


def sampled(starts: int) -> Sampled:
    """Module A on the network of NUTS's table, from so many random starts."""
    x, y = nuts.problem()
    batch = batch_of(with_ones(x), y)
    grid = tf.constant(with_ones(nuts.GRID[:, None]))
    sizes = [1, nuts.HIDDEN, 1]
    first = [equilibrium.draw(sizes, nuts.SLAB, nuts.NOISE, seed) for seed in range(starts)]
    parts = equilibrium.mixture(NETWORK, first, batch, momentum=0.95)
    mean, var = (np.asarray(a)[:, 0] for a in equilibrium.mixture_moments(NETWORK, parts, grid))
    best, some = parts.settled[int(np.argmax(parts.share))], np.arange(0, 41, 2)
    at = tf.gather(grid, some)
    linear = equilibrium.response(NETWORK, best, batch, parts.counts, at, momentum=0.95)
    state = _once(first[0], batch)
    layers = [(a.mean, 1 / (a.precision / state.count + a.prior.precision)) for a in state.layers]
    once = damp.propagate(NETWORK, layers, grid)[0].numpy()[:, 0]
    found = (nuts.table(), mean, var, some, np.asarray(linear), once)
    return Sampled(x, y, *found, parts.counts, parts.freedom)


@tf.function(jit_compile=True)
def _once(state: State, batch: Batch) -> State:
    """The decoupled form, each row counted once."""
    for k in tf.range(4000):
        warm = tf.minimum(tf.cast(k + 1, F64) / 200, 1.0)
        how = Rates(0.9, 1.0, 0.5 * (0.9 * state.count + 1) * warm, 1.0, 0.8, 0.1)
        state, _ = damp.step_decoupled(NETWORK, state, batch, how)
    return state


def draw_sampled(found: Sampled) -> None:
    """The function: NUTS, module A, linear response, and module A without remedies."""
    at, table, sd = nuts.GRID, found.table, np.sqrt(found.var)
    _, ax = plt.subplots(figsize=(plots.WIDTH, 4.6))
    low, high = (table["mean"] + k * table["sd"] for k in (-2, 2))
    ax.fill_between(at, low, high, color=BROWN, alpha=0.25, lw=0)
    ax.plot(at, table["mean"], color=BROWN, label="samples (NUTS), ± 2 sd")
    ax.plot(at, found.mean, color=OURS, label="module A, ± 2 sd")
    centre, half = found.mean[found.some], 2 * np.sqrt(found.linear)
    for sign in (-1, 1):
        ax.plot(at, found.mean + 2 * sign * sd, color=OURS, lw=1)
        ax.plot(at[found.some], centre + sign * half, color="0.2", lw=1, ls="--")
    ax.plot([], color="0.2", lw=1, ls="--", label="± 2 sd by linear response")
    ax.plot(at, found.once, color=OURS, lw=1, ls=":", label="each row once, $v + V$")
    ax.plot(found.x[:, 0], found.y[:, 0], "k.", ms=5)
    ax.set(xlabel="$x$", ylabel="noiseless output", ylim=(-2.3, 3.2))
    ax.legend(fontsize="small", loc="upper left")
    plt.show()


def sd_table(found: Sampled) -> pd.DataFrame:
    """Standard deviations relative to those of NUTS, over the grid."""
    rows = {
        name: (f"{r.min():.2f}", f"{r.max():.2f}", f"{found.shares[name]:.0%}")
        for name, r in found.ratios.items()
    }
    names = pd.Index(["smallest", "largest", "within a factor of 2"])
    return pd.DataFrame(rows, index=names).T


def results(found: Sampled) -> dict[str, float]:
    """What the page records."""
    shares = found.shares
    return {
        "mean_close": float(np.mean(found.off < 0.25)),
        "counts": found.counts,
        "freedom": found.freedom,
        "linear_response_within_factor_2": shares["noiseless, linear response"],
        "product_within_factor_2": shares["noiseless, product of weights"],
        "predictive_within_factor_2": shares["predictive, noise included"],
    }
