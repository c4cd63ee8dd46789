"""Which answers of clients the server does not use."""

from typing import TYPE_CHECKING

import numpy as np

from emtdamp.federated import wire
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays, Refused

if TYPE_CHECKING:
    from emtdamp.federated.server import Server

MOST_CHANGE = 1e3  # of the mean precision of a layer, in a round


def check(settings: Federation, state: "Server", client: int, answer: Arrays) -> None:
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
