"""The messages' worked examples: sums, the ReLU, the label's integral, and exact regression."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import log_ndtr, logsumexp

from emtdamp.messages import activations, layers, likelihoods
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import plots

F64 = tf.float64


def sums(draws: int = 100_000) -> pd.DataFrame:
    """A sum over fifty uncertain inputs and weights, as a Gaussian and drawn often."""
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=(1, 50)), rng.uniform(0, 0.5, size=(1, 50))
    m, s = rng.normal(0, 0.2, size=(50, 1)), rng.uniform(0, 0.05, size=(50, 1))
    w, v = (float(part[0, 0]) for part in layers.forward(x, d, m, s, None))
    u = x + np.sqrt(d) * rng.normal(size=(draws, 50))
    weights = m.T + np.sqrt(s.T) * rng.normal(size=(draws, 50))
    z = (u * weights).sum(axis=1)
    inside = np.mean(np.abs(z - w) < np.sqrt(v))
    table = pd.DataFrame(
        [[w, v, 0.6827], [z.mean(), z.var(), inside]],
        index=pd.Index(["as a Gaussian", "drawn"]),
        columns=pd.Index(["mean", "variance", "within one sd"]),
    )
    return table.map("{:.3f}".format)


def draw_relu(precision: float = 1.0, shift: float = 2.0) -> None:
    """Slope and curvature below a ReLU against the mean of its sum, for three variances of it."""
    slope, curvature = plots.panels(2, 2.9, sharex=True)
    grid = np.linspace(-4.5, 4.5, 600)
    w = tf.constant(grid, F64)
    above = Gaussian(precision + tf.zeros_like(w), shift + tf.zeros_like(w))
    looks = {1e-4: ("0.35", "V = 0"), 0.3: (plots.SERIES[2], "V = 0.3"),
             1.0: (plots.SERIES[0], "V = 1")}  # fmt: skip
    for var, (colour, label) in looks.items():
        unit = activations.relu(w, var + tf.zeros_like(w), above)
        dashes = "--" if var < 0.01 else "-"
        bend = np.where(np.abs(unit.curvature) < 5, unit.curvature, np.nan)
        slope.plot(grid, unit.gradient, color=colour, ls=dashes, label=label)
        curvature.plot(grid, bend, color=colour, ls=dashes, label=label)
    for at, words in ((-3.2, "surely off"), (-0.1, "undecided"), (3.1, "surely on")):
        slope.text(at, 2.25, words, ha="center", fontsize="small")
    for ax in (slope, curvature):
        ax.axhline(0, color="0.35", lw=0.8)
        ax.axvspan(-1.7, 1.5, color="0.5", alpha=0.1, lw=0)
    slope.set(ylabel="slope $g$", ylim=(-2.7, 2.6))
    curvature.set(ylabel=r"curvature $\Gamma$", ylim=(-1.3, 1.3), xlabel="mean $w$ of the sum")
    slope.legend(fontsize="small", loc="lower left")
    plt.show()


def surprises() -> pd.DataFrame:
    """log Z of ten classes whose true one lies behind by a gap: the package, as many nodes that
    stand where the prior is, and a fine grid."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(17)
    grid, step = np.linspace(-100, 20, 200_001, retstep=True)
    top, rows, v = likelihoods.ProbitProduct(), {}, tf.ones([], F64)
    for gap in [0.0, -5.0, -20.0, -60.0]:
        w = tf.constant([[gap] + [0.0] * 9], F64)
        package = top(w, tf.ones_like(w), tf.constant([0]), v).log_partition.numpy()[0]
        at_nodes = np.log(weights / weights.sum()) + 9 * log_ndtr((gap + nodes) / np.sqrt(2))
        log_prior = -0.5 * (grid - gap) ** 2 - 0.5 * np.log(2 * np.pi)
        exact = logsumexp(log_prior + 9 * log_ndtr(grid / np.sqrt(2))) + np.log(step)
        assert abs(package - exact) < 1e-4
        rows[f"gap {abs(gap):g}"] = (package, logsumexp(at_nodes), exact)
    table = pd.DataFrame(rows, index=pd.Index(["package", "fixed nodes", "fine grid"])).T
    return table.map("{:.3f}".format)


def regression() -> pd.DataFrame:
    """Largest error of a mean of Bayesian linear regression, with Onsager's term and without."""
    rng, noise = np.random.default_rng(0), 0.5
    x = rng.normal(size=(200, 50))
    y = x @ rng.normal(size=(50, 1)) + np.sqrt(noise) * rng.normal(size=(200, 1))
    exact = np.linalg.solve(x.T @ x / noise + np.eye(50), x.T @ y / noise)  # prior N(0, 1)
    with_term, _, one = _passes(x, y, noise, exact, onsager=True)
    without, v, two = _passes(x, y, noise, exact, onsager=False)
    inflated = x.T / (noise + v[:, 0])
    other = np.linalg.solve(inflated @ x + np.eye(50), inflated @ y)
    np.testing.assert_allclose(with_term, exact, atol=1e-6)
    np.testing.assert_allclose(without, other, atol=1e-6)
    table = pd.DataFrame({"with Onsager's term": one, "without": two}, index=range(1, 61))
    table = table.loc[[1, 2, 4, 8, 16, 32, 60]].map("{:.1e}".format)
    table.index = pd.Index([f"after {n} passes" if n > 1 else "after 1 pass" for n in table.index])
    return table


def _passes(
    x: np.ndarray, y: np.ndarray, noise: float, exact: np.ndarray, onsager: bool
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Means and variances of z after 60 damped passes, and the errors on the way."""
    top, damping = likelihoods.GaussianNoise(), 0.2
    inputs, count, v = tf.constant(x), tf.ones([len(x), 1], F64), tf.constant(noise, F64)
    m = tf.zeros([x.shape[1], 1], F64)
    s, old, error, var = tf.ones_like(m), None, [], tf.zeros_like(count)
    for _ in range(60):
        w, var = layers.forward(inputs, None, m, s, old)
        output = top(w, var, tf.constant(y), v)
        g, gamma = output.gradient, output.curvature
        push, precision = layers.to_weights(inputs, None, m, g, gamma, count, old)
        old = layers.Trace(inputs, m, g) if onsager else None
        s = 1 / (1 + precision)
        m = damping * m + (1 - damping) * s * (push + m * precision)
        error.append(float(np.abs(m.numpy() - exact).max()))
    return m.numpy(), var.numpy(), error
