"""EM-TDAMP explained: the chain rule as a limit, one neuron by hand, three small experiments."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.axes import Axes
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm

from emtdamp.messages import activations, damp
from emtdamp.messages.damp import Batch
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import plots
from emtdamp.study.chapters.small_cases import NETWORK, batch_of, f64

BELOW, ABOVE = plots.SERIES[0], plots.SERIES[2]  # colours of what goes up and of what comes down
MINUS = "\N{MINUS SIGN}"
NOISE = 0.5  # v of the hand-worked neuron
INPUTS, TARGET = (1.0, 2.0), 2.5
MEANS, VARIANCE = (0.5, -0.1, 2.0), 0.1  # two weights into the unit and one out of it


# The chain rule as a limit


def small_problem(rows: int = 20, seed: int = 0) -> tuple[Batch, list[tf.Tensor]]:
    """Twenty samples of three inputs and a bias, and the weights of two layers, five units."""
    rng = np.random.default_rng(seed)
    x = np.pad(rng.normal(size=(rows, 3)), [(0, 0), (0, 1)], constant_values=1.0)
    means = [f64(rng.normal(size=shape)) for shape in [(4, 5), (6, 1)]]
    return batch_of(x, rng.normal(size=(rows, 1))), means


def backpropagation(weights: list[tf.Tensor], batch: Batch, noise: tf.Tensor) -> list[tf.Tensor]:
    """TensorFlow's derivative of the log-likelihood of an ordinary ReLU network, by its weights."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        z = batch.x @ weights[0]
        for w in weights[1:]:
            z = tf.pad(tf.nn.relu(z), [[0, 0], [0, 1]], constant_values=1.0) @ w
        log_likelihood = -tf.reduce_sum(tf.square(batch.y - z)) / (2 * noise)
    return tape.gradient(log_likelihood, weights)


def relative(a: tf.Tensor, b: tf.Tensor) -> float:
    """Distance of a from b in units of b's length."""
    return float(tf.norm(a - b) / tf.norm(b))


def limit_table(distances: dict[float, list[float]]) -> pd.DataFrame:
    """A row a variance: how far the messages' slopes are from backpropagation's, layer by layer."""
    table = pd.DataFrame(distances, index=pd.Index(["first layer", "second layer"])).T
    table.index = pd.Index([f"s = {s:g}" for s in table.index])
    return table.map("{:.4%}".format)


# One neuron


class Neuron(NamedTuple):
    """What goes through one unit: (mean, variance) of the sum, the unit and the output, the three
    (slope, curvature) that come back, the message (A, B) to the unit, and the weights' messages."""

    up: list[tuple[float, float]]
    down: list[tuple[float, float]]
    to_unit: tuple[float, float]
    to_weights: list[tuple[float, float]]  # (U, G) of the three weights


def neuron() -> Neuron:
    """Two inputs, one ReLU unit, one output, one sample; by the package, biases certain and 0."""
    s = VARIANCE
    weights = [
        (f64([[MEANS[0]], [MEANS[1]], [0.0]]), f64([[s], [s], [0.0]])),
        (f64([[MEANS[2]], [0.0]]), f64([[s], [0.0]])),
    ]
    batch = batch_of(np.array([[*INPUTS, 1.0]]), np.array([[TARGET]]))
    sent = damp.message_pass(NETWORK, weights, batch, f64(NOISE))
    w, v = (part[0, 0] for part in damp.propagate(NETWORK, weights[:1], batch.x))
    unit, above = activations.relu(w, v, None), sent.memory.above[0]
    end = damp.propagate(NETWORK, weights, batch.x)
    told = activations.relu(w, v, Gaussian(above.precision[0, 0], above.shift[0, 0]))
    first, second = sent.messages
    pairs = [(first, 0), (first, 1), (second, 0)]
    return Neuron(
        [_pair(w, v), _pair(unit.mean, unit.var), _pair(*end)],
        [_pair(told.gradient, told.curvature), _pair(sent.output.gradient, sent.output.curvature)],
        _pair(above.precision, above.shift),
        [_pair(m.gradient[i], m.precision[i]) for m, i in pairs],
    )


def _pair(a: tf.Tensor, b: tf.Tensor) -> tuple[float, float]:
    return float(tf.squeeze(a)), float(tf.squeeze(b))


