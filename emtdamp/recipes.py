"""From an estimator's parameters to a `Recipe`: checks, and the rules behind the defaults."""

from itertools import pairwise
from typing import Any

import numpy as np

from emtdamp import em
from emtdamp.activations import ACTIVATIONS
from emtdamp.errors import UsageError
from emtdamp.training import SMALL, Recipe

INTEGER = (int, np.integer)
REAL = (*INTEGER, float, np.floating)
MIN_MEMORY = 10.0  # minibatches over which the decoupled form averages its precision, at least

MAX_WARMUP = 100.0  # minibatches; a fifth of a short fit
# Where v is learnt it follows the residuals, which large steps make too small.
LEARNT_NOISE_GAIN = 0.7
LEARNT_NOISE_MEMORY = 4.0
# There data are few and passes many: what is left had better learn long than be chosen late.
LEARNT_NOISE_RAMP_END = 0.2
# Below this share of inputs kept the gain falls with it: with 0.6 of the gain a fit to MNIST that
# keeps a tenth of inputs and neurons still diverged, with 0.55 none did; at a half all is well.
FEW_INPUTS = 0.25
# Gain in units of 1/n at the start, at most, where inputs are pruned: short fits need it (one pass
# over 10,000 images, half of the inputs kept: 92.5 % for a fit that diverged).
MAX_INPUT_GAIN = 0.05


def check(params: dict[str, Any]) -> None:
    """Raise UsageError for the first parameter outside its range."""
    for name, low, strict in [
        ("sparsity", 0.0, False),
        ("input_sparsity", 0.0, False),
        ("validation_fraction", 0.0, True),
    ]:
        value = params[name]
        if value == "auto" and name != "validation_fraction":
            continue
        if not isinstance(value, REAL) or not low <= value < 1 or (strict and value == low):
            allowed = "above 0 and below 1" if strict else "at least 0 and below 1, or 'auto'"
            raise UsageError(f"{name}={value!r}; give a number {allowed}")
    for name, low, word in [
        ("em_iters", 1, " or 'auto'"),
        ("batch_size", 1, " or 'auto'"),
        ("inner_iters", 1, ""),
        ("n_iter_no_change", 1, ""),
    ]:
        value = params[name]
        if word and isinstance(value, str) and value == "auto":
            continue
        if not isinstance(value, INTEGER) or isinstance(value, bool) or value < low:
            raise UsageError(f"{name}={value!r}; give an integer of at least {low}{word}")
    for name in ("slab", "noise"):
        value = params[name]
        if isinstance(value, str) and value in ("auto", "learn"):
            continue
        if not isinstance(value, REAL) or not value > 0:
            raise UsageError(
                f"{name}={value!r} is no variance; give a number above 0, 'auto' or 'learn'"
            )
    if not isinstance(params["window"], REAL) or not params["window"] > 0:
        raise UsageError(f"window={params['window']!r}; give a number of passes above 0")
    if params["damping"] != "auto" and not 0 <= params["damping"] < 1:
        raise UsageError(f"damping={params['damping']!r}; give a number in [0, 1) or 'auto'")
    for name, allowed in [("activation", [*ACTIVATIONS]), ("update", ["decoupled", "window"])]:
        if params[name] not in allowed:
            raise UsageError(f"{name}={params[name]!r}; use one of {', '.join(allowed)}")
    if params["update"] == "decoupled" and params["inner_iters"] > 1:
        raise UsageError(
            f"inner_iters={params['inner_iters']} needs update='window'; the decoupled form has "
            "one pass a minibatch"
        )
    hidden(params)


def hidden(params: dict[str, Any]) -> tuple[int, ...]:
    """Neurons of each hidden layer."""
    sizes = params["hidden_layer_sizes"]
    sizes = (sizes,) if isinstance(sizes, INTEGER) else tuple(sizes)
    if not all(isinstance(n, INTEGER) and n >= 1 for n in sizes):
        raise UsageError(
            f"hidden_layer_sizes={params['hidden_layer_sizes']!r}; give integers of at least 1, "
            "or () for a linear model"
        )
    return tuple(int(n) for n in sizes)


def batch_size(params: dict[str, Any], rows: int) -> int:
    """Rows of a minibatch: all up to 100 rows, 50 below 5,000, then 100."""
    if params["batch_size"] != "auto":
        return int(params["batch_size"])
    return 50 if 100 < rows < 5000 else 100


