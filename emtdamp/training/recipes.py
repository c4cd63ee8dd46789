"""From an estimator's parameters to a `Recipe`: checks, and the rules behind the defaults."""

from itertools import pairwise
from typing import Any

import numpy as np

from emtdamp.errors import UsageError
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.training.forms import Decoupled, Schedule, Window
from emtdamp.training.recipe import SMALL, Data, Recipe, padded_shape

INTEGER = (int, np.integer)
REAL = (*INTEGER, float, np.floating)
MOST = 1e8  # slab, and v over the variance of y, are between its inverse and this
MIN_MEMORY = 10.0  # minibatches over which the decoupled form averages its precision, at least

# A first minibatch, counted in full, moves the weights by their prior's width: one pass leaves
# Iris at accuracies of 0.72 to 0.89, five (ten) passes at 0.95 to 0.98.
STREAM_PASSES = 5
STREAM_DAMPING = 0.8
STREAM_RAMP = 100  # minibatches over which `partial_fit` prunes
SLAB = 30.0
# A small table may want a smoother network, or not. On twelve, other than the book's ten, a choice
# by held-out rows had a mean log loss of .451, 30 throughout .468; 3 had .448, but lost much (.46
# instead of .35) where classes are shells about each other, which takes large weights.
SMALL_SLABS = (SLAB, 3.0, 1.0)
SOME_CLASSES = 20  # of more, a fit takes too long to be made three times more
MAX_COUNTS = 15.0
MAX_WARMUP = 100.0  # minibatches; a fifth of a short fit
# Where v is learnt it follows the residuals, which large steps make too small.
LEARNT_NOISE_GAIN = 0.7
LEARNT_NOISE_WINDOW = 5.0  # epochs
LEARNT_NOISE_COUNTS = 2.5  # times those of classes
LEARNT_NOISE_MEMORY = 4.0
# Times the variance of y. A network that learns its rows by heart leaves no v; V, which follows it,
# would then say nothing, and how small both get would differ between the fit and its inner one.
LEAST_NOISE = 1e-4
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
    hidden(params)
    sparsity(params)
    _check_share("input_sparsity", params["input_sparsity"])
    value = params["validation_fraction"]
    if not _is_number(value) or not 0 < value < 1:
        raise UsageError(f"validation_fraction={value!r}; give a number above 0 and below 1")
    for name, word in [
        ("em_iters", " or 'auto'"),
        ("batch_size", " or 'auto'"),
        ("inner_iters", ""),
        ("n_iter_no_change", ""),
    ]:
        value = params[name]
        if not (word and _is_auto(value)) and not (_is_integer(value) and value >= 1):
            raise UsageError(f"{name}={value!r}; give an integer of at least 1{word}")
    for name, most in [("slab", MOST), ("noise", np.inf)]:
        value = params[name]
        if _is_auto(value) or _is_learn(value):
            continue
        if not (_is_number(value) and 0 < value < np.inf):
            raise UsageError(
                f"{name}={value!r} is no variance; give a finite number above 0, 'auto' or 'learn'"
            )
        if not 1 / most <= value <= most:
            raise UsageError(f"{name}={value!r}; give a number from {1 / most:g} to {most:g}")
    value = params["damping"]
    if not _is_auto(value) and not (_is_number(value) and 0 <= value < 1):
        raise UsageError(f"damping={value!r}; give a number in [0, 1) or 'auto'")
    value = params["inflation"]
    if not _is_auto(value) and not (_is_number(value) and 0 < value < np.inf):
        raise UsageError(f"inflation={value!r}; give a finite number above 0, or 'auto'")
    value = params["window"]
    if not (_is_number(value) and 0 < value < np.inf):
        raise UsageError(f"window={value!r}; give a number of passes above 0")
    for name, allowed in [("activation", [*ACTIVATIONS]), ("update", ["decoupled", "window"])]:
        if not isinstance(params[name], str) or params[name] not in allowed:
            raise UsageError(f"{name}={params[name]!r}; use one of {', '.join(allowed)}")
    for name in ("soft", "share_incoming", "early_stopping", "warm_start", "verbose"):
        value = params[name]
        if not isinstance(value, bool | np.bool_) and not (
            name == "verbose" and _is_integer(value)
        ):
            raise UsageError(f"{name}={value!r}; give True or False")
    if params["update"] == "decoupled" and params["inner_iters"] > 1:
        raise UsageError(
            f"inner_iters={params['inner_iters']} needs update='window'; the decoupled form has "
            "one pass a minibatch"
        )


