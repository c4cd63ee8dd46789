"""The server: it averages Gaussians, does the M-step, and drops groups for all clients alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.federated import wire
from emtdamp.federated.aggregation import geometric_average
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays, Refused, Weights
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import ramp
from emtdamp.network import Units
from emtdamp.posterior import Posterior
from emtdamp.training import starts
from emtdamp.training.recipe import SMALL

SHARES = {True: 0.5, False: 0.1}  # of a column's range, as the estimators' `scaling`


class Server(NamedTuple):
    """All that the server knows; arrays float64. Layers hold the groups that are left alone."""

    round: int  # rounds done
    rows: int  # of all clients
    clients: int
    layers: tuple[Weights, ...]
    active: tuple[np.ndarray, ...]  # numbers of the inputs and neurons that are left
    count: float  # minibatches in the curvature
    noise: float
    inputs: int  # columns of x as it comes
    columns: np.ndarray  # those that vary, (I,), with their
    center: np.ndarray
    scale: np.ndarray
    y_center: np.ndarray
    y_scale: np.ndarray


class Info(NamedTuple):
    """Of a round: clients heard, those refused and why, mean log Z of a row before it was learnt,
    largest change of a mean, groups left, bytes from and to all clients."""

    heard: tuple[int, ...]
    refused: dict[int, str]
    log_partition: float
    change: float
    active: tuple[int, ...]
    bytes_up: int
    bytes_down: int


def begin(settings: Federation, summaries: Sequence[Arrays]) -> Server:
    """Scales from `Client.summary`, and the starting posterior.

    Raises UsageError where there is no row, or clients have different columns.
    """
    if not summaries or not any(int(s["rows"]) for s in summaries):
        raise UsageError("no client has a row; give at least one")
    shapes = {s["x_mean"].shape for s in summaries}
    if len(shapes) > 1:
        widths = ", ".join(str(shape[0]) for shape in sorted(shapes))
        raise UsageError(f"clients have {widths} columns; give all of them the same")
    rows = sum(int(s["rows"]) for s in summaries)
    center, sd, extent = _pooled(summaries, "x")
    live = extent > 0
    if not live.any():
        live[:] = True
    scale = np.maximum(sd, SHARES[settings.classes] * extent)
    scale = np.where(scale > 0, scale, 1.0)
    y_center, y_scale = np.zeros(1), np.ones(1)
    if not settings.classes:
        y_center, y_sd, _ = _pooled(summaries, "y")
        y_scale = np.where(y_sd > 0, y_sd, 1.0)
    inputs = int(live.sum())
    recipe = settings.recipe(rows, len(summaries), inputs)
    start = starts.start(recipe, inputs, settings.seed)
    count = float(start.state.count)
    return Server(
        0,
        rows,
        len(summaries),
        tuple(Weights(layer.mean, layer.precision / count) for layer in start.state.layers),
        tuple(np.arange(n) for n in (inputs, *recipe.hidden)),
        count,
        float(start.state.noise),
        len(live),
        np.flatnonzero(live),
        center[live],
        scale[live],
        y_center,
        y_scale,
    )


def _pooled(summaries: Sequence[Arrays], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and range of the columns of all clients' rows."""
    counts = np.array([int(s["rows"]) for s in summaries], float)[:, None]
    means = np.array([s[f"{name}_mean"] for s in summaries])
    center = (counts * means).sum(0) / counts.sum()
    within = np.sum([s[f"{name}_scatter"] for s in summaries], axis=0)
    sd = np.sqrt((within + (counts * (means - center) ** 2).sum(0)) / counts.sum())
    low = np.min([s[f"{name}_low"] for s in summaries], axis=0)
    high = np.max([s[f"{name}_high"] for s in summaries], axis=0)
    return center, sd, high - low


def message(settings: Federation, state: Server) -> Arrays:
    """What the clients get, all the same."""
    return {
        "round": np.int32(state.round),
        "rows": np.int64(state.rows),
        "clients": np.int32(state.clients),
        "count": np.float64(state.count),
        "noise": np.float64(state.noise),
        "columns": state.columns.astype(np.uint32),
        "center": state.center.astype(np.float32),
        "scale": state.scale.astype(np.float32),
        "y_center": state.y_center,
        "y_scale": state.y_scale,
        **{f"active.{n}": groups.astype(np.uint32) for n, groups in enumerate(state.active)},
    } | wire.pack(state.layers, settings.half)


def evidence(settings: Federation, state: Server) -> float:
    """Ne, the minibatches behind the posterior."""
    recipe = settings.recipe(state.rows, state.clients, len(state.columns))
    return settings.evidence(recipe, state.rows, state.round)


