"""How far the posterior can be trusted: comparisons with what is exact, sampled, or known."""

import functools
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import expit, logit

from emtdamp.messages import damp, likelihoods, prior
from emtdamp.messages.damp import Batch, Rates, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import pages, plots
from emtdamp.study.chapters.proofs_sampled import Sampled
from emtdamp.study.chapters.small_cases import NETWORK, batch_of, f64

BROWN, BLACK = plots.SERIES[0], plots.SERIES[2]
OURS, WINDOW_FORM = plots.COLOURS["em-tdamp"], plots.COLOURS["em-tdamp, window"]


def regression(
    correlation: float, rows: int = 200, inputs: int = 50, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, and exact means (N, 1) and variances (N,) of the weights, prior N(0, 1); any two
    inputs have this correlation."""
    rng = np.random.default_rng(0)
    own, shared = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, 1))
    x = own * np.sqrt(1 - correlation) + shared * np.sqrt(correlation)
    y = x @ rng.normal(size=(inputs, 1)) + noise**0.5 * rng.normal(size=(rows, 1))
    cov = np.linalg.inv(x.T @ x / noise + np.eye(inputs))
    return x, y, cov @ x.T @ y / noise, np.diag(cov)


# One linear layer


class Passes(NamedTuple):
    """A run of passes: after how many, the largest error of a mean, and the last variances in
    units of the exact ones."""

    label: str
    lengths: np.ndarray
    errors: np.ndarray
    variances: np.ndarray


def settling(most: int) -> list[Passes]:
    """Independent inputs damped by 0.2; correlated ones damped by 0, 0.5 and 0.97."""
    lengths, runs = np.unique(np.geomspace(1, most, 16).astype(int)), []
    for correlation, damping in [(0.0, 0.2), (0.3, 0.0), (0.3, 0.5), (0.3, 0.97)]:
        x, y, exact, var = regression(correlation)
        here = lengths if damping > 0.9 else lengths[lengths <= 80]
        ends = [_after(x, y, int(t), damping) for t in here]
        errors = np.nan_to_num([np.abs(m - exact).max() for m, _ in ends], nan=1e12)
        inputs = "correlated" if correlation else "independent"
        runs.append(Passes(f"{inputs}, $d$ = {damping}", here, errors, ends[-1][1] / var))
    return runs


def _after(x: np.ndarray, y: np.ndarray, total: int, damping: float) -> tuple[Any, Any]:
    state = damp.init([np.zeros((x.shape[1], 1))], [0.0], [1.0], 0.5)
    given = state, batch_of(x, y), f64(damping)
    layer = _passes(total).get_concrete_function(*given)(*given).layers[0]
    return layer.mean.numpy(), 1 / (layer.precision.numpy()[:, 0] + 1)


@functools.cache  # a graph a length; eagerly a pass takes ten times as long
def _passes(total: int) -> Any:
    def run(state: State, batch: Batch, damping: tf.Tensor) -> State:
        return damp.step_window(NETWORK, state, batch, Rates(1.0), total, damping)[0]

    return tf.function(run, autograph=False)


def draw_settling(runs: list[Passes]) -> None:
    """Largest error of a mean against passes."""
    _, ax = plt.subplots()
    for run, colour in zip(runs, (BROWN, "0.45", "0.7", BLACK), strict=True):
        shown = np.clip(run.errors, 1e-13, 1e6)
        ax.plot(run.lengths, shown, color=colour, marker="o", ms=4, label=run.label)
    ax.set(xscale="log", yscale="log", ylim=(1e-13, 1e7), xlabel="passes")
    ax.set_ylabel("largest error of a mean")
    ax.legend(fontsize="small")
    plt.show()


# Two forms


class Forms(NamedTuple):
    """By form: largest distance of a mean to the ridge regression after each minibatch; and how
    far apart the means of two forms are at the end."""

    distances: dict[str, np.ndarray]
    apart: float


def forms(steps: int) -> Forms:
    """The same 60 rows of 8 inputs as one minibatch, again and again, counted 4 times."""
    x, y, *_ = regression(0.0, 60, 8)
    window, paths, state = 5.0, {}, None
    keep, batch = 1 - 1 / window, batch_of(x, y)
    names = {"window form": None, "decoupled, gain 1": (1.0, 0.0)}
    names |= {"decoupled, gain 0.3": (0.3, 0.0), "gain 0.3, momentum 0.8": (0.3, 0.8)}
    for name, how in names.items():
        state, path = damp.init([np.zeros((8, 1))], [0.0], [1.0], 0.5), []
        for _ in range(steps):
            if how is None:
                state = _window_step(state, batch, f64(keep))
                layer = state.layers[0]  # the mean before a minibatch is that of the balance
                total = keep * layer.precision + 1
                mean = keep * (layer.precision + 1) * layer.mean / total
            else:
                state = _decoupled_step(state, batch, f64(window - 1), *map(f64, how))
                mean = state.layers[0].mean
            path.append(mean.numpy()[:, 0])
        paths[name] = np.array(path)
    assert isinstance(state, State)
    s = 1 / (state.layers[0].precision.numpy()[:, 0] * (window - 1) / float(state.count) + 1)
    inflated = x / (0.5 + x**2 @ s)[:, None]
    hessian = (window - 1) * x.T @ inflated + np.eye(8)
    ridge = np.linalg.solve(hessian, (window - 1) * inflated.T @ y)[:, 0]
    distances = {name: np.abs(path - ridge).max(1) for name, path in paths.items()}
    ends = [path[-1] for path in paths.values()]
    return Forms(distances, max(float(np.abs(end - ends[0]).max()) for end in ends))


@tf.function(autograph=False)
def _window_step(state: State, batch: Batch, keep: tf.Tensor) -> State:
    return damp.step_window(NETWORK, state, batch, Rates(keep))[0]


@tf.function(autograph=False)
def _decoupled_step(
    state: State, batch: Batch, effective: tf.Tensor, gain: tf.Tensor, momentum: tf.Tensor
) -> State:
    how = Rates(1 - 1 / 3, gain=gain, effective_minibatches=effective, momentum=momentum)
    return damp.step_decoupled(NETWORK, state, batch, how)[0]


def draw_forms(found: Forms) -> None:
    """Distance to the ridge regression against minibatches."""
    _, ax = plt.subplots()
    looks = [(WINDOW_FORM, "-"), (OURS, "-"), (OURS, "--"), (OURS, ":")]
    for (name, path), (colour, dashes) in zip(found.distances.items(), looks, strict=True):
        ax.plot(range(1, len(path) + 1), path, color=colour, ls=dashes, label=name)
    ax.set(xscale="log", yscale="log", xlabel="minibatches")
    ax.set_ylabel("distance to ridge regression")
    ax.legend(fontsize="small")
    plt.show()


# The noise


class Noise(NamedTuple):
    """v by EM iteration for each update, the exact log evidence there, and where it is highest."""

    values: dict[str, list[float]]
    evidence: dict[str, list[float]]
    best: float
    highest: float


def noise() -> Noise:
    """v of a linear model of 60 rows and 12 correlated inputs, from 4, by three updates."""
    x, y, *_ = regression(0.5, 60, 12, noise=0.64)
    top = likelihoods.GaussianNoise()

    def evidence(v: float) -> float:
        cov = v * np.eye(60) + x @ x.T
        distance = float((y.T @ np.linalg.solve(cov, y))[0, 0])
        return -0.5 * (distance + np.linalg.slogdet(cov)[1] + 60 * np.log(2 * np.pi))

    def without_own_word(v: float) -> tuple[tf.Tensor, tf.Tensor]:
        cov = np.linalg.inv(x.T @ x / v + np.eye(12))
        var = np.einsum("bi,ij,bj->b", x, cov, x)[:, None]
        left = 1 / (1 / var - 1 / v)
        return tf.constant(left * (x @ cov @ x.T @ y / v / var - y / v)), tf.constant(left)

    def closed(v: float) -> float:
        return float(tf.reduce_mean(top(*without_own_word(v), tf.constant(y), f64(v)).noise))

    def numerical(v: float) -> float:
        return float(likelihoods.maximise_noise(top, *without_own_word(v), tf.constant(y)))

    updates = {"closed form": closed, "numerical": numerical, "fixed": lambda v: v}
    values = {name: [4.0] for name in updates}
    for name, update in updates.items():
        for _ in range(10):
            values[name].append(update(values[name][-1]))
    many = np.geomspace(0.05, 8, 400)
    heights = [evidence(v) for v in many]
    found = {name: [evidence(v) for v in path] for name, path in values.items()}
    return Noise(values, found, float(many[np.argmax(heights)]), max(heights))


def draw_noise(found: Noise) -> None:
    """v by EM iteration, and below it the evidence."""
    top, bottom = plots.panels(2, 2.9, sharex=True)
    for (name, path), colour in zip(found.values.items(), (BROWN, BLACK, "0.5"), strict=True):
        top.plot(path, color=colour, marker="o", ms=4, label=name)
        bottom.plot(found.evidence[name], color=colour, marker="o", ms=4)
    colour = plots.COLOURS["reported"]
    top.axhline(found.best, color=colour, ls="--", label="highest evidence")
    top.set(ylim=(-0.1, 4.4), ylabel="noise variance $v$")
    bottom.set(xlabel="EM iteration", ylabel="log evidence")
    bottom.set_ylim(found.evidence["fixed"][0] - 4, found.highest + 4)
    top.legend(fontsize="small")
    plt.show()


# Rates of groups


class Rates8(NamedTuple):
    """Rate of eight groups by EM iteration, each its own and all the same; and their LLRs."""

    own: np.ndarray
    shared: np.ndarray
    llr: np.ndarray

    @property
    def decided(self) -> int:
        """Groups whose own rate went where the sign of their LLR says."""
        return int(np.sum((self.own[-1] > 0.5) == (self.llr > 0)))


def rates(iterations: int = 80) -> Rates8:
    """Eight groups of three weights, messages of different strength."""
    rng = np.random.default_rng(1)
    precision = rng.gamma(2.0, 1.0, (9, 3))
    shift = 1.3 * rng.normal(size=(9, 3)) * np.sqrt(precision)
    sent, tracks, llr = Gaussian(tf.constant(precision), tf.constant(shift)), [], np.zeros(8)
    for rule in ("per-group", "free"):
        module = prior.GroupPrior((rule,), learn_slab=False)
        state, track = module.init([0.6], [8], rho=0.3), []
        for _ in range(iterations):
            track.append(np.broadcast_to(expit(state.logit_rho[0]), 8))
            state, _, info = module.step(state, [sent], [8])
            llr = info.llr[0].numpy()
        tracks.append(np.array(track))
    growth = np.diff(logit(tracks[0][:2]), axis=0)[0]
    np.testing.assert_allclose(growth, llr, rtol=1e-9)
    return Rates8(tracks[0], tracks[1][:, 0], llr)


def draw_rates(found: Rates8) -> None:
    """Each group's own rate, and the one for all."""
    _, ax = plt.subplots()
    for path, llr in zip(found.own.T, found.llr, strict=True):
        ax.plot(path, color=BROWN if llr > 0 else BLACK, lw=1.2)
    ax.plot(found.shared, color="0.2", ls="--", label="one rate for all")
    ax.plot([], color=BROWN, label="own rate, LLR above 0")
    ax.plot([], color=BLACK, label="own rate, LLR below 0")
    ax.set(xlabel="EM iteration", ylabel=r"rate $\rho$")
    ax.legend(fontsize="small", loc="center right")
    plt.show()


# A network, against samples


# Teachers


def teachers() -> Any:
    """The study of random teachers, a row a size."""
    return pages.study("calibration")


def teacher_table(study: Any) -> pd.DataFrame:
    """Predicted variance over squared error, by samples and neurons."""
    pairs = zip(study["ratio_matched"], study["ratio_matched_se"], strict=True)
    return pd.DataFrame(
        {
            "Samples": study["rows"],
            "Neurons": study["hidden"],
            "Window, as seen": study["window_1"].map("{:.3f}".format),
            "once": study["window_1_once"].map("{:.2f}".format),
            "once, T = 3": study["window_3_once"].map("{:.2f}".format),
            "Decoupled, once": study["ratio_1"].map("{:.2f}".format),
            "Matched c": study["matched"].map("{:.1f}".format),
            "Ratio there": [f"{r:.2f} ± {e:.2f}" for r, e in pairs],
        }
    )


def draw_teachers(study: Any) -> None:
    """The ratio against the count of each row, and where the degrees of freedom match."""
    counts = np.array([1, 2, 4, 8])
    _, ax = plt.subplots(figsize=(plots.WIDTH, 4.6))
    ax.axhspan(0.85, 1.15, color="0.9")
    for hidden, colour in zip((5, 20, 80), (BROWN, BLACK, "0.6"), strict=True):
        these = study[study["hidden"] == hidden]
        for marker, (_, row) in zip("o^s", these.iterrows(), strict=True):
            ax.plot(counts, [row[f"ratio_{c}"] for c in counts], color=colour, lw=1)
            ax.plot(row["matched"], row["ratio_matched"], marker, color=colour, ms=7)
        ax.plot([], color=colour, label=f"{hidden} neurons")
    for marker, rows in zip("o^s", (100, 300, 1000), strict=True):
        ax.plot([], marker, color="0.4", label=f"matched, {rows} samples")
    ax.set(xscale="log", yscale="log", xlabel="counts of each row, $c$")
    ax.set(ylabel="variance / squared error", xticks=counts, xticklabels=counts)
    ax.set_yticks([0.2, 0.5, 1, 2, 4], ["0.2", "0.5", "1", "2", "4"])
    ax.minorticks_off()
    ax.legend(fontsize="small", ncols=2, loc="lower left")
    plt.show()


# All of it


def glued(
    runs: list[Passes], two: Forms, v: Noise, rho: Rates8, net: Sampled, study: Any
) -> dict[str, str | int]:
    """Every number in the text of the page."""
    random, cured = runs[0], runs[-1]
    ratios, matched = net.ratios, study["ratio_matched"]
    closed = v.evidence["closed form"]
    return {
        "random_error": f"{random.errors[-1]:.0e}",
        "random_mean": f"{random.variances.mean():.2f}",
        "random_low": f"{random.variances.min():.2f}",
        "random_high": f"{random.variances.max():.2f}",
        "cured_error": f"{cured.errors[-1]:.0e}",
        "cured_mean": f"{cured.variances.mean():.2f}",
        "forms_apart": f"{two.apart:.0e}",
        "noise_best": f"{v.best:.2f}",
        "noise_gap": f"{abs(v.values['closed form'][-1] / v.values['numerical'][-1] - 1):.0e}",
        "noise_fixed": f"{closed[-1] - v.evidence['fixed'][0]:.0f}",
        "noise_least": f"{np.diff(closed).min():.0e}",
        "noise_dip": f"{min(v.values['numerical']):.0e}",
        "decided": rho.decided,
        "shared_rate": f"{rho.shared[-1]:.2f}",
        "counts": f"{net.counts:.1f}",
        "freedom": f"{net.freedom:.1f}",
        "nuts_freedom": f"{net.true_freedom:.1f}",
        "nuts_close": f"{np.mean(net.off < 0.25):.0%}",
        "nuts_worst": f"{net.off.max():.2f}",
        "gap": f"{ratios['noiseless, product of weights'].min():.2f}",
        "gap_linear": f"{ratios['noiseless, linear response'].min():.2f}",
        "study_teachers": int(study["teachers"].iloc[0]),
        "seen_low": f"{study['window_1'].min():.3f}",
        "seen_high": f"{study['window_1'].max():.2f}",
        "window_low": f"{study['window_1_once'].min():.2f}",
        "window_high": f"{study['window_1_once'].max():.1f}",
        "once_low": f"{study['ratio_1'].min():.1f}",
        "once_high": f"{study['ratio_1'].max():.1f}",
        "matched_low": f"{matched.min():.2f}",
        "matched_high": f"{matched.max():.2f}",
        "matched_mean": f"{matched.mean():.2f}",
        "matched_inside": int(matched.between(0.85, 1.15).sum()),
        "c_low": f"{study['matched'].min():.1f}",
        "c_high": f"{study['matched'].max():.1f}",
    }


def summary(runs: list[Passes], two: Forms, v: Noise, net: Sampled, study: Any) -> pd.DataFrame:
    """What was compared with what, and how far apart they are."""
    random, cured, matched = runs[0], runs[-1], study["ratio_matched"]
    ratios, exact = net.ratios, "linear regression"
    apart = abs(v.values["closed form"][-1] / v.best - 1)

    def between(values: np.ndarray) -> str:
        return f"{values.min():.2f} to {values.max():.2f} times"

    rows = [
        ("Linear layer, means", exact, f"off by {random.errors[-1]:.0e}"),
        ("the same, correlated inputs", exact, f"off by {cured.errors[-1]:.0e}"),
        ("Linear layer, variances", exact, between(random.variances)),
        ("the same, correlated inputs", exact, between(cured.variances)),
        ("Window and decoupled form", "each other", f"apart by {two.apart:.0e}"),
        ("Noise that EM learns", "highest evidence", f"off by {apart:.1%}"),
        ("Network, mean", "samples", f"off by at most {net.off.max():.2f} sd of y"),
        ("Network, sd of y", "samples", between(ratios["predictive, noise included"])),
        ("Network, sd without noise", "samples", between(ratios["noiseless, product of weights"])),
        ("Larger networks, variance", "squared error", between(matched.to_numpy())),
    ]
    return pd.DataFrame(rows, columns=pd.Index(["What", "Compared with", "Result"]))