def by_hand(found: Neuron) -> pd.DataFrame:
    """Each step with its numbers put in; what comes out is compared with the package's."""
    (w, v), (x, d), (out, out_var) = found.up
    a, b = found.to_unit
    (low, low_curve), (g, curve) = found.down
    (x1, x2), (m1, m2, m), s = INPUTS, MEANS, VARIANCE
    t = w / v**0.5
    q, hazard = ndtr(t), np.exp(norm.logpdf(t) - log_ndtr(t))
    e = w + v**0.5 * hazard
    _agree(found.up[0], (x1 * m1 + x2 * m2, (x1**2 + x2**2) * s))
    _agree(found.up[1], (q * e, q * v * (1 - hazard * (t + hazard)) + q * (1 - q) * e**2))
    _agree(found.up[2], (x * m, x**2 * s + d * (m**2 + s)))
    _agree(found.down[1], ((TARGET - out) / (out_var + NOISE), 1 / (out_var + NOISE)))
    _agree(found.to_unit, (m**2 * curve + s * (curve - g**2), m * g + x * m**2 * curve))
    for (push, precision), size in zip(found.to_weights, INPUTS, strict=False):
        _agree((push, precision), (size * low, size**2 * low_curve))
    c = 1 + a * v
    told, t2 = (w + b * v) / c, (w + b * v) / (c * v) ** 0.5
    odds = (t2**2 - t**2 - np.log(c)) / 2 + log_ndtr(t2) - log_ndtr(-t)
    on = 1 / (1 + np.exp(-odds))
    mean = on * (told + (v / c) ** 0.5 * np.exp(norm.logpdf(t2) - log_ndtr(t2)))
    _agree((low, 0.0), (on * b - a * mean, 0.0))
    rows = [
        ("sum, mean", f"{x1:g} · {m1:g} + {x2:g} · ({_signed(m2)})", w),
        ("sum, variance", f"{x1:g}² · {s:g} + {x2:g}² · {s:g}", v),
        ("unit, probability on", f"Φ({w:.3f} / √{v:.3f})", q),
        ("unit, mean", f"{q:.3f} · {e:.3f}", x),
        ("output, mean", f"{x:.3f} · {m:g}", out),
        ("output, variance", f"{x:.3f}² · {s:g} + {d:.3f} · ({m:g}² + {s:g})", out_var),
        ("label, slope g", f"({TARGET:g} {MINUS} {out:.3f}) / ({out_var:.3f} + {NOISE:g})", g),
        ("label, curvature Γ", f"1 / ({out_var:.3f} + {NOISE:g})", curve),
        ("to the unit, A", f"{m:g}² · {curve:.3f} + {s:g} · ({curve:.3f} {MINUS} {g:.3f}²)", a),
        ("to the unit, B", f"{m:g} · {g:.3f} + {x:.3f} · {m:g}² · {curve:.3f}", b),
        ("below the unit, slope g", f"{on:.3f} · {b:.3f} {MINUS} {a:.3f} · {mean:.3f}", low),
        ("to weight 2, push U", f"{x2:g} · {low:.3f}", found.to_weights[1][0]),
    ]
    table = pd.DataFrame(rows, columns=pd.Index(["step", "by hand", "result"]))
    return (
        table.set_index("step")
        .rename_axis(None)
        .map(lambda a: a if isinstance(a, str) else f"{a:.3f}")
    )


def _agree(package: tuple[float, float], hand: tuple[float, float]) -> None:
    np.testing.assert_allclose(package, hand, atol=1e-6)


