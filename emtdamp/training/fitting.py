"""From arrays to a trained posterior: padding, the epochs, and what is kept.

Small data are padded to few sizes, so that folds and repeated fits share compiled epochs: rows of
weight 0 leave every sum unchanged, an input that is always 0 says nothing about its weights.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import EmtdampError
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.damp import Batch, Network
from emtdamp.posterior import Posterior
from emtdamp.training import em, shrinking, starts
from emtdamp.training.forms import Schedule
from emtdamp.training.inflation import log_density
from emtdamp.training.recipe import SMALL, Data, Recipe, padded_shape

DIVERGED = -1e6  # log Z of a sample: a thousand deviations off


class Epoch(NamedTuple):
    """A compiled epoch and its data; called with `em.Progress` and the seed of the order."""

    function: Any  # of `em.epoch_function`
    batch: Batch
    batch_size: int
    settings: tf.Tensor  # the numbers of a `Schedule`
    keep: tuple[tf.Tensor, ...]

    def __call__(
        self, progress: em.Progress, seed: Sequence[int]
    ) -> tuple[em.Progress, em.Groups, em.Totals]:
        order, steps = em.shuffled(self.batch.weight, self.batch_size, seed)
        return self.function(progress, self.batch, order, steps, self.settings, self.keep)


class Trained(NamedTuple):
    """Outcome of `train`; a row of `history` is an EM iteration."""

    posterior: Posterior
    progress: em.Progress  # at rest
    log_partition: float  # mean over the samples, before each was learnt, in the last iteration
    history: list[dict[str, float]]


def prepare(
    data: Data,
    recipe: Recipe,
    progress: em.Progress,
    padded_like: int | None = None,
    first: int = 0,
) -> tuple[Epoch, em.Progress]:
    """The compiled epoch of these data, and `progress` as it takes it.

    `padded_like`: as many rows as these are to share the compiled epoch with, this number or more;
    `first`: see `train`.
    """
    rows, inputs = data.x.shape
    dtype = np.float64 if rows < SMALL else np.float32
    shape = padded_shape(padded_like or rows, inputs)
    settings = tf.constant(_schedule(recipe, rows, first), dtype)
    keep = tuple(tf.constant(number) for number in recipe.keep)
    epoch = Epoch(_function(recipe), padded(data, shape, dtype), recipe.batch_size, settings, keep)
    progress = starts.take_up(progress, recipe, inputs, shape[1], dtype)
    return compiled(epoch, progress), progress


def _schedule(recipe: Recipe, rows: int, first: int) -> Schedule:
    """The recipe's, with the numbers of minibatches that so many rows make."""
    steps = -(-rows // recipe.batch_size)
    total = recipe.schedule.total or float(recipe.epochs * steps)
    return recipe.schedule._replace(total=total, new_until=float(first + steps))


def _function(recipe: Recipe, fan_in: tuple[int, ...] = ()) -> Any:
    return em.epoch_function(
        Network(ACTIVATIONS[recipe.activation], recipe.likelihood, fan_in),
        recipe.module,
        recipe.form,
        recipe.exchanges,
    )


def compiled(epoch: Epoch, progress: em.Progress) -> Epoch:
    """The epoch with the function of its shapes alone, which is called in half the time.

    A new one is compiled by a call without a minibatch, its outcome dropped.
    """
    function, weight = epoch.function, epoch.batch.weight
    order, steps = em.shuffled(tf.zeros_like(weight), epoch.batch_size, (0, 0))
    before = function.experimental_get_tracing_count()
    given = progress, epoch.batch, order, steps, epoch.settings, epoch.keep
    concrete = function.get_concrete_function(*given)
    if function.experimental_get_tracing_count() > before:
        concrete(*given)
    return epoch._replace(function=concrete)


def shrink(epoch: Epoch, kept: shrinking.Kept, recipe: Recipe) -> tuple[Epoch, em.Progress]:
    """The epoch of the kept groups alone, compiled, and where it goes on."""
    fan_in = tuple(layer.mean.shape[0] for layer in kept.progress.state.layers)
    x = tf.gather(epoch.batch.x, shrinking.columns(kept), axis=1)
    smaller = epoch._replace(
        function=_function(recipe, fan_in),
        batch=epoch.batch._replace(x=x),
        keep=tuple(tf.constant(len(groups)) for groups in kept.groups),
    )
    progress = shrinking.drop(kept)
    return compiled(smaller, progress), progress


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
    """Run EM iterations from `progress`, by default `starts.start`, to `until`, by default all.

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
        progress = starts.start(recipe, inputs, seed)
    until = recipe.epochs if until is None else until
    done = _iterations_done(progress, recipe, steps, first, until)
    chosen = progress.prior.left if done and not recipe.share_incoming else ()
    epoch, progress = prepare(data, recipe, progress, padded_like, first)
    whole, kept, schedule = progress, None, _schedule(recipe, rows, first)
    if chosen:
        kept = _chosen_before(progress, recipe, chosen)
        epoch, progress = shrink(epoch, kept, recipe)
    history: list[dict[str, float]] = []
    best, odds, inflation = None, [], 1.0
    for number in range(done, until):
        began = time.perf_counter()
        progress, info, totals = epoch(progress, (seed, number + first))
        check(totals, steps, number)
        seconds = time.perf_counter() - began
        effective = float(progress.width * progress.state.count)  # Ne
        inflation = recipe.inflation or max(effective / steps, 1.0)
        whole = progress
        if kept is not None:
            whole, info = shrinking.put_back(kept, progress, info)
        odds = [info.log_odds[0].numpy()[:inputs], *(x.numpy() for x in info.log_odds[1:])]
        row = {
            "iteration": number + 1,
            "log_partition": float(totals.log_partition) / steps,
            "noise": float(whole.state.noise),
            "change": float(totals.change),
            **{f"active_{n}": int((groups > 0).sum()) for n, groups in enumerate(odds)},
            "seconds": seconds,
        }
        history.append(row)
        if held_out is not None or report is not None:
            posterior = _posterior(whole, odds, inflation, recipe)
            if held_out is not None:
                row["held_out"] = evaluate(posterior, held_out)
            if report is not None:
                report(row, posterior)
            if held_out is not None and number + 1 > schedule.ramp_end * recipe.epochs:
                if best is None or row["held_out"] > best[1]["held_out"]:
                    best = posterior, row
                elif patience is not None and row["iteration"] - best[1]["iteration"] >= patience:
                    break
        if kept is None and float(progress.k) >= schedule.total * schedule.ramp_end:
            samples = (recipe.epochs - number - 1) * rows * recipe.form.passes
            kept = shrinking.consider(progress, info, recipe.module, samples)
            if kept is not None:
                whole = shrinking.marked(whole, kept)
                epoch, progress = shrink(epoch, kept, recipe)
    return Trained(
        _posterior(whole, odds, inflation, recipe) if best is None else best[0],
        tf.nest.map_structure(starts.at_rest, whole),
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
    info = recipe.module.step(progress.prior, sent, keep)[2]
    seen = em.Groups(info.llr, info.log_odds)
    return shrinking.Kept(tuple(np.flatnonzero(left) for left in chosen), progress, seen)


def evaluate(posterior: Posterior, data: Data) -> float:
    """Mean log predictive density (of classes: probability) of the data's y."""
    return float(np.average(log_density(posterior, data.x, data.y), weights=data.weight))


def padded(data: Data, shape: tuple[int, int], dtype: type) -> Batch:
    """The data in arrays of this many rows and inputs: rows of weight 0, inputs that are 0."""
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


def _posterior(
    progress: em.Progress, odds: list[np.ndarray], inflation: float, recipe: Recipe
) -> Posterior:
    means, variances, active = [], [], tuple(groups > 0 for groups in odds)
    state, width = progress.state, float(progress.width)
    for layer, mean, groups in zip(state.layers, progress.average, active, strict=True):
        rows, on = len(groups), np.append(groups, True)[:, None]
        var = 1 / (width * layer.precision + layer.prior.precision)
        means.append(np.where(on, starts.without_padding(mean.numpy(), rows), 0))
        variances.append(np.where(on, starts.without_padding(var.numpy(), rows), 0))
    inputs = len(odds[0])
    return Posterior(
        tuple(means),
        tuple(variances),
        active,
        tuple(odds),
        noise=float(state.noise),
        activation=recipe.activation,
        likelihood=recipe.likelihood,
        inputs=inputs,
        kept_inputs=np.arange(inputs),
        inflation=inflation,
    )


def check(totals: em.Totals, steps: int, number: int) -> None:
    """Raise where a message stopped being finite, naming the minibatch."""
    failed = int(totals.failed)
    if failed < steps:
        raise EmtdampError(
            f"a message is no longer finite in iteration {number + 1}, minibatch {failed + 1}; use "
            "a larger batch_size, inner_iters=1, damping of 0.5 and more, or a longer window"
        )
    log_partition = float(totals.log_partition) / steps
    if log_partition < DIVERGED:
        raise EmtdampError(
            f"the fit diverges: log Z of a sample is {log_partition:.3g} in iteration "
            f"{number + 1}; prune fewer inputs, or use the other form of update"
        )