def server_round(
    settings: Federation, state: Server, answers: Mapping[int, Arrays | Exception]
) -> tuple[Server, Info]:
    """The state after a round with these answers; a client that failed has its error instead.

    Answers that `check` refuses have no say, nor are they needed: the average is over the rest, and
    where nobody is left the posterior stays as it was.
    """
    recipe = settings.recipe(state.rows, state.clients, len(state.columns))
    heard, refused = {}, {}
    for client, answer in sorted(answers.items()):
        try:
            if isinstance(answer, Exception):
                raise Refused(f"client {client}: {answer or type(answer).__name__}")
            check(settings, state, client, answer)
            heard[client] = answer
        except Refused as error:
            refused[client] = str(error)
    up = sum(wire.size(answer) for answer in answers.values() if not isinstance(answer, Exception))
    down = len(answers) * wire.size(message(settings, state))
    shares = [int(answer["rows"]) for answer in heard.values()]
    before, state = state, state._replace(round=state.round + 1)
    info = Info(tuple(heard), refused, 0.0, 0.0, tuple(map(len, state.active)), up, down)
    if not sum(shares):
        return state, info
    mean = lambda name: float(np.average([float(a[name]) for a in heard.values()], weights=shares))
    state = _average(settings, state, [wire.unpack(a) for a in heard.values()], shares)
    state = state._replace(count=mean("count"))
    if recipe.schedule.learn_noise:
        state = state._replace(noise=_noise(settings, state, recipe, heard.values()))
    state = _drop(settings, state, recipe)
    change = 0.0
    if all(np.array_equal(a, b) for a, b in zip(before.active, state.active, strict=True)):
        pairs = zip(before.layers, state.layers, strict=True)
        change = max(float(np.abs(new.mean - old.mean).max()) for old, new in pairs)
    return state, info._replace(
        log_partition=mean("log_partition"), change=change, active=tuple(map(len, state.active))
    )


def _average(
    settings: Federation,
    state: Server,
    answers: Sequence[tuple[Weights, ...]],
    shares: Sequence[int],
) -> Server:
    """The geometric average of posteriors N(mean, 1/(Ne curvature + 1/slab))."""
    recipe = settings.recipe(state.rows, state.clients, len(state.columns))
    ne = settings.evidence(recipe, state.rows, state.round)
    layers = []
    for number, slab in enumerate(recipe.slabs(len(state.columns))):
        posteriors = []
        for answer, rows in zip(answers, shares, strict=True):
            mean, curvature = answer[number]
            counted = ne if settings.rule == "counted" else ne * rows / state.rows
            precision = counted * curvature + 1 / slab
            posteriors.append(Gaussian(precision, precision * mean))
        found = geometric_average(posteriors, shares)
        curvature = np.maximum(found.precision - 1 / slab, 0.0) / ne
        layers.append(Weights(found.shift / found.precision, curvature))
    return state._replace(layers=tuple(layers))


def _noise(settings: Federation, state: Server, recipe, answers) -> float:
    """EM for v, as `em.learnt_noise` has it, from the clients' sums."""
    total = sum(float(a["noise"]) for a in answers)
    rows = sum(float(a["noise_rows"]) for a in answers)
    window = min(recipe.schedule.noise_window, state.round * settings.passes)
    share = min(settings.passes / window, 1.0)
    return max(state.noise + share * (total / rows - state.noise), recipe.schedule.noise_least)


def _drop(settings: Federation, state: Server, recipe) -> Server:
    """The groups with the highest evidence stay, as many as the ramp says; the others are gone."""
    if not settings.sparsity:
        return state
    schedule, f = recipe.schedule, state.round / settings.rounds
    along = (f - schedule.ramp_start) / (schedule.ramp_end - schedule.ramp_start)
    sizes = (len(state.columns), *recipe.hidden)
    keep = [ramp(n, k, along) for n, k in zip(sizes, recipe.keep, strict=True)]
    slabs = recipe.slabs(len(state.columns))
    ne, sent = settings.evidence(recipe, state.rows, state.round), []
    for (mean, curvature), slab in zip(state.layers, slabs, strict=True):
        sent.append(
            Gaussian(*map(tf.constant, (ne * curvature, mean * (ne * curvature + 1 / slab))))
        )
    module = recipe.module
    prior = module.init(slabs, [len(groups) for groups in state.active])
    left = [np.flatnonzero(odds > 0) for odds in module.step(prior, sent, keep)[2].log_odds]
    active = tuple(groups[kept] for groups, kept in zip(state.active, left, strict=True))
    layers = []
    ends = [*left[1:], np.arange(recipe.outputs)]
    for weights, rows, columns in zip(state.layers, left, ends, strict=True):
        place = np.ix_(np.append(rows, len(weights.mean) - 1), columns)
        layers.append(Weights(weights.mean[place], weights.curvature[place]))
    return state._replace(active=active, layers=tuple(layers))


