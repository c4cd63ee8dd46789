"""From arrays to a trained posterior: padding, starting messages, the epochs, and what is kept.

Small data are padded to few sizes, so that folds and repeated fits share compiled epochs: rows of
weight 0 leave every sum unchanged, an input that is always 0 says nothing about its weights.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import EmtdampError
from emtdamp.messages import damp
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.damp import Batch, Layer, Network, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.messages.prior import GIVEN, GroupPrior, PriorInfo, PriorState
from emtdamp.posterior import Posterior
from emtdamp.training import em, shrinking
from emtdamp.training.forms import Form, Schedule
from emtdamp.training.inflation import log_density

SMALL = 2000  # rows below which training runs in float64 and is padded
DIVERGED = -1e6  # log Z of a sample: a thousand deviations off


class Recipe(NamedTuple):
    """How to train; `estimators.parameters` documents each, `recipes` has the defaults."""

    hidden: tuple[int, ...]
    outputs: int
    likelihood: GaussianNoise | ProbitProduct
    activation: str
    form: Form
    epochs: int
    batch_size: int
    exchanges: int  # with module B an epoch
    rules: tuple[str, ...]  # of the inputs and each hidden layer, as `GroupPrior` has them
    keep: tuple[int, ...]  # groups to keep where steered
    slab: float  # prior variance of a weight times the fan-in of its layer
    learn_slab: bool
    share_incoming: bool
    noise: float  # v at the start
    inflation: float | None  # of the outputs' variances; None: each row counts once in them
    schedule: Schedule  # total 0: `epochs` of them


class Data(NamedTuple):
    """x (B, N) centred and scaled; y (B, J) float or (B,) int32; weight (B,) > 0."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


class Problem(NamedTuple):
    """An epoch and what it is called with, besides `em.Progress` and the seed of the order."""

    epoch: Any  # of `em.epoch_function`
    batch: Batch
    schedule: Schedule
    keep: tuple[tf.Tensor, ...]

    def __call__(
        self, progress: em.Progress, order: tf.Tensor
    ) -> tuple[em.Progress, PriorInfo, em.Totals]:
        return self.epoch(progress, self.batch, order, self.schedule, self.keep)


class Trained(NamedTuple):
    """Outcome of `train`; a row of `history` is an EM iteration."""

    posterior: Posterior
    progress: em.Progress  # at rest
    log_partition: float  # mean over the samples, before each was learnt, in the last iteration
    history: list[dict[str, float]]


def padded_shape(rows: int, inputs: int) -> tuple[int, int]:
    """Shape of the array that holds (rows, inputs): below `SMALL` rows one of few."""
    if rows >= SMALL:
        return rows, inputs
    return _up(rows, 256), _up(inputs, 32) if inputs < 64 else inputs


def _up(number: int, least: int) -> int:
    """The next power of two, `least` at least."""
    return max(least, 1 << (number - 1).bit_length())


def start(recipe: Recipe, inputs: int, seed: int) -> em.Progress:
    """The state that a fit starts from, at rest: messages of precision fan_in/3 and means
    m ~ N(0, 2/fan_in) (He), of biases 0.

    The message to the weights, not their prior N(0, slab/fan_in), carries m: it breaks the symmetry
    between neurons and is forgotten as data come in. Its precision is not the least that would do,
    because the slab's M-step would follow a message that only pulls, without end.
    """
    rng = np.random.default_rng(seed)
    sizes = [inputs, *recipe.hidden, recipe.outputs]
    means = [rng.normal(size=(n + 1, j)) * np.sqrt(2 / n) for n, j in pairwise(sizes)]
    for mean in means:
        mean[-1] = 0.0
    precisions, priors = [n / 3 for n in sizes[:-1]], [n / recipe.slab for n in sizes[:-1]]
    state = recipe.form.init(means, precisions, priors, recipe.noise, recipe.schedule)
    zero, one = np.zeros([]), np.ones([])
    average = tuple(layer.mean for layer in state.layers)
    module = _module(recipe)
    prior = module.init(_slabs(recipe, inputs), (inputs, *recipe.hidden))
    return em.Progress(state, average, tf.nest.map_structure(_at_rest, prior), zero, one)


def settle(progress: em.Progress) -> em.Progress:
    """The posterior as the evidence that more data come on top of: width 1, averages the means.

    Its precision width * Lam is the evidence of width * count minibatches, and counted as that:
    were only one of the two multiplied, the next step's width Ne/count would do it again.
    """
    state, width = progress.state, progress.width
    layers = tuple(
        Layer(mean, width * layer.precision, 0 * layer.velocity, layer.prior)
        for layer, mean in zip(state.layers, progress.average, strict=True)
    )
    state = State(layers, state.noise, width * state.count)
    return progress._replace(state=state, width=np.ones_like(width))