def iterations(params: dict[str, Any], rows: int, batch: int) -> int:
    """EM iterations: 100,000 rows seen, within 10 to 300, but 100 minibatches at least."""
    if params["em_iters"] != "auto":
        return int(params["em_iters"])
    steps = -(-rows // batch)
    return int(max(np.clip(-(-100_000 // rows), 10, 300), -(-100 // steps)))


def pruning(params: dict[str, Any], inputs: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """`GroupPrior`'s rule and the groups to keep, for the inputs and each hidden layer."""
    rules, keep = [], []
    sizes = [(inputs, params["input_sparsity"])]
    sizes += [(n, params["sparsity"]) for n in hidden(params)]
    for n, sparsity in sizes:
        left = n if sparsity == "auto" else max(1, round(n * (1 - sparsity)))
        keep.append(left)
        given = "soft" if params["soft"] else "steered"
        rules.append("free" if sparsity == "auto" else given if left < n else "dense")
    return tuple(rules), tuple(keep)


def slab(params: dict[str, Any], rules: tuple[str, ...]) -> float:
    """Prior variance of a weight times its fan-in; "auto" as `base` documents it."""
    if params["slab"] not in ("auto", "learn"):
        return float(params["slab"])
    return 1.0 if "free" in rules else 30.0


def evidence_counts(kept: tuple[int, ...], outputs: int, rows: float) -> float:
    """How often each datum is counted in the posterior at the end: 3 (parameters/rows)^(2/3) >= 1.

    A weight's variance knows nothing of what the other weights could make up for, so the more
    weights share a datum, the more the product of the weights' posteriors overstates what is not
    known. The rule was fitted to held-out images of MNIST, from 0.2 parameters a row to 10.
    """
    parameters = sum((above + 1) * below for above, below in pairwise((*kept, outputs)))
    return max(1.0, 3.0 * (parameters / rows) ** (2 / 3))


def make(
    params: dict[str, Any],
    rows: int,
    inputs: int,
    outputs: int,
    noise: float | None,
    counted: float,
    once: bool,
) -> Recipe:
    """The recipe of a fit of (rows, inputs).

    `noise` is v, or None to start at 1 and learn it; `counted`: sum of the rows' weights; `once`:
    see `Recipe`.
    """
    batch = batch_size(params, rows)
    passes = int(params["inner_iters"])
    damping = params["damping"]
    if damping == "auto":
        damping = 0.0 if passes == 1 else 0.5 if passes == 2 else 0.7
    rules, keep = pruning(params, inputs)
    epochs, steps = iterations(params, rows, batch), -(-rows // batch)
    total = epochs * steps
    counts = evidence_counts(keep, outputs, counted)
    gain = LEARNT_NOISE_GAIN if noise is None else 1.0
    gain *= min(1.0, keep[0] / inputs / FEW_INPUTS) * total**-0.5
    if keep[0] < inputs:
        gain = min(gain, MAX_INPUT_GAIN)
    schedule = em.Schedule(
        total=0.0,
        learn_noise=float(noise is None),
        warmup=min(MAX_WARMUP, 0.2 * total),
        lr=gain,
        width_start=counts / 4,
        width_end=counts,
        window=float(params["window"]),
    )
    if noise is None and once:  # of classes there are many rows, and the ramp needs its time
        schedule = schedule._replace(memory=LEARNT_NOISE_MEMORY, ramp_end=LEARNT_NOISE_RAMP_END)
    schedule = schedule._replace(memory=max(schedule.memory, MIN_MEMORY / steps))
    return Recipe(
        hidden=hidden(params),
        activation=params["activation"],
        update=params["update"],
        epochs=epochs,
        batch_size=batch,
        exchanges=1 if rows <= batch else 5 if rows < SMALL else 20,
        passes=passes,
        damping=float(damping),
        rules=rules,
        keep=keep,
        slab=slab(params, rules),
        learn_slab=params["slab"] == "learn",
        share_incoming=bool(params["share_incoming"]) and any(r != "dense" for r in rules),
        noise=1.0 if noise is None else noise,
        once=once,
        schedule=schedule,
    )


def stream(recipe: Recipe) -> Recipe:
    """The same for one batch of `partial_fit`: each row counted once, nothing forgotten.

    Groups are pruned over the first 100 minibatches seen.
    """
    schedule = recipe.schedule._replace(total=100.0, settle=0.0, ramp_start=0.0, ramp_end=1.0)
    return recipe._replace(update="window", epochs=1, once=False, schedule=schedule)