def draw_neuron(found: Neuron) -> None:
    """The unit from below to above: what goes up on the left, what comes down on the right."""
    _, ax = plt.subplots(figsize=(plots.WIDTH, 7.2))
    ax.set(xlim=(0, 10), ylim=(-0.3, 11.2))
    ax.axis("off")
    (w, v), (x, d), (out, out_var) = found.up
    (low, low_curve), (g, curve) = found.down
    a, b = found.to_unit
    places = {"sum": 3.9, "ReLU": 6.2, "output": 8.5}
    for name, y in places.items():
        _node(ax, 5.0, y, name)
    _node(ax, 5.0, 10.7, f"label y = {TARGET:g}")
    for at, number in ((2.6, 0), (7.4, 1)):
        m, (push, precision) = MEANS[number], found.to_weights[number]
        _node(ax, at, 0.3, f"input {INPUTS[number]:g}")
        _arrow(ax, (at, 0.75), (5.0 + 0.15 * (at - 5.0), 3.45), "0.6")
        label = f"weight {number + 1}: mean {_signed(m)}\nvariance {VARIANCE:g}"
        side = "right" if at < 5 else "left"
        away = at - 0.1 if at < 5 else at + 0.1
        ax.text(away, 2.75, label, ha=side, va="center", fontsize="small", color=BELOW)
        label = f"U = {push:.2f}, G = {precision:.2f}"
        ax.text(away, 1.75, label, ha=side, va="center", fontsize="small", color=ABOVE)
    gaps = [(3.9, 6.2), (6.2, 8.5), (8.5, 10.7)]
    ups = [("sum", w, v), ("unit", x, d), ("output", out, out_var)]
    downs = [
        f"slope g = {low:.2f}\ncurvature Γ = {low_curve:.2f}",
        f"precision A = {a:.2f}\nshift B = {b:.2f}",
        f"slope g = {g:.2f}\ncurvature Γ = {curve:.2f}",
    ]
    for (start, end), (name, mean, var), down in zip(gaps, ups, downs, strict=True):
        middle = (start + end) / 2
        _arrow(ax, (4.7, start + 0.45), (4.7, end - 0.45), BELOW)
        _arrow(ax, (5.3, end - 0.45), (5.3, start + 0.45), ABOVE)
        up = f"{name}: mean {mean:.2f}\nvariance {var:.2f}"
        ax.text(4.4, middle, up, ha="right", va="center", fontsize="small", color=BELOW)
        ax.text(5.6, middle, down, ha="left", va="center", fontsize="small", color=ABOVE)
    m, (push, precision) = MEANS[2], found.to_weights[2]
    ax.text(0.0, 10.7, "up: beliefs", va="center", fontsize="small", color=BELOW, weight="bold")
    ax.text(
        10, 10.7, "down: corrections", va="center", ha="right", fontsize="small", color=ABOVE,
        weight="bold",
    )  # fmt: skip
    label = f"weight 3\nmean {m:g}\nvariance {VARIANCE:g}"
    ax.text(0.0, 7.35, label, va="center", fontsize="small", color=BELOW)
    label = f"U = {push:.2f}\nG = {precision:.2f}"
    ax.text(10.0, 7.35, label, ha="right", va="center", fontsize="small", color=ABOVE)
    plt.show()


def _signed(number: float) -> str:
    return f"{number:g}".replace("-", MINUS)


def _node(ax: Axes, x: float, y: float, text: str) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "0.95", "edgecolor": "0.4"}
    ax.text(x, y, text, ha="center", va="center", fontsize="small", bbox=box)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: object) -> None:
    how = {"arrowstyle": "-|>", "color": colour, "lw": 1.6, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=how)


def updated(found: Neuron) -> pd.DataFrame:
    """The weights before and after the sample: precisions add, and the push moves the mean."""
    rows = {}
    for number, (mean, (push, precision)) in enumerate(zip(MEANS, found.to_weights, strict=True)):
        var = 1 / (1 / VARIANCE + precision)
        rows[f"weight {number + 1}"] = (mean, VARIANCE, mean + var * push, var)
    names = ["mean before", "variance before", "mean after", "variance after"]
    return pd.DataFrame(rows, index=pd.Index(names)).T


def update_table(found: Neuron) -> pd.DataFrame:
    """`updated` as text."""
    return updated(found).map(lambda a: f"{a:.3f}".replace("-", MINUS))


def draw_update(found: Neuron) -> None:
    """The three weights' Gaussians before the sample, grey, and after it."""
    table = updated(found)
    axes = plots.panels(3, 1.45)
    for ax, (name, row) in zip(axes, table.iterrows(), strict=True):
        centre = row["mean before"]
        grid = np.linspace(centre - 1.1, centre + 1.1, 300)
        ax.fill_between(grid, density(grid, *row.iloc[:2]), color="0.6", alpha=0.4, lw=0)
        ax.plot(grid, density(grid, *row.iloc[2:]), color=BELOW, lw=2)
        ax.set(yticks=[], xlim=(grid[0], grid[-1]), ylim=(0, None))
        ax.set_ylabel(str(name), fontsize="small")
    axes[0].text(0.03, 0.8, "filled: before", transform=axes[0].transAxes, fontsize="small")
    axes[0].text(0.03, 0.55, "line: after", transform=axes[0].transAxes, fontsize="small",
                 color=BELOW)  # fmt: skip
    plt.show()


def density(grid: np.ndarray, mean: float, var: float) -> np.ndarray:
    """Of a normal distribution on a grid."""
    return norm.pdf(grid, mean, var**0.5)


# Three experiments
