"""The turbo loop's worked examples: the balance, PBP's gradient, counts, and module B's answers."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from emtdamp.messages import activations, damp, likelihoods, prior
from emtdamp.messages.gaussian import Gaussian
from emtdamp.study import pages
from emtdamp.training import recipes

F64 = tf.float64
NETWORK = damp.Network(activations.relu, likelihoods.ProbitProduct())


def _batch(rng: np.random.Generator, rows: int, inputs: int) -> damp.Batch:
    """Random inputs with the bias's ones, and random labels of three classes."""
    x = np.pad(rng.normal(size=(rows, inputs)), [(0, 0), (0, 1)], constant_values=1.0)
    y = tf.constant(rng.integers(0, 3, size=rows))
    return damp.Batch(tf.constant(x), y, tf.ones(rows, F64))


def at_rest() -> pd.DataFrame:
    """Largest change of a mean in one minibatch, for priors with which the balance holds."""
    rng = np.random.default_rng(0)
    batch, v, s = _batch(rng, 30, 2), tf.constant(0.5, F64), 1e-4
    means = [tf.constant(rng.normal(size=shape)) for shape in [(3, 4), (5, 3)]]
    sent = damp.message_pass(NETWORK, [(m, s * tf.ones_like(m)) for m in means], batch, v)
    keep, n = 0.9, 3.0
    effective, window, decoupled = keep / (1 - keep), [], []
    for m, (push, precision) in zip(means, sent.messages, strict=True):
        sharp = 1 / s - effective * precision
        back, zero = Gaussian(sharp, sharp * m - effective * push), tf.zeros_like(m)
        after = m + push / (precision / (1 - keep) + sharp)  # the window form's, after a minibatch
        window.append(damp.Layer(after, precision / (1 - keep), zero, back))
        decoupled.append(damp.Layer(m, n * precision, zero, back))
    start = damp.State(tuple(window), v, tf.constant(1 / (1 - keep), F64))
    one, _ = damp.step_window(NETWORK, start, batch, damp.Rates(keep))
    start = damp.State(tuple(decoupled), v, tf.constant(n, F64))
    rates = damp.Rates(1 - 1 / n, gain=0.4, effective_minibatches=effective, momentum=0.8, clip=0.2)
    two, _ = damp.step_decoupled(NETWORK, start, batch, rates)
    change = [
        [_apart(new.mean, old.mean) for new, old in zip(after.layers, before, strict=True)]
        for after, before in [(one, window), (two, decoupled)]
    ]
    assert np.max(change) < 1e-12
    names = pd.Index(["window form", "decoupled form"])
    table = pd.DataFrame(change, index=names, columns=pd.Index(["layer 1", "layer 2"]))
    return table.map("{:.1g}".format)


def _apart(a: tf.Tensor, b: tf.Tensor) -> float:
    return float(tf.reduce_max(tf.abs(a - b)))


def cosines() -> pd.DataFrame:
    """Cosine of the messages' push with the derivative of log Z by the means, layer by layer."""
    rng = np.random.default_rng(2)
    batch, one = _batch(rng, 100, 10), tf.constant(1.0, F64)
    shapes = [(11, 20), (21, 3)]
    means = [tf.constant(rng.normal(0, (2 / n) ** 0.5, size=(n, j))) for n, j in shapes]
    rows = {}
    for share in [1e-6, 0.1, 0.3]:
        weights = [(m, tf.fill(m.shape, tf.constant(2 * share / len(m), F64))) for m in means]
        with tf.GradientTape() as tape:
            tape.watch(means)
            z = damp.propagate(NETWORK, weights, batch.x)
            log_z = NETWORK.likelihood(*z, batch.y, one).log_partition
        slopes = tape.gradient(log_z, means)
        pushes = [
            message.gradient for message in damp.message_pass(NETWORK, weights, batch, one).messages
        ]
        rows[f"share {share:g}"] = [
            float(tf.reduce_sum(a * b) / tf.norm(a) / tf.norm(b))
            for a, b in zip(slopes, pushes, strict=True)
        ]
    assert min(map(min, rows.values())) > 0.98
    return pd.DataFrame(rows, index=pd.Index(["layer 1", "layer 2"])).map("{:.4f}".format)


def count_table() -> pd.DataFrame:
    """How often the estimators count a row, for 784-128-10 by neurons left and rows."""
    rows, neurons = (1_000, 10_000, 60_000), (128, 64, 32, 13)
    counts = [[recipes.row_counts((717, k), 10, n) for n in rows] for k in neurons]
    for k, found in zip(neurons, counts, strict=True):  # the rule as the page gives it
        parameters = sum((above + 1) * below for above, below in pairwise((717, k, 10)))
        rule = np.clip(3 * (parameters / np.array(rows)) ** (2 / 3), 1, 15)
        np.testing.assert_allclose(found, rule)
    names = pd.Index([f"{k} neurons" for k in neurons])
    table = pd.DataFrame(counts, index=names, columns=pd.Index([f"{n:,} rows" for n in rows]))
    return table.map("{:.1f}".format)


def count_study() -> pd.DataFrame:
    """Held-out NLL of the study by how often a row counts, and by images and neurons left."""
    rows: Any = pages.study("mnist-choices")  # what pandas takes from it has too many types
    study = rows.groupby("setting").mean(numeric_only=True)
    words = ["each row counted once", "half the counts", "defaults", "twice the counts"]
    cases = {"10,000; 32": "nll_10000_32", "10,000; 13": "nll_10000_13"}
    cases |= {"50,000; 128": "nll_50000_128", "50,000; 13": "nll_50000_13"}
    table = study.loc[words, list(cases.values())].set_axis([*cases], axis=1).rename_axis(None)
    return table.map("{:.3f}".format)


def five_groups() -> pd.DataFrame:
    """What module B makes of five groups of two weights; of each group's first weight."""
    precision = tf.constant([[4.0, 4.0]] * 4 + [[0.0, 0.0]] + [[4.0, 4.0]], F64)
    shift = [[8.0, -6], [4, 1], [2, 1], [0.5, 0], [0, 0], [1, 1]]  # the last row is the bias
    h = tf.constant(shift, F64)
    module = prior.GroupPrior(("free",))
    state = module.init(slab=[1.0], groups=[5], rho=0.5)
    _, (answer,), info = module.step(state, [Gaussian(precision, h)], keep=[5])
    mean, var = prior.moments(precision, h, state.slab[0], info.weight_log_odds[0])
    exact = (1 / var - precision).numpy()  # P before the clip
    assert exact[1, 0] < 0 and float(answer.precision[1, 0]) == 1e-3
    llr, on = prior.weight_llr(precision, h, state.slab[0]), tf.sigmoid(info.log_odds[0])
    columns = {"h": h, "LLR": llr, "mean": mean, "exact P": exact, "P": answer.precision}
    table = pd.DataFrame(
        {name: np.asarray(values)[:5, 0] for name, values in columns.items()},
        index=pd.Index(["strong", "torn", "open", "weak", "none"]),
    )
    table.insert(2, "π", on.numpy())
    return table.map("{:.2g}".format)
