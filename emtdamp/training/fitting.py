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
from emtdamp.messages.prior import GroupPrior, PriorInfo
from emtdamp.posterior import Posterior
from emtdamp.training import em, shrinking
from emtdamp.training.inflation import log_density

SMALL = 2000  # rows below which training runs in float64 and is padded
DIVERGED = -1e6  # log Z of a sample: a thousand deviations off


class Recipe(NamedTuple):
    """How to train; `estimators` documents each and makes the defaults."""

    hidden: tuple[int, ...]
    activation: str
    update: em.Update
    epochs: int
    batch_size: int
    exchanges: int  # with module B an epoch
    passes: int
    damping: float
    rules: tuple[str, ...]  # of the inputs and each hidden layer, as `GroupPrior` has them
    keep: tuple[int, ...]  # groups to keep where steered
    slab: float  # prior variance of a weight times the fan-in of its layer
    learn_slab: bool
    share_incoming: bool
    noise: float  # v at the start
    inflation: float | None  # of the outputs' variances; None: each row counts once in them
    schedule: em.Schedule  # total 0: `epochs` of them


class Data(NamedTuple):
    """x (B, N) centred and scaled; y (B, J) float or (B,) int32; weight (B,) > 0."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


class Stream(NamedTuple):
    """What continues a training: of each layer mean, precision, velocity, prior P and p."""

    layers: tuple[tuple[np.ndarray, ...], ...]
    noise: float
    counted: float  # minibatches in the precisions
    width: float  # the posterior's precision is width * precision + P
    steps: int  # minibatches seen


class Problem(NamedTuple):
    """An epoch and what it is called with, besides `em.Progress` and the seed of the order."""

    epoch: Any  # of `em.epoch_function`
    batch: Batch
    schedule: em.Schedule
    keep: tuple[tf.Tensor, ...]

    def __call__(
        self, progress: em.Progress, order: tf.Tensor
    ) -> tuple[em.Progress, PriorInfo, tf.Tensor, em.Totals]:
        return self.epoch(progress, self.batch, order, self.schedule, self.keep)


class Trained(NamedTuple):
    """Outcome of `train`; a row of `history` is an EM iteration."""

    posterior: Posterior
    stream: Stream
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


def start(recipe: Recipe, inputs: int, outputs: int, seed: int) -> Stream:
    """Starting messages: precision fan_in/3, means m ~ N(0, 2/fan_in) (He), biases 0.

    The message to the weights, not their prior N(0, slab/fan_in), carries m: it breaks the symmetry
    between neurons and is forgotten as data come in. Its precision is not the least that would do,
    because the slab's M-step would follow a message that only pulls, without end.
    """
    rng = np.random.default_rng(seed)
    sizes = [inputs, *recipe.hidden, outputs]
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        mean = rng.normal(size=(fan_in + 1, fan_out)) * np.sqrt(2 / fan_in)
        mean[-1] = 0.0
        prior = np.full_like(mean, fan_in / recipe.slab)
        precision = np.full_like(mean, fan_in / 3)
        layers.append((mean, precision, np.zeros_like(mean), prior, np.zeros_like(mean)))
    count = recipe.schedule.prior_count if recipe.update == "decoupled" else 0.0
    return Stream(tuple(layers), recipe.noise, count, 1.0, 0)


def restart(stream: Stream) -> Stream:
    """The stream's posterior as the start of another fit: steps from 0, width 1.

    Its precision width * Lam is the evidence of width * counted minibatches, and counted as that:
    were only one of the two multiplied, the next step's width Ne/counted would do it again.
    """
    layers = [(m, stream.width * lam, 0 * velocity, *p) for m, lam, velocity, *p in stream.layers]
    counted = stream.width * stream.counted
    return stream._replace(layers=tuple(layers), counted=counted, width=1.0, steps=0)


def hidden(stream: Stream) -> tuple[int, ...]:
    """Neurons of each hidden layer."""
    return tuple(mean.shape[1] for mean, *_ in stream.layers[:-1])


def prepare(
    data: Data,
    likelihood: GaussianNoise | ProbitProduct,
    recipe: Recipe,
    stream: Stream,
    padded_like: int | None = None,
) -> tuple[Problem, em.Progress]:
    """The compiled problem, and where it starts: at the stream.

    `padded_like`: as many rows as these are to share the compiled epoch with, this number or more.
    """
    rows, inputs = data.x.shape
    dtype = np.float64 if rows < SMALL else np.float32
    shape = padded_shape(padded_like or rows, inputs)
    total = recipe.schedule.total or float(recipe.epochs * -(-rows // recipe.batch_size))
    new_until = float(stream.steps + -(-rows // recipe.batch_size))
    schedule = recipe.schedule._replace(total=total, new_until=new_until)
    schedule = em.Schedule(*(tf.constant(value, dtype) for value in schedule))
    keep = tuple(tf.constant(number) for number in recipe.keep)
    problem = Problem(_epoch(recipe, likelihood), _batch(data, shape, dtype), schedule, keep)
    state = _state(stream, shape[1] - inputs, dtype)
    average = tuple(layer.mean for layer in state.layers)
    slabs = [recipe.slab / n for n in (inputs, *recipe.hidden)]
    prior = _module(recipe).init(slabs, (shape[1], *recipe.hidden))
    progress = em.Progress(state, average, prior, tf.constant(stream.steps, dtype))
    _compile(problem, progress)
    return problem, progress


def _module(recipe: Recipe) -> GroupPrior:
    return GroupPrior(
        recipe.rules, learn_slab=recipe.learn_slab, share_incoming=recipe.share_incoming
    )


def _epoch(
    recipe: Recipe, likelihood: GaussianNoise | ProbitProduct, fan_in: tuple[int, ...] = ()
) -> Any:
    return em.epoch_function(
        Network(ACTIVATIONS[recipe.activation], likelihood, fan_in),
        _module(recipe),
        recipe.update,
        recipe.batch_size,
        recipe.exchanges,
        recipe.passes,
        recipe.damping,
    )


def _compile(problem: Problem, progress: em.Progress) -> None:
    """Compile the epoch where its shapes are new: one without a row to see, its outcome dropped."""
    epoch, batch, *others = problem
    order = tf.constant([0, 0])
    before = epoch.experimental_get_tracing_count()
    epoch.get_concrete_function(progress, batch, order, *others)
    if epoch.experimental_get_tracing_count() > before:
        epoch(progress, batch._replace(weight=tf.zeros_like(batch.weight)), order, *others)


def shrink(
    problem: Problem,
    kept: shrinking.Kept,
    recipe: Recipe,
    likelihood: GaussianNoise | ProbitProduct,
) -> tuple[Problem, em.Progress]:
    """The problem of the kept groups alone, compiled, and where it goes on."""
    fan_in = tuple(layer.mean.shape[0] for layer in kept.progress.state.layers)
    x = tf.gather(problem.batch.x, shrinking.columns(kept), axis=1)
    smaller = problem._replace(
        epoch=_epoch(recipe, likelihood, fan_in),
        batch=problem.batch._replace(x=x),
        keep=tuple(tf.constant(len(groups)) for groups in kept.groups),
    )
    progress = shrinking.drop(kept)
    _compile(smaller, progress)
    return smaller, progress


def train(
    data: Data,
    likelihood: GaussianNoise | ProbitProduct,
    recipe: Recipe,
    stream: Stream,
    seed: int,
    held_out: Data | None = None,
    patience: int | None = None,
    report: Callable[[dict[str, float], Posterior], None] | None = None,
    padded_like: int | None = None,
) -> Trained:
    """Run `recipe.epochs` EM iterations from `stream`; the seed orders the minibatches.

    With `held_out` the iterate of highest log predictive density there is returned, pruned as
    asked, and `patience` iterations without a better one stop the fit, once the pruning ramp is
    over. `report` gets each iteration's row of the history and its posterior. A row's seconds are
    those of the iteration: compiling, evaluating and reporting are apart.
    """
    rows, inputs = data.x.shape
    steps = -(-rows // recipe.batch_size)
    problem, progress = prepare(data, likelihood, recipe, stream, padded_like)
    whole, kept = progress, None
    history: list[dict[str, float]] = []
    best, posterior, width = None, None, stream.width
    for number in range(recipe.epochs):
        began = time.perf_counter()
        order = tf.constant([seed, number + stream.steps])
        progress, info, width, totals = problem(progress, order)
        _check(totals, steps, number)
        seconds = time.perf_counter() - began
        inflation = recipe.inflation or max(float(width * progress.state.count) / steps, 1.0)
        whole = progress
        if kept is not None:
            whole, info = shrinking.put_back(kept, progress, info)
        posterior = _posterior(whole, info, float(width), inflation, inputs, recipe, likelihood)
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
            samples = (recipe.epochs - number - 1) * rows * recipe.passes
            kept = shrinking.consider(progress, info, _module(recipe), samples)
            if kept is not None:
                problem, progress = shrink(problem, kept, recipe, likelihood)
    if best is not None:
        posterior = best[0]
    assert posterior is not None  # epochs >= 1
    return Trained(
        posterior,
        _stream(whole, inputs, float(width)),
        history[-1]["log_partition"],
        history,
    )


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


def _state(stream: Stream, more_inputs: int, dtype: type) -> State:
    """The stream's tensors, rows for padded inputs put in above the first layer's bias."""

    def tensor(value: np.ndarray, fill: float, first: bool) -> tf.Tensor:
        if first and more_inputs:
            value = np.insert(value, [-1] * more_inputs, fill, axis=0)
        return tf.constant(value, dtype)

    layers = []
    for number, (mean, precision, velocity, sharp, shift) in enumerate(stream.layers):
        first = number == 0
        prior = Gaussian(tensor(sharp, float(sharp[-1, 0]), first), tensor(shift, 0.0, first))
        layers.append(
            Layer(
                tensor(mean, 0.0, first),
                tensor(precision, 0.0, first),
                tensor(velocity, 0.0, first),
                prior,
            )
        )
    return State(
        tuple(layers), tf.constant(stream.noise, dtype), tf.constant(stream.counted, dtype)
    )


def _without_padding(value: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([value[:rows], value[-1:]])


def _stream(progress: em.Progress, inputs: int, width: float) -> Stream:
    layers, state = [], progress.state
    for number, (layer, mean) in enumerate(zip(state.layers, progress.average, strict=True)):
        _, precision, velocity, prior = layer
        rows = inputs if number == 0 else mean.shape[0] - 1
        layers.append(
            tuple(
                _without_padding(part.numpy(), rows) for part in (mean, precision, velocity, *prior)
            )
        )
    return Stream(tuple(layers), float(state.noise), float(state.count), width, int(progress.k))


def _posterior(
    progress: em.Progress,
    info: PriorInfo,
    width: float,
    inflation: float,
    inputs: int,
    recipe: Recipe,
    likelihood: GaussianNoise | ProbitProduct,
) -> Posterior:
    means, variances, active, odds = [], [], [], []
    state = progress.state
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
        likelihood=likelihood,
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
            "passes=1, or damping of 0.5 and more"
        )
    log_partition = float(totals.log_partition) / steps
    if log_partition < DIVERGED:
        raise EmtdampError(
            f"the fit diverges: log Z of a sample is {log_partition:.3g} in iteration "
            f"{number + 1}; prune fewer inputs, or use the other form of update"
        )