def _is_learn(value: Any) -> bool:
    return isinstance(value, str) and value == "learn"


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _is_integer(value: Any) -> bool:
    return isinstance(value, INTEGER) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, REAL) and not isinstance(value, bool)


def _check_share(name: str, value: Any) -> None:
    if not _is_auto(value) and not (_is_number(value) and 0 <= value < 1):
        raise UsageError(f"{name}={value!r}; give a number at least 0 and below 1, or 'auto'")


def hidden(params: dict[str, Any]) -> tuple[int, ...]:
    """Neurons of each hidden layer."""
    value = params["hidden_layer_sizes"]
    sizes = (value,) if _is_integer(value) else value
    if not isinstance(sizes, tuple | list | np.ndarray) or not all(
        _is_integer(n) and n >= 1 for n in sizes
    ):
        raise UsageError(
            f"hidden_layer_sizes={value!r}; give integers of at least 1, or () for a linear model"
        )
    return tuple(int(n) for n in sizes)


def sparsity(params: dict[str, Any]) -> tuple[Any, ...]:
    """Of each hidden layer: the fraction of its neurons to prune, or "auto"."""
    value, layers = params["sparsity"], len(hidden(params))
    several = isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not several:
        _check_share("sparsity", value)
        return (value,) * layers
    if len(value) != layers:
        raise UsageError(
            f"sparsity={value!r} has {len(value)} values for {layers} hidden layers; give one for "
            "each of them, or a single number or 'auto' for all"
        )
    for number, share in enumerate(value):
        _check_share(f"sparsity[{number}]", share)
    return tuple(value)


def batch_size(params: dict[str, Any], rows: int) -> int:
    """Rows of a minibatch: all up to 100 rows, 50 below 5,000, then 100.

    A larger number than there are rows, padding included, means all of them.
    """
    if params["batch_size"] != "auto":
        return min(int(params["batch_size"]), padded_shape(rows, 1)[0])
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
    shares = [params["input_sparsity"], *sparsity(params)]
    for n, share in zip([inputs, *hidden(params)], shares, strict=True):
        left = n if share == "auto" else max(1, round(n * (1 - share)))
        keep.append(left)
        given = "soft" if params["soft"] else "steered"
        rules.append("free" if share == "auto" else given if left < n else "dense")
    return tuple(rules), tuple(keep)


def noise(value: Any, unit: float) -> float:
    """v of a given `noise` where `unit` is the variance of y that counts as 1."""
    v = value / unit
    if not 1 / MOST <= v <= MOST:
        raise UsageError(
            f"noise={value!r} is {v:.3g} times the variance of y; give a number from "
            f"{unit / MOST:.3g} to {unit * MOST:.3g}, or 'auto'"
        )
    return float(v)


def slab(params: dict[str, Any], rules: tuple[str, ...]) -> float:
    """Prior variance of a weight times its fan-in; "auto" as `estimators.parameters` has it."""
    if params["slab"] not in ("auto", "learn"):
        return float(params["slab"])
    return 1.0 if "free" in rules else SLAB


def slabs(params: dict[str, Any], recipe: Recipe) -> tuple[float, ...]:
    """Slabs from which a fit of few rows may choose, by others."""
    few = isinstance(recipe.likelihood, ProbitProduct) and recipe.outputs <= SOME_CLASSES
    free = params["slab"] == "auto" and "free" not in recipe.rules
    return SMALL_SLABS if free and few else (recipe.slab,)


def row_counts(kept: tuple[int, ...], outputs: int, rows: float) -> float:
    """How often each datum is counted in the posterior at the end: 3 (parameters/rows)^(2/3) >= 1.

    A weight's variance knows nothing of what the other weights could make up for, so the more
    weights share a datum, the more the product of the weights' posteriors overstates what is not
    known. The rule was fitted to held-out images of MNIST, from 0.2 parameters a row to 10; it
    ends at `MAX_COUNTS`, where they end.
    """
    parameters = sum((above + 1) * below for above, below in pairwise((*kept, outputs)))
    return counts(parameters, rows)


