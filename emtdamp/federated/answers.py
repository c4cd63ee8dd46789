"""Which answers of clients the server does not use."""

from typing import TYPE_CHECKING

import numpy as np

from emtdamp.federated import wire
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays, Refused

if TYPE_CHECKING:
    from emtdamp.federated.server import Server

MOST_CHANGE = 1e3  # of the mean precision of a layer, in a round; and mean square of y's scales
MOST_SHARP = 100.0  # mean precision that a row gives a layer, times v: its inputs are of order 1
WHOLE = ("client", "round", "rows")
NUMBERS = (*WHOLE, "count", "noise", "noise_rows", "log_partition")


def check(settings: Federation, state: "Server", client: int, answer: Arrays) -> None:
    """Raise Refused for an answer that the posterior must not be averaged with."""

    def refuse(why: str) -> None:
        raise Refused(f"client {client}: {why}")

    expected = wire.pack(state.layers, settings.half)
    if missing := sorted({*expected, *NUMBERS} - {*answer}):
        refuse(f"{', '.join(missing)} is missing")
    if more := sorted({*answer} - {*expected, *NUMBERS}):
        refuse(f"{', '.join(more)} was not asked for")
    for name in NUMBERS:
        got = np.asarray(answer[name])
        if got.shape != () or got.dtype.kind not in ("iu" if name in WHOLE else "iuf"):
            refuse(f"{name} is {got.dtype}{got.shape}, not a number")
    if int(answer["client"]) != client:
        refuse(f"answers as client {int(answer['client'])}")
    if int(answer["round"]) != state.round:
        refuse(f"answers round {int(answer['round']) + 1}, this is round {state.round + 1}")
    held = int(state.held[client]) if client < len(state.held) else 0
    if int(answer["rows"]) != held:
        refuse(f"says it has {int(answer['rows'])} rows; when it began it had {held}")
    for name, array in expected.items():
        got = np.asarray(answer[name])
        if got.shape != array.shape or got.dtype != array.dtype:
            refuse(f"{name} is {got.dtype}{got.shape}, not {array.dtype}{array.shape}")
    for name in (*expected, *NUMBERS):
        if not np.isfinite(answer[name]).all():
            refuse(f"{name} is not finite")
    rows, noise = int(answer["rows"]), float(answer["noise"])
    # float32 sums of weights: of a client with a million rows they are tens of rows off
    if abs(float(answer["noise_rows"]) - rows * settings.passes) > 0.5 + 1e-3 * rows:
        refuse(f"its noise is of {float(answer['noise_rows']):g} rows, it has {rows}")
    if not 0 <= noise <= MOST_CHANGE * state.rows * settings.passes * (rows > 0):
        refuse(f"its squared errors sum up to {noise:.3g}")
    if rows == 0:
        return
    recipe = settings.recipe(state.rows, state.owners, len(state.columns))
    steps = settings.passes * -(-rows // settings.batch_size)
    if not 0.99 <= float(answer["count"]) <= 1.01 * (state.minibatches + steps):
        refuse(f"counts {float(answer['count']):.3g} minibatches, after {state.minibatches:.3g}")
    found = wire.unpack(answer)
    for number, (old, new) in enumerate(zip(state.layers, found, strict=True)):
        fan_in = len(state.columns) if number == 0 else recipe.hidden[number - 1]
        reach = steps * recipe.schedule.clip * (2 / (fan_in + 1)) ** 0.5 + 1e-2
        moved = float(np.abs(new.mean - old.mean).max())
        if moved > 1.01 * reach:
            refuse(f"a mean of layer {number + 1} moved by {moved:.3g}; {reach:.3g} is possible")
        if new.curvature.min() < 0:
            refuse(f"layer {number + 1} has a negative precision, {new.curvature.min():.3g}")
        # the start's precision says nothing of the data, nor does the last v of the next one's
        sharp, before = float(new.curvature.mean()), float(old.curvature.mean())
        most = max(MOST_CHANGE * before, MOST_SHARP * settings.batch_size / state.noise)
        if not before / MOST_CHANGE < sharp < most:
            ratio = sharp / before
            refuse(f"the precision of layer {number + 1} changed by a factor of {ratio:.3g}")
