"""The server: it averages Gaussians, does the M-step, and drops groups for all clients alike."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.errors import DAMAGED, EmtdampError, UsageError
from emtdamp.federated import wire
from emtdamp.federated.aggregation import geometric_average
from emtdamp.federated.answers import check
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays, Refused, Weights
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import ramp
from emtdamp.network import Units
from emtdamp.posterior import Posterior
from emtdamp.scaling import of_moments
from emtdamp.training import checkpoint, starts
from emtdamp.training.recipe import SMALL, Recipe

SHARES = {True: 0.5, False: 0.1}  # of a column's range, as the estimators' `scaling`
LISTS = ("layers", "moved", "active")  # of the state, an entry a layer


class Server(NamedTuple):
    """All that the server knows; arrays float64. Layers hold the groups that are left alone."""

    round: int  # rounds done
    held: np.ndarray  # rows of each client, (K,)
    layers: tuple[Weights, ...]
    moved: tuple[np.ndarray, ...]  # how far the means of each layer went in the last round
    active: tuple[np.ndarray, ...]  # numbers of the inputs and neurons that are left
    minibatches: float  # in the curvature
    noise: float
    inputs: int  # columns of x as it comes
    columns: np.ndarray  # those that vary, (I,), with their
    center: np.ndarray
    scale: np.ndarray
    y_center: np.ndarray
    y_scale: np.ndarray
    settings: str  # of the federation, as JSON

    @property
    def rows(self) -> int:
        """Of all clients."""
        return int(self.held.sum())

    @property
    def clients(self) -> int:
        """With rows or without."""
        return len(self.held)

    @property
    def owners(self) -> int:
        """Clients with rows: how far a round goes is by their number."""
        return int(np.count_nonzero(self.held))


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

    Raises UsageError where there is no row, sums are not finite, or clients have different columns
    or are not numbered from 0.
    """
    if not summaries or not any(int(s["rows"]) for s in summaries):
        raise UsageError("no client has a row; give at least one")
    for number, summary in enumerate(summaries):
        ends = () if int(summary["rows"]) else ("_low", "_high")  # inf where there is no row
        sums = [array for name, array in summary.items() if not name.endswith(ends)]
        if not all(np.isfinite(array).all() for array in sums):
            raise UsageError(f"the sums of client {number} are not finite")
    numbers = sorted(int(s["client"]) for s in summaries)
    if numbers != [*range(len(numbers))]:
        raise UsageError(f"clients are {numbers}; number them from 0 to {len(numbers) - 1}")
    shapes = {s["x_mean"].shape for s in summaries}
    if len(shapes) > 1:
        widths = ", ".join(str(shape[0]) for shape in sorted(shapes))
        raise UsageError(f"clients have {widths} columns; give all of them the same")
    rows = sum(int(s["rows"]) for s in summaries)
    scale = of_moments(*_pooled(summaries, "x"), SHARES[settings.classes])
    y_center, y_scale = np.zeros(1), np.ones(1)
    if not settings.classes:
        y_center, y_sd, _ = _pooled(summaries, "y")
        y_scale = np.where(y_sd > 0, y_sd, 1.0)
    inputs = int(scale.live.sum())
    owners = sum(int(s["rows"]) > 0 for s in summaries)
    recipe = settings.recipe(rows, owners, inputs)
    start = starts.start(recipe, inputs, settings.seed)
    count = float(start.state.count)
    return Server(
        0,
        np.array([int(s["rows"]) for s in sorted(summaries, key=lambda s: int(s["client"]))]),
        tuple(Weights(layer.mean, layer.precision / count) for layer in start.state.layers),
        tuple(np.zeros_like(layer.mean) for layer in start.state.layers),
        tuple(np.arange(n) for n in (inputs, *recipe.hidden)),
        count,
        float(start.state.noise),
        len(scale.live),
        np.flatnonzero(scale.live),
        scale.center[scale.live],
        scale.scale[scale.live],
        y_center,
        y_scale,
        _written(settings),
    )


def _written(settings: Federation) -> str:
    return json.dumps(asdict(settings))