def counts(parameters: int, rows: float) -> float:
    """The same by the number of weights and biases."""
    return float(np.clip(3.0 * (parameters / rows) ** (2 / 3), 1.0, MAX_COUNTS))


def make(
    params: dict[str, Any],
    data: Data,
    outputs: int,
    noise: float | None,
    part_of: int | None = None,
) -> Recipe:
    """The recipe of a fit to the data, by an estimator's parameters.

    `outputs`: width of the last layer; `noise`: v in the units of y there, or None to start at 1
    and learn it; `part_of`: rows of a fit whose minibatches and exchanges this one is to have, and
    so its compiled epochs.
    """
    (rows, inputs), classes = data.x.shape, data.y.ndim == 1
    most = part_of or rows
    batch = batch_size(params, most)
    rules, keep = pruning(params, inputs)
    epochs, steps = iterations(params, rows, batch), -(-rows // batch)
    total = epochs * steps
    counts = row_counts(keep, outputs, float(data.weight.sum()))
    # Of classes there are many rows: the rules for a v that is learnt are those of regressions.
    regression = noise is None and not classes
    if regression:
        counts *= LEARNT_NOISE_COUNTS
    gain = LEARNT_NOISE_GAIN if noise is None else 1.0
    gain *= min(1.0, keep[0] / inputs / FEW_INPUTS) * total**-0.5
    if keep[0] < inputs:
        gain = min(gain, MAX_INPUT_GAIN)
    schedule = Schedule(
        total=0.0,
        learn_noise=float(noise is None),
        warmup=min(MAX_WARMUP, 0.2 * total),
        lr=gain,
        width_start=counts / 4,
        width_end=counts,
        window=float(params["window"]),
    )
    if regression:
        schedule = schedule._replace(
            memory=LEARNT_NOISE_MEMORY,
            ramp_end=LEARNT_NOISE_RAMP_END,
            noise_window=LEARNT_NOISE_WINDOW,
            noise_least=LEAST_NOISE,
        )
    schedule = schedule._replace(memory=max(schedule.memory, MIN_MEMORY / steps))
    return Recipe(
        hidden=hidden(params),
        outputs=outputs,
        likelihood=ProbitProduct() if classes else GaussianNoise(),
        activation=params["activation"],
        form=Decoupled() if params["update"] == "decoupled" else window(params),
        epochs=epochs,
        batch_size=batch,
        exchanges=1 if most <= batch else 5 if most < SMALL else 20,
        rules=rules,
        keep=keep,
        slab=slab(params, rules),
        learn_slab=params["slab"] == "learn",
        share_incoming=bool(params["share_incoming"]) and any(r != "dense" for r in rules),
        noise=1.0 if noise is None else noise,
        inflation=1.0 if classes else None,
        schedule=schedule,
    )


def warm(recipe: Recipe, rows: int, count: float) -> Recipe:
    """The same for a fit of `rows` that goes on from a posterior of `count` minibatches.

    The first step's Ne = min(1 + prior_count, width_start steps) is what the posterior has, so that
    the fit starts at this posterior.
    """
    steps = -(-rows // recipe.batch_size)
    schedule = recipe.schedule._replace(prior_count=count, width_start=count / steps)
    return recipe._replace(schedule=schedule)


def window(params: dict[str, Any], passes: int = 1, damping: float = 0.0) -> Window:
    """The window form with these parameters, and `passes` and `damping` at least."""
    passes, given = max(int(params["inner_iters"]), passes), params["damping"]
    if given == "auto":
        given = 0.0 if passes == 1 else 0.5 if passes == 2 else 0.7
    return Window(passes, max(float(given), damping))


def stream(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    """The same for one batch of `partial_fit`: each row counted once, nothing forgotten.

    No minibatch is tempered, so that the first count as the others do; `STREAM_PASSES` passes keep
    them stable. Groups are pruned over the first `STREAM_RAMP` minibatches seen.
    """
    schedule = recipe.schedule._replace(
        total=float(STREAM_RAMP), warmup=1.0, settle=0.0, ramp_start=0.0, ramp_end=1.0
    )
    return recipe._replace(
        form=window(params, STREAM_PASSES, STREAM_DAMPING),
        epochs=1,
        inflation=1.0,
        schedule=schedule,
    )
