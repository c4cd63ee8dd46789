"""Figures and tables of the page `sparse-parameterisation`."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import digamma
from scipy.stats import gamma, invgamma, laplace, norm, t

from emtdamp.baselines import replicas
from emtdamp.study import claims, pages, plots
from emtdamp.study.chapters import sparse_training as training
from emtdamp.study.chapters.sparse_training import Found

LABELS = {
    "l1": "L1",
    "vadam": "Vadam + ARD",
    "ivon": "IVON + ARD",
    "em-tdamp, weights": "EM-TDAMP, weights",
    "em-tdamp": "EM-TDAMP, groups",
    "vadam, prior x N": "prior counted N times",
}
COLOURS = {
    "l1": "#5b8c2a",
    "vadam": "#2f6db5",
    "ivon": "#8c2d8c",
    "em-tdamp, weights": plots.COLOURS["em-tdamp"],
    "em-tdamp": plots.COLOURS["em-tdamp"],
    "vadam, prior x N": "0.45",
}
OURS = "em-tdamp, weights"
SINGLE = ("l1", "vadam", "ivon")  # prune weight by weight
TASKS = {"iris": "Iris, 4-8-3", "musk": "Musk, 166-10-meanmax-10-2"}
SPARSE = {"iris": 6, "musk": 70}  # weights left where methods are compared
Fronts = dict[str, dict[str, Found]]


def fronts(task: str = "", method: str = "", live: Found | None = None) -> Fronts:
    """By task and method what the studies hold, or one live run alone."""
    if live is not None:
        return {task: {method: live}}
    found: Fronts = {}
    for name in TASKS:
        for _, row in pages.study(f"sparse-{name}").iterrows():
            found.setdefault(name, {})[str(row["method"])] = training.read(row)
    return found


def complete(found: Fronts) -> bool:
    """Whether both tasks are there with the methods that are compared on them."""
    return all(set(SINGLE) <= set(found.get(name, {})) for name in TASKS)


def at(found: Found, weights: int) -> np.ndarray:
    """(splits,) test errors with at most so many weights."""
    return found.error[:, found.levels.index(weights)]


def picture(here: dict[str, Found], task: str) -> None:
    """Test error against the weights left, mean and two standard errors over the splits."""
    (ax,) = plots.panels(1, height=4.4)
    size = training.task(task).size
    for method in [m for m in (*SINGLE, OURS, "em-tdamp") if m in here]:
        one, colour = here[method], COLOURS[method]
        order = np.argsort(one.levels)[::-1]
        left, mean = np.array(one.levels)[order], one.error.mean(axis=0)[order]
        band = np.nan_to_num([2 * claims.standard_error(column) for column in one.error.T])[order]
        style = "o" if method == "em-tdamp" else "-o"
        ax.plot(left, mean, style, color=colour, ms=5, label=LABELS[method])
        if method == "em-tdamp":
            ax.errorbar(left, mean, band, fmt="none", color=colour, capsize=3)
        else:
            ax.fill_between(left, mean - band, mean + band, color=colour, alpha=0.15, lw=0)
    ticks = (67, 30, 15, 10, 6) if task == "iris" else (1922, 500, 100, 30, 10)
    ax.set(xscale="log", ylabel="test error", ylim=(0, 0.25 if task == "iris" else None))
    ax.set_xlabel(f"weights left of {size:,} (log scale), and share pruned")
    ax.set_xticks(ticks, [f"{level}\n{100 * (1 - level / size):.3g} %" for level in ticks])
    ax.minorticks_off()
    ax.invert_xaxis()
    ax.yaxis.set_major_formatter(plots.PercentFormatter(1, decimals=0))
    ax.legend(loc="upper left")


def table(found: Fronts) -> pd.DataFrame:
    """Test error and log loss where the methods are compared, and with all weights allowed."""
    rows = []
    for task, methods in found.items():
        for method in [m for m in (*SINGLE, OURS) if m in methods]:
            one = methods[method]
            row = {"Network": TASKS[task], "Method": LABELS[method]}
            for head, weights in (("Weakest penalty", one.levels[0]), ("Sparse", SPARSE[task])):
                column = one.levels.index(weights)
                row[f"{head}: error, %"] = _mean(100 * one.error[:, column], 1)
                row[f"{head}: log loss"] = _mean(one.loss[:, column], 2)
            rows.append(row)
    return pd.DataFrame(rows)


def by_strength(found: Fronts) -> pd.DataFrame:
    """What each strength leaves by the method's own threshold, and the test error with that."""
    rows = []
    for task, methods in found.items():
        for method in [m for m in (*SINGLE, "vadam, prior x N") if m in methods]:
            one = methods[method]
            for k, strength in enumerate(one.strengths):
                rows.append(
                    {
                        "Network": TASKS[task],
                        "Method": LABELS[method],
                        "Strength": f"{strength:g}",
                        "Weights left": _mean(one.left[:, k], 1),
                        "Test error, %": _mean(100 * one.own[:, k], 1),
                    }
                )
    return pd.DataFrame(rows)


def _mean(values: Any, digits: int) -> str:
    error = claims.standard_error(values)
    spread = "" if np.isnan(error) else f" ± {error:.{digits}f}"
    return f"{np.mean(values):.{digits}f}{spread}"


# The slides' mathematics, checked