def _pooled(summaries: Sequence[Arrays], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation and range of the columns of all clients' rows."""
    rows = np.array([int(s["rows"]) for s in summaries], float)[:, None]
    means = np.array([s[f"{name}_mean"] for s in summaries])
    center = (rows * means).sum(0) / rows.sum()
    within = np.sum([s[f"{name}_scatter"] for s in summaries], axis=0)
    sd = np.sqrt((within + (rows * (means - center) ** 2).sum(0)) / rows.sum())
    low = np.min([s[f"{name}_low"] for s in summaries], axis=0)
    high = np.max([s[f"{name}_high"] for s in summaries], axis=0)
    return center, sd, high - low


def message(settings: Federation, state: Server) -> Arrays:
    """What the clients get, all the same."""
    return {
        "round": np.asarray(state.round, np.int32),
        "rows": np.asarray(state.rows, np.int64),
        "clients": np.asarray(state.owners, np.int32),
        "count": np.asarray(state.minibatches),
        "noise": np.asarray(state.noise),
        "columns": state.columns.astype(np.uint32),
        "center": _short(state.center, state.scale),
        "scale": _short(state.scale, state.scale),
        "y_center": state.y_center,
        "y_scale": state.y_scale,
        **{f"active.{n}": groups.astype(np.uint32) for n, groups in enumerate(state.active)},
    } | wire.pack(state.layers, settings.half)


def _short(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """As float32, but not where a column is so far from 0 that its rows would move by that."""
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    return short if (np.abs(short - values) <= 1e-4 * scale).all() else values


def effective_minibatches(settings: Federation, state: Server) -> float:
    """Ne, the minibatches behind the posterior."""
    recipe = settings.recipe(state.rows, state.owners, len(state.columns))
    return settings.effective_minibatches(recipe, state.rows, state.owners, state.round)


def server_round(
    settings: Federation, state: Server, answers: Mapping[int, Arrays | Exception]
) -> tuple[Server, Info]:
    """The state after a round with these answers; a client that failed has its error instead.

    Answers that `check` refuses have no say, nor are they needed: the average is over the rest, and
    where nobody is left the posterior stays as it was.
    """
    recipe = settings.recipe(state.rows, state.owners, len(state.columns))
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
        # Ne goes by rounds, but nothing was seen in this one
        share = effective_minibatches(settings, before) / effective_minibatches(settings, state)
        layers = (Weights(mean, share * curvature) for mean, curvature in state.layers)
        return state._replace(layers=tuple(layers)), info

    def mean(name: str) -> float:
        return float(np.average([float(a[name]) for a in heard.values()], weights=shares))

    state = _average(settings, state, [wire.unpack(a) for a in heard.values()], shares)
    state = _go_on(settings, before, state, shares)
    state = state._replace(minibatches=mean("count"))
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
    recipe = settings.recipe(state.rows, state.owners, len(state.columns))
    ne = settings.effective_minibatches(recipe, state.rows, state.owners, state.round)
    layers = []
    for number, slab in enumerate(recipe.slabs(len(state.columns))):
        posteriors = []
        for answer in answers:
            mean, curvature = answer[number]
            precision = ne * curvature + 1 / slab
            posteriors.append(Gaussian(precision, precision * mean))
        found = geometric_average(posteriors, shares)
        curvature = np.maximum(found.precision - 1 / slab, 0.0) / ne
        layers.append(Weights(found.shift / found.precision, curvature))
    return state._replace(layers=tuple(layers))


def _go_on(settings: Federation, before: Server, state: Server, shares: Sequence[int]) -> Server:
    """The means go the average's way, and a part of the last round's way again.

    Heavy-ball momentum over rounds, as in federated averaging (Hsu et al. 2019). Where rounds move
    nothing any more it has died out: it changes how fast the fixed point comes, not which it is.
    """
    again = settings.momentum(state.owners, np.array(shares) / sum(shares), before.round)
    pairs = zip(before.layers, state.layers, before.moved, strict=True)
    moved = tuple(new.mean - old.mean + again * last for old, new, last in pairs)
    layers = tuple(
        Weights(old.mean + step, new.curvature)
        for old, new, step in zip(before.layers, state.layers, moved, strict=True)
    )
    return state._replace(layers=layers, moved=moved)


def _noise(
    settings: Federation, state: Server, recipe: Recipe, answers: Collection[Arrays]
) -> float:
    """EM for v, as `em.learnt_noise` has it, from the clients' sums."""
    total = sum(float(a["noise"]) for a in answers)
    rows = sum(float(a["noise_rows"]) for a in answers)
    window = min(recipe.schedule.noise_window, state.round * settings.passes)
    share = min(settings.passes / window, 1.0)
    return max(state.noise + share * (total / rows - state.noise), recipe.schedule.noise_least)


def _drop(settings: Federation, state: Server, recipe: Recipe) -> Server:
    """The groups with the highest evidence stay, as many as the ramp says; the others are gone."""
    if not settings.sparsity:
        return state
    schedule, f = recipe.schedule, state.round / settings.rounds
    along = (f - schedule.ramp_start) / (schedule.ramp_end - schedule.ramp_start)
    sizes = (len(state.columns), *recipe.hidden)
    keep = [ramp(n, k, along) for n, k in zip(sizes, recipe.keep, strict=True)]
    slabs = recipe.slabs(len(state.columns))
    ne, sent = settings.effective_minibatches(recipe, state.rows, state.owners, state.round), []
    for (mean, curvature), slab in zip(state.layers, slabs, strict=True):
        precision = ne * curvature
        sent.append(Gaussian(tf.constant(precision), tf.constant(mean * (precision + 1 / slab))))
    module = recipe.module
    prior = module.init(slabs, [len(groups) for groups in state.active])
    left = [np.flatnonzero(odds > 0) for odds in module.step(prior, sent, keep)[2].log_odds]
    active = tuple(groups[kept] for groups, kept in zip(state.active, left, strict=True))
    layers, moved = [], []
    ends = [*left[1:], np.arange(recipe.outputs)]
    for weights, step, rows, columns in zip(state.layers, state.moved, left, ends, strict=True):
        place = np.ix_(np.append(rows, len(step) - 1), columns)
        layers.append(Weights(weights.mean[place], weights.curvature[place]))
        moved.append(step[place])
    return state._replace(active=active, layers=tuple(layers), moved=tuple(moved))


def save(state: Server, path: str | Path) -> Path:
    """Write it to `path`, whole or not at all; EmtdampError where that cannot be."""
    arrays = {
        name: np.asarray(value) for name, value in state._asdict().items() if name not in LISTS
    }
    for number, weights in enumerate(state.layers):
        arrays |= {f"{name}.{number}": value for name, value in weights._asdict().items()}
        arrays[f"moved.{number}"] = state.moved[number]
        arrays[f"active.{number}"] = state.active[number]
    try:
        return checkpoint.write(arrays, path)
    except OSError as error:
        raise EmtdampError(f"{path} cannot be written: {error.strerror}") from error


def load(settings: Federation, path: str | Path) -> Server:
    """Read what `save` wrote; `loop.run` goes on from it as if nothing had come between.

    Raises UsageError for other files and other networks, FileNotFoundError for none, EmtdampError
    where it cannot be read.
    """
    try:
        with Path(path).open("rb") as raw:
            arrays = dict(np.load(raw, allow_pickle=False))
        layers = wire.unpack(arrays)
        moved, active = (
            tuple(arrays[f"{name}.{number}"] for number in range(len(layers)))
            for name in ("moved", "active")
        )
        others = {name: arrays[name] for name in Server._fields if name not in LISTS}
        others |= {name: int(others[name]) for name in ("round", "inputs")}
        others |= {name: float(others[name]) for name in ("minibatches", "noise")}
        others["settings"] = str(others["settings"])
        then, now = json.loads(others["settings"]), json.loads(_written(settings))
        differ = [f"{name}={then.get(name)}" for name in now if then.get(name) != now[name]]
        found = Server(layers=layers, moved=moved, active=active, **others)
        if not differ:
            _check_arrays(settings, found)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EmtdampError(f"{path} cannot be read: {error.strerror}") from error
    except DAMAGED as error:
        raise UsageError(f"{path} is no file that server.save wrote: {error}") from error
    if differ:
        raise UsageError(f"{path} is of a federation with {', '.join(differ)}; give the same")
    return found


def _check_arrays(settings: Federation, state: Server) -> None:
    """Raise ValueError where the arrays are no state of this federation."""
    ends = [len(groups) for groups in state.active] + [settings.outputs]
    shapes = [(above + 1, below) for above, below in pairwise(ends)]
    for name, arrays in (
        ("mean", [layer.mean for layer in state.layers]),
        ("curvature", [layer.curvature for layer in state.layers]),
        ("moved", state.moved),
    ):
        if [array.shape for array in arrays] != shapes:
            raise ValueError(f"{name} has shapes {[array.shape for array in arrays]}, not {shapes}")
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError(f"{name} is not finite")


def posterior(settings: Federation, state: Server) -> Posterior:
    """The posterior of the network, for x and y as they came to the clients."""
    recipe = settings.recipe(state.rows, state.owners, len(state.columns))
    ne = settings.effective_minibatches(recipe, state.rows, state.owners, state.round)
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
