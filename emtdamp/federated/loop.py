"""The plain loop: server and clients in one process, the reference for every other engine."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.federated import server
from emtdamp.federated.client import Client
from emtdamp.federated.server import Info, Server
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays

Ask = Callable[[Client, Arrays], Arrays]


class Rows(NamedTuple):
    """Of a client: x (B, N) and y as `Federation` has it."""

    x: np.ndarray
    y: np.ndarray


def make_clients(settings: Federation, rows: Sequence[Rows]) -> list[Client]:
    """A client for each part, padded alike so that all share compiled epochs."""
    most = max((len(part.x) for part in rows), default=0)
    return [Client(settings, number, *part, like=most) for number, part in enumerate(rows)]


def ask_all(clients: Sequence[Client], message: Arrays, ask: Ask = Client.answer):
    """Each client's answer by its number, or the error that it ended with."""
    answers: dict[int, Arrays | Exception] = {}
    for client in clients:
        try:
            answers[client.number] = ask(client, message)
        except (EmtdampError, OSError) as error:
            answers[client.number] = error
    return answers


def run(
    settings: Federation,
    clients: Sequence[Client],
    report: Callable[[Server, Info], None] | None = None,
    state: Server | None = None,
    ask: Ask = Client.answer,
    until: int | None = None,
) -> Server:
    """The state after `until` rounds, by default all, from `state` on, by default from the start.

    `report` gets the state and the Info of each round as it ends; `server.save` there is all that
    a server needs to go on after it was stopped. `ask`: how a client is asked; one that raises
    EmtdampError or OSError (a lost connection, a time that ran out) has no say in the round.
    Raises UsageError for more rounds than the settings have: their gain has fallen to 0 by then.
    """
    until = settings.rounds if until is None else until
    if not 0 <= until <= settings.rounds:
        raise UsageError(f"until={until}; give a number of rounds from 0 to {settings.rounds}")
    if state is None:
        state = server.begin(settings, [client.summary() for client in clients])
    while state.round < until:
        answers = ask_all(clients, server.message(settings, state), ask)
        state, info = server.server_round(settings, state, answers)
        if report is not None:
            report(state, info)
    return state