def check(settings: Federation, state: Server, client: int, answer: Arrays) -> None:
    """Raise Refused for an answer that the posterior must not be averaged with."""

    def refuse(why: str) -> None:
        raise Refused(f"client {client}: {why}")

    expected = wire.pack(state.layers, settings.half)
    scalars = ("client", "round", "rows", "count", "noise", "noise_rows", "log_partition")
    if missing := sorted({*expected, *scalars} - {*answer}):
        refuse(f"{', '.join(missing)} is missing")
    if int(answer["round"]) != state.round:
        refuse(f"answers round {int(answer['round']) + 1}, this is round {state.round + 1}")
    if not 0 <= int(answer["rows"]) <= state.rows:
        refuse(f"says it has {int(answer['rows'])} rows; all clients together have {state.rows}")
    for name, array in expected.items():
        got = np.asarray(answer[name])
        if got.shape != array.shape or got.dtype != array.dtype:
            refuse(f"{name} is {got.dtype}{got.shape}, not {array.dtype}{array.shape}")
    for name in {*expected, *scalars}:
        if not np.isfinite(answer[name]).all():
            refuse(f"{name} is not finite")
    if int(answer["rows"]) == 0:
        return
    recipe = settings.recipe(state.rows, state.clients, len(state.columns))
    steps = settings.passes * -(-int(answer["rows"]) // settings.batch_size)
    found = wire.unpack(answer)
    for number, (old, new) in enumerate(zip(state.layers, found, strict=True)):
        fan_in = len(state.columns) if number == 0 else recipe.hidden[number - 1]
        reach = steps * recipe.schedule.clip * (2 / (fan_in + 1)) ** 0.5 + 1e-2
        moved = float(np.abs(new.mean - old.mean).max())
        if moved > 1.01 * reach:
            refuse(f"a mean of layer {number + 1} moved by {moved:.3g}; {reach:.3g} is possible")
        if new.curvature.min() < 0:
            refuse(f"layer {number + 1} has a negative precision, {new.curvature.min():.3g}")
        ratio = float(new.curvature.mean() / old.curvature.mean())
        if not 1 / MOST_CHANGE < ratio < MOST_CHANGE:
            refuse(f"the precision of layer {number + 1} changed by a factor of {ratio:.3g}")


MOST_CHANGE = 1e3  # of a layer's mean precision in a round


def posterior(settings: Federation, state: Server) -> Posterior:
    """The posterior of the network, for x and y as they came to the clients."""
    recipe = settings.recipe(state.rows, state.clients, len(state.columns))
    ne = settings.evidence(recipe, state.rows, state.round)
    sizes = (len(state.columns), *recipe.hidden, recipe.outputs)
    ends = [*state.active[1:], np.arange(recipe.outputs)]
    dtype = np.float64 if state.rows < SMALL else np.float32
    means, variances, odds = [], [], []
    for number, (weights, slab) in enumerate(
        zip(state.layers, recipe.slabs(sizes[0]), strict=True)
    ):
        shape = (sizes[number] + 1, sizes[number + 1])
        place = np.ix_(np.append(state.active[number], sizes[number]), ends[number])
        mean, var = np.zeros(shape, dtype), np.zeros(shape, dtype)
        mean[place] = weights.mean
        var[place] = 1 / (ne * weights.curvature + 1 / slab)
        means.append(mean)
        variances.append(var)
        odds.append(np.full(sizes[number], -np.inf))
        odds[-1][state.active[number]] = np.inf
    inflation = recipe.inflation or max(ne / settings.minibatches(state.rows), 1.0)
    center, scale = np.zeros(state.inputs), np.ones(state.inputs)
    center[state.columns], scale[state.columns] = state.center, state.scale
    return Posterior(
        tuple(means),
        tuple(variances),
        tuple(o > 0 for o in odds),
        tuple(odds),
        noise=state.noise,
        activation=recipe.activation,
        likelihood=recipe.likelihood,
        inputs=state.inputs,
        kept_inputs=state.columns,
        x_units=Units(center, scale),
        y_units=Units() if settings.classes else Units(state.y_center, state.y_scale),
        inflation=inflation,
    )