def restart(progress: em.Progress) -> em.Progress:
    """The posterior as the start of another fit: steps from 0, all groups there to choose from.

    Rates and slabs that EM has learnt are kept.
    """
    settled = settle(progress)
    return settled._replace(k=0 * settled.k, prior=settled.prior._replace(left=()))


def hidden(progress: em.Progress) -> tuple[int, ...]:
    """Neurons of each hidden layer."""
    return tuple(layer.mean.shape[1] for layer in progress.state.layers[:-1])


def prepare(
    data: Data,
    recipe: Recipe,
    progress: em.Progress,
    padded_like: int | None = None,
    first: int = 0,
) -> tuple[Problem, em.Progress]:
    """The compiled problem, and `progress` as it takes it.

    `padded_like`: as many rows as these are to share the compiled epoch with, this number or more;
    `first`: see `train`.
    """
    rows, inputs = data.x.shape
    dtype = np.float64 if rows < SMALL else np.float32
    shape = padded_shape(padded_like or rows, inputs)
    total = recipe.schedule.total or float(recipe.epochs * -(-rows // recipe.batch_size))
    new_until = float(first + -(-rows // recipe.batch_size))
    schedule = recipe.schedule._replace(total=total, new_until=new_until)
    schedule = Schedule(*(tf.constant(value, dtype) for value in schedule))
    keep = tuple(tf.constant(number) for number in recipe.keep)
    problem = Problem(_epoch(recipe), _batch(data, shape, dtype), schedule, keep)
    progress = _taken_up(progress, recipe, inputs, shape[1], dtype)
    _compile(problem, progress)
    return problem, progress


def _slabs(recipe: Recipe, inputs: int) -> list[float]:
    return [recipe.slab / n for n in (inputs, *recipe.hidden)]


def _module(recipe: Recipe) -> GroupPrior:
    return GroupPrior(
        recipe.rules, learn_slab=recipe.learn_slab, share_incoming=recipe.share_incoming
    )


def _epoch(recipe: Recipe, fan_in: tuple[int, ...] = ()) -> Any:
    return em.epoch_function(
        Network(ACTIVATIONS[recipe.activation], recipe.likelihood, fan_in),
        _module(recipe),
        recipe.form,
        recipe.batch_size,
        recipe.exchanges,
    )


def _compile(problem: Problem, progress: em.Progress) -> None:
    """Compile the epoch where its shapes are new: one without a row to see, its outcome dropped."""
    epoch, batch, *others = problem
    order = tf.constant([0, 0])
    before = epoch.experimental_get_tracing_count()
    epoch.get_concrete_function(progress, batch, order, *others)
    if epoch.experimental_get_tracing_count() > before:
        epoch(progress, batch._replace(weight=tf.zeros_like(batch.weight)), order, *others)


def shrink(problem: Problem, kept: shrinking.Kept, recipe: Recipe) -> tuple[Problem, em.Progress]:
    """The problem of the kept groups alone, compiled, and where it goes on."""
    fan_in = tuple(layer.mean.shape[0] for layer in kept.progress.state.layers)
    x = tf.gather(problem.batch.x, shrinking.columns(kept), axis=1)
    smaller = problem._replace(
        epoch=_epoch(recipe, fan_in),
        batch=problem.batch._replace(x=x),
        keep=tuple(tf.constant(len(groups)) for groups in kept.groups),
    )
    progress = shrinking.drop(kept)
    _compile(smaller, progress)
    return smaller, progress


def train(
    data: Data,
    recipe: Recipe,
    seed: int,
    progress: em.Progress | None = None,
    held_out: Data | None = None,
    patience: int | None = None,
    report: Callable[[dict[str, float], Posterior], None] | None = None,
    padded_like: int | None = None,
    first: int = 0,
    until: int | None = None,
) -> Trained:
    """Run EM iterations from `progress`, by default `start`, to `until`, by default all.

    The seed orders the minibatches. `first` is the number of steps that were done before this fit's
    first iteration, so that a `progress` further on continues the fit: what it ends with is, bit
    for bit, what one call had ended with. The best iterate on `held_out`, and patience, are those
    of the call.

    With `held_out` the iterate of highest log predictive density there is returned, pruned as
    asked, and `patience` iterations without a better one stop the fit, once the pruning ramp is
    over. `report` gets each iteration's row of the history and its posterior. A row's seconds are
    those of the iteration: compiling, evaluating and reporting are apart.
    """
    rows, inputs = data.x.shape
    steps = -(-rows // recipe.batch_size)
    if progress is None:
        progress = start(recipe, inputs, seed)
    until = recipe.epochs if until is None else until
    done = _iterations_done(progress, recipe, steps, first, until)
    chosen = progress.prior.left if done and not recipe.share_incoming else ()
    problem, progress = prepare(data, recipe, progress, padded_like, first)
    whole, kept = progress, None
    if chosen:
        kept = _chosen_before(progress, recipe, chosen)
        problem, progress = shrink(problem, kept, recipe)
    history: list[dict[str, float]] = []
    best, posterior = None, None
    for number in range(done, until):
        began = time.perf_counter()
        progress, info, totals = problem(progress, tf.constant([seed, number + first]))
        _check(totals, steps, number)
        seconds = time.perf_counter() - began
        counted = float(progress.width * progress.state.count)
        inflation = recipe.inflation or max(counted / steps, 1.0)
        whole = progress
        if kept is not None:
            whole, info = shrinking.put_back(kept, progress, info)
        posterior = _posterior(whole, info, inflation, inputs, recipe)
        row = {
            "iteration": number + 1,
            "log_partition": float(totals.log_partition) / steps,
            "noise": posterior.noise,
            "change": float(totals.change),
            **{f"active_{n}": int(active.sum()) for n, active in enumerate(posterior.active)},
            "seconds": seconds,
        }
        if held_out is not None:
            row["held_out"] = evaluate(posterior, held_out)
        history.append(row)
        if report is not None:
            report(row, posterior)
        if held_out is not None and number + 1 > recipe.schedule.ramp_end * recipe.epochs:
            if best is None or row["held_out"] > best[1]["held_out"]:
                best = posterior, row
            elif patience is not None and row["iteration"] - best[1]["iteration"] >= patience:
                break
        if kept is None and progress.k >= problem.schedule.total * problem.schedule.ramp_end:
            samples = (recipe.epochs - number - 1) * rows * recipe.form.passes
            kept = shrinking.consider(progress, info, _module(recipe), samples)
            if kept is not None:
                whole = shrinking.marked(whole, kept)
                problem, progress = shrink(problem, kept, recipe)
    if best is not None:
        posterior = best[0]
    assert posterior is not None  # epochs >= 1
    return Trained(
        posterior,
        tf.nest.map_structure(_at_rest, whole),
        history[-1]["log_partition"],
        history,
    )


def _iterations_done(
    progress: em.Progress, recipe: Recipe, steps: int, first: int, until: int
) -> int:
    """How many of the fit are done; raise EmtdampError where it cannot go on from there."""
    sizes = [layer.mean.shape[1] for layer in progress.state.layers]
    if sizes != [*recipe.hidden, recipe.outputs]:
        raise EmtdampError(
            f"a progress of {sizes} neurons and outputs cannot go on with "
            f"{[*recipe.hidden, recipe.outputs]}; give one of this network"
        )
    since = int(progress.k) - first
    if since < 0 or since % steps:
        raise EmtdampError(
            f"{since} steps are no whole iterations of {steps}; give a progress of this fit, and "
            "first, its steps before it"
        )
    done = since // steps
    if not done < until <= recipe.epochs:
        raise EmtdampError(
            f"{done} of {recipe.epochs} iterations are done; give until from {done + 1} to "
            f"{recipe.epochs}, or an earlier progress"
        )
    return done


def _chosen_before(
    progress: em.Progress, recipe: Recipe, chosen: tuple[np.ndarray, ...]
) -> shrinking.Kept:
    """The groups that the fit went on with when it stopped."""
    keep = [tf.constant(number) for number in recipe.keep]
    sent = em.messages(progress.state, progress.width)
    info = _module(recipe).step(progress.prior, sent, keep)[2]
    return shrinking.Kept(tuple(np.flatnonzero(left) for left in chosen), progress, info)


def evaluate(posterior: Posterior, data: Data) -> float:
    """Mean log predictive density (of classes: probability) of the data's y."""
    return float(np.average(log_density(posterior, data.x, data.y), weights=data.weight))


def _batch(data: Data, shape: tuple[int, int], dtype: type) -> Batch:
    rows, inputs = data.x.shape
    more_rows = shape[0] - rows
    x = np.zeros((shape[0], shape[1] + 1), dtype)
    x[:rows, :inputs] = data.x
    x[:, -1] = 1.0
    y = data.y if data.y.ndim == 1 else data.y.astype(dtype)
    return Batch(
        tf.constant(x),
        tf.constant(np.pad(y, [(0, more_rows)] + [(0, 0)] * (y.ndim - 1))),
        tf.constant(np.pad(data.weight.astype(dtype), (0, more_rows))),
    )


def _at_rest(tensor: tf.Tensor) -> np.ndarray:
    return tensor.numpy()


def _taken_up(
    progress: em.Progress, recipe: Recipe, inputs: int, width: int, dtype: type
) -> em.Progress:
    """The tensors of a progress at rest, for data of `width` columns of which `inputs` are real.

    What was padded otherwise is padded anew, which no real weight notices; module B has the
    recipe's slabs where it does not learn them, and starts where its rules are others, or more
    groups are to stay than are left.
    """
    state = progress.state
    if state.layers[0].mean.shape[0] != width + 1:

        def padded(rows: np.ndarray, fill: float = 0.0) -> np.ndarray:
            more = [-1] * (width - inputs)
            return np.insert(_without_padding(rows, inputs), more, fill, axis=0)

        mean, precision, velocity, (sharp, shift) = state.layers[0]
        prior = Gaussian(padded(sharp, float(sharp[-1, 0])), padded(shift))
        layer = Layer(padded(mean), padded(precision), padded(velocity), prior)
        state = state._replace(layers=(layer, *state.layers[1:]))
        progress = progress._replace(average=(padded(progress.average[0]), *progress.average[1:]))
    module = _module(recipe)
    fresh = module.init(_slabs(recipe, inputs), (width, *recipe.hidden))
    old = tf.nest.map_structure(tf.constant, progress.prior)
    left = fresh.left
    if len(old.left) == len(fresh.left):
        left = tuple(
            _like(old.left[u], everyone, inputs)
            if recipe.rules[u] in GIVEN and old.left[u].numpy().sum() >= recipe.keep[u]
            else everyone
            for u, everyone in enumerate(fresh.left)
        )
    prior = PriorState(
        old.slab if recipe.learn_slab else fresh.slab,
        tuple(_like(*pair, inputs) for pair in zip(old.logit_rho, fresh.logit_rho, strict=True)),
        left,
    )
    state, average, k, kap = tf.nest.map_structure(
        lambda value: tf.constant(value, dtype),
        (state, progress.average, progress.k, progress.width),
    )
    return em.Progress(state, average, prior, k, kap)


def _like(old: tf.Tensor, fresh: tf.Tensor, inputs: int) -> tf.Tensor:
    """What is said of each group, padded as `fresh` is; `fresh` itself where groups had no own."""
    if old.shape == fresh.shape:
        return old
    if not (len(old.shape) == len(fresh.shape) == 1):
        return fresh
    return tf.concat([old[:inputs], fresh[inputs:]], 0)


def _without_padding(value: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([value[:rows], value[-1:]])


def _posterior(
    progress: em.Progress,
    info: PriorInfo,
    inflation: float,
    inputs: int,
    recipe: Recipe,
) -> Posterior:
    means, variances, active, odds = [], [], [], []
    state, width = progress.state, float(progress.width)
    for number, (layer, mean) in enumerate(zip(state.layers, progress.average, strict=True)):
        _, precision, _, prior = layer
        rows = inputs if number == 0 else mean.shape[0] - 1
        odds.append(info.log_odds[number].numpy()[:rows])
        active.append(odds[-1] > 0)
        on = np.append(active[-1], True)[:, None]
        var = 1 / (width * precision + prior.precision)
        means.append(np.where(on, _without_padding(mean.numpy(), rows), 0))
        variances.append(np.where(on, _without_padding(var.numpy(), rows), 0))
    return Posterior(
        tuple(means),
        tuple(variances),
        tuple(active),
        tuple(odds),
        noise=float(state.noise),
        activation=recipe.activation,
        likelihood=recipe.likelihood,
        inputs=inputs,
        kept_inputs=np.arange(inputs),
        inflation=inflation,
    )


def _check(totals: em.Totals, steps: int, number: int) -> None:
    """Raise where a message stopped being finite, naming the first layer and quantity."""
    failed = totals.failed.numpy()
    if failed.min() < steps:
        layer, quantity = np.unravel_index(failed.argmin(), failed.shape)
        raise EmtdampError(
            f"the {damp.QUANTITIES[quantity]} of layer {layer + 1} is no longer finite in "
            f"iteration {number + 1}, minibatch {failed.min() + 1}; use a larger batch_size, "
            "inner_iters=1, damping of 0.5 and more, or a longer window"
        )
    log_partition = float(totals.log_partition) / steps
    if log_partition < DIVERGED:
        raise EmtdampError(
            f"the fit diverges: log Z of a sample is {log_partition:.3g} in iteration "
            f"{number + 1}; prune fewer inputs, or use the other form of update"
        )