def marginals() -> dict[str, float]:
    """Largest relative distance of a scale mixture, by quadrature, to the marginal it stands for.

    The slides' table 1: of N(0, v) with v exponential, inverse-Gamma, or 0 or 1 by a coin.
    """
    at_, far = (0.1, 0.7, 2.5), {}

    def mixture(density: Any, theta: float) -> float:
        return quad(lambda v: density(v) * norm.pdf(theta, 0, v**0.5), 0, np.inf, limit=200)[0]

    exponential = [mixture(lambda v: 0.5 * np.exp(-v / 2), theta) for theta in at_]
    far["Laplace"] = exponential / laplace.pdf(at_)
    inverse = [mixture(lambda v: invgamma.pdf(v, 1.5, scale=1.5), theta) for theta in at_]
    far["Student-t"] = inverse / t.pdf(at_, 3)
    draws = np.random.default_rng(0)
    coin = draws.random(200_000) < 0.3
    mixed = np.sqrt(coin) * draws.standard_normal(len(coin))
    far["spike and slab"] = np.array([np.mean(np.abs(mixed) > 0.7) / (0.6 * norm.sf(0.7))])
    return {name: float(np.abs(ratio - 1).max()) for name, ratio in far.items()}


def factor_gap() -> float:
    """Largest relative distance of the Gamma factor's closed form to a numerical maximum."""
    a, b, square = 0.7, 0.2, 0.6**2 + 0.2

    def less(logs: np.ndarray) -> float:
        shape, rate = np.exp(logs)
        log_psi, psi = digamma(shape) - np.log(rate), shape / rate
        entropy = gamma.entropy(shape, scale=1 / rate)
        return float(-((a - 0.5) * log_psi - (b + square / 2) * psi + entropy))

    best = minimize(less, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
    return float(np.abs(np.exp(best.x) / [a + 0.5, b + square / 2] - 1).max())


def identity_gap() -> float:
    """Distance of bound + divergence to the log evidence: y ~ N(z, 1), z ~ N(0, 2), any q."""
    y, mean, var = 1.3, 0.2, 0.5
    evidence = norm.logpdf(y, 0, 3**0.5)
    exact_var, exact = 1 / (1 + 1 / 2), y / (1 + 1 / 2)
    bound = norm.logpdf(y, mean) - var / 2 + norm.logpdf(mean, 0, 2**0.5) - var / 4
    bound += norm.entropy(mean, var**0.5)
    ratio = var / exact_var
    divergence = 0.5 * (ratio + (mean - exact) ** 2 / exact_var - 1 - np.log(ratio))
    return float(abs(bound + divergence - evidence))


def without_bound() -> pd.DataFrame:
    """The objectives as printed, of one network whose output biases all move by c."""
    here = training.task("iris")
    theta = replicas.start(here.architecture, 1, np.random.default_rng(0))
    rows = []
    for c in (0, 10, 100, 1000):
        moved = theta.copy()
        moved[:, -3:] += c
        x = here.scaled(np.arange(len(here.y)))[None]
        log_p = replicas.log_probabilities(here.architecture, moved, x, np.arange(len(here.y)))[0]
        fit = float(log_p[np.arange(len(here.y)), here.y].sum())
        rows.append(
            {
                "Biases moved by": c,
                "Log-likelihood": f"{fit:.1f}",
                "(6), to be maximised": f"{fit + 0.01 * np.abs(moved).sum():.1f}",
                "(7), to be minimised": f"{-fit / len(here.y) - 0.5 * (moved**2).sum():.0f}",
                "put right": f"{-fit + 0.5 * (moved**2).sum():.0f}",
            }
        )
    return pd.DataFrame(rows)


def priors() -> None:
    """Contours of a Gaussian likelihood in two weights, alone and times three priors."""
    theta = np.linspace(-1.2, 2.2, 301)
    one, two = np.meshgrid(theta, theta)
    matrix = np.linalg.inv([[0.5, 0.25], [0.25, 0.3]])
    d = np.stack([one - 1.0, two - 0.35])
    fit = -0.5 * np.einsum("iab,ij,jab->ab", d, matrix, d)
    spike = np.log(0.7 * norm.pdf(theta, 0, 0.06) + 0.3 * norm.pdf(theta, 0, 1))
    each = {
        "no prior": 0 * theta,
        "Laplace (L1)": laplace.logpdf(theta, 0, 0.7),
        "Student-t (ARD)": t.logpdf(theta, 0.5, 0, 0.05),
        "spike and slab": spike,
    }
    _, axes = plt.subplots(2, 2, figsize=(plots.WIDTH, plots.WIDTH), sharex=True, sharey=True)
    for ax, (name, prior) in zip(axes.flat, each.items(), strict=True):
        log_p = fit + prior[None, :] + prior[:, None]
        levels = log_p.max() + np.array([-6, -4, -2.5, -1.2, -0.4])
        ax.contour(one, two, fit, levels=[-2.5, -0.4], colors="0.6", linestyles="--", linewidths=1)
        ax.contour(one, two, log_p, levels=levels, colors=[COLOURS["vadam"]], linestyles="-")
        ax.plot(
            *(theta[k] for k in np.unravel_index(log_p.argmax(), log_p.shape)[::-1]), "k.", ms=9
        )
        ax.axhline(0, color="0.8", lw=0.8)
        ax.axvline(0, color="0.8", lw=0.8)
        ax.set_title(name, fontsize="medium")
        ax.grid(False)
    for ax in axes[1]:
        ax.set_xlabel("weight 1")
    for ax in axes[:, 0]:
        ax.set_ylabel("weight 2")
