"""From arrays to a trained posterior: padding, the epochs, and what is kept.

Small data are padded to few sizes, so that folds and repeated fits share compiled epochs: rows of
weight 0 leave every sum unchanged, an input that is always 0 says nothing about its weights.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import tensorflow as tf

from emtdamp.errors import EmtdampError
from emtdamp.messages.activations import ACTIVATIONS
from emtdamp.messages.damp import Batch, Network
from emtdamp.messages.prior import PriorInfo
from emtdamp.posterior import Posterior
from emtdamp.training import em, shrinking, starts
from emtdamp.training.forms import Schedule
from emtdamp.training.inflation import log_density
from emtdamp.training.recipe import SMALL, Data, Recipe, padded_shape

DIVERGED = -1e6  # log Z of a sample: a thousand deviations off
EPOCHS_A_CALL = 25  # of fewer than `SMALL` rows, where a call takes as long as an epoch


class Epochs(NamedTuple):
    """Compiled epochs and their data; called with `em.Progress` and the seed of each epoch's order.

    Of a call come the progress, and log-odds of the groups and `em.Totals` as arrays with a row an
    epoch.
    """

    function: Any  # of `em.epochs_function`
    batch: Batch
    batch_size: int
    most: int  # epochs of a call
    settings: tf.Tensor  # the numbers of a `Schedule`
    keep: tuple[tf.Tensor, ...]

    def __call__(
        self, progress: em.Progress, seeds: Sequence[Sequence[int]]
    ) -> tuple[em.Progress, tuple[np.ndarray, ...], em.Totals]:
        given = progress, self.batch, *self._order(seeds), self.settings, self.keep
        progress, *told = self.function(*given)
        count = len(seeds)
        return progress, *tf.nest.map_structure(lambda rows: rows.numpy()[:count], told)

    def compiled(self, progress: em.Progress) -> Self:
        """The same with the function of its shapes alone, which is called in half the time.

        A new one is compiled by a call for no epoch, its outcome dropped.
        """
        before = self.function.experimental_get_tracing_count()
        given = progress, self.batch, *self._order(()), self.settings, self.keep
        concrete = self.function.get_concrete_function(*given)
        if self.function.experimental_get_tracing_count() > before:
            concrete(*given)
        return self._replace(function=concrete)

    def _order(self, seeds: Sequence[Sequence[int]]) -> tuple[tf.Tensor, ...]:
        weight = self.batch.weight.numpy()
        orders = np.zeros(
            (self.most, -(-len(weight) // self.batch_size), self.batch_size), np.int32
        )
        for place, seed in zip(orders[: len(seeds)], seeds, strict=True):
            place[:] = em.shuffled(weight, self.batch_size, seed)
        steps = -(-np.count_nonzero(weight > 0) // self.batch_size)
        return tuple(tf.constant(each, tf.int32) for each in (orders, steps, len(seeds)))


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
) -> tuple[Epochs, em.Progress]:
    """The compiled epochs of these data, and `progress` as they take it.

    `padded_like`: as many rows as these are to share the compiled epochs with, this number or more;
    `first`: see `train`.
    """
    rows, inputs = data.x.shape
    dtype = np.float64 if rows < SMALL else np.float32
    shape = padded_shape(padded_like or rows, inputs)
    settings = tf.constant(_schedule(recipe, rows, first), dtype)
    keep = tuple(tf.constant(number) for number in recipe.keep)
    batch, most = padded(data, shape, dtype), EPOCHS_A_CALL if rows < SMALL else 1
    epochs = Epochs(_function(recipe), batch, recipe.batch_size, most, settings, keep)
    progress = starts.take_up(progress, recipe, inputs, shape[1], dtype)
    return epochs.compiled(progress), progress


def _schedule(recipe: Recipe, rows: int, first: int) -> Schedule:
    """The recipe's, with the numbers of minibatches that so many rows make."""
    steps = -(-rows // recipe.batch_size)
    total = recipe.schedule.total or float(recipe.epochs * steps)
    return recipe.schedule._replace(total=total, new_until=float(first + steps))


def _function(recipe: Recipe, fan_in: tuple[int, ...] = ()) -> Any:
    return em.epochs_function(
        Network(ACTIVATIONS[recipe.activation], recipe.likelihood, fan_in),
        recipe.module,
        recipe.form,
        recipe.exchanges,
    )


def shrink(epochs: Epochs, kept: shrinking.Kept, recipe: Recipe) -> tuple[Epochs, em.Progress]:
    """Epochs of the kept groups alone, compiled, and where they go on."""
    fan_in = tuple(layer.mean.shape[0] for layer in kept.progress.state.layers)
    x = tf.gather(epochs.batch.x, shrinking.columns(kept), axis=1)
    smaller = epochs._replace(
        function=_function(recipe, fan_in),
        batch=epochs.batch._replace(x=x),
        keep=tuple(tf.constant(len(groups)) for groups in kept.groups),
    )
    progress = shrinking.drop(kept)
    return smaller.compiled(progress), progress


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
    those of the iteration, or an equal part of those of some: compiling, evaluating and reporting
    are apart.
    """
    rows, inputs = data.x.shape
    steps = -(-rows // recipe.batch_size)
    if progress is None:
        progress = starts.start(recipe, inputs, seed)
    until = recipe.epochs if until is None else until
    done = _iterations_done(progress, recipe, steps, first, until)
    chosen = progress.prior.left if done and not recipe.share_incoming else ()
    epochs, progress = prepare(data, recipe, progress, padded_like, first)
    whole, kept, schedule = progress, None, _schedule(recipe, rows, first)
    if chosen:
        kept = _chosen_before(progress, recipe, chosen)
        epochs, progress = shrink(epochs, kept, recipe)
    history: list[dict[str, float]] = []
    best, odds, inflation = None, [], 1.0
    watched, ramped = held_out is not None or report is not None, schedule.total * schedule.ramp_end
    while done < until:
        began = time.perf_counter()
        left = math.ceil((ramped - float(progress.k)) / steps)  # iterations, until the ramp is over
        count = min(1 if watched else epochs.most, until - done, left if left > 0 else until)
        seeds = [(seed, number + first) for number in range(done, done + count)]
        progress, told, totals = epochs(progress, seeds)
        check(totals, steps, done)
        seconds = (time.perf_counter() - began) / count
        for number in range(count):
            active = [each[number] > 0 for each in (told[0][:, :inputs], *told[1:])]
            row = {
                "iteration": done + number + 1,
                "log_partition": float(totals.log_partition[number]) / steps,
                "noise": float(totals.variance[number]),
                "change": float(totals.change[number]),
                **{f"active_{n}": int(groups.sum()) for n, groups in enumerate(active)},
                "seconds": seconds,
            }
            history.append(row)
        done, row = done + count, history[-1]
        effective = float(progress.width * progress.state.count)  # Ne
        inflation = recipe.inflation or max(effective / steps, 1.0)
        whole, last = progress, [each[-1] for each in told]
        odds = [last[0][:inputs], *last[1:]]
        if kept is not None and (watched or done == until):
            seen = _asked(progress, recipe, epochs.keep)
            whole, seen = shrinking.put_back(kept, progress, seen)
            odds = [each.numpy() for each in seen.log_odds]
            odds[0] = odds[0][:inputs]
        if watched:
            posterior = _posterior(whole, odds, inflation, recipe)
            if held_out is not None:
                row["held_out"] = evaluate(posterior, held_out)
            if report is not None:
                report(row, posterior)
            if held_out is not None and done > schedule.ramp_end * recipe.epochs:
                if best is None or row["held_out"] > best[1]["held_out"]:
                    best = posterior, row
                elif patience is not None and row["iteration"] - best[1]["iteration"] >= patience:
                    break
        if kept is None and float(progress.k) >= ramped:
            samples = (recipe.epochs - done) * rows * recipe.form.passes
            stay = shrinking.consider(last, recipe.outputs, recipe.module, samples)
            if stay is not None:
                seen = _asked(progress, recipe, epochs.keep)
                kept = shrinking.Kept(stay, progress, seen)
                whole = shrinking.marked(whole, kept)
                epochs, progress = shrink(epochs, kept, recipe)
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
    groups = tuple(np.flatnonzero(left) for left in chosen)
    return shrinking.Kept(groups, progress, _asked(progress, recipe, keep))


def _asked(progress: em.Progress, recipe: Recipe, keep: Sequence[tf.Tensor]) -> PriorInfo:
    """What module B thinks, with `keep` groups to be left."""
    return recipe.module.step(progress.prior, em.messages(progress.state, progress.width), keep)[2]


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


def check(totals: em.Totals, steps: int, done: int) -> None:
    """Raise where a message stopped being finite, naming the minibatch, or a fit diverges.

    `done`: iterations before these.
    """
    told = zip(totals.failed, totals.log_partition / steps, strict=True)
    for number, (failed, log_z) in enumerate(told, start=done + 1):
        if failed < steps:
            raise EmtdampError(
                f"a message is no longer finite in iteration {number}, minibatch {failed + 1}; use "
                "a larger batch_size, inner_iters=1, damping of 0.5 and more, or a longer window"
            )
        if log_z < DIVERGED:
            raise EmtdampError(
                f"the fit diverges: log Z of a sample is {log_z:.3g} in iteration {number}; prune "
                "fewer inputs, or use the other form of update"
            )
