"""The two ends of a federation as a Flower app, for one process or for several machines.

`loop.run` is the reference: the same `Client` and the same functions of `server`, joined here by
Flower's messages (Beutel et al. 2020). A query brings the clients' summaries, then each round is a
train message to every node and its answer. The folder `flower` beside this file is what
`flwr run` takes; it names `server` and `client` below.
"""

import logging
import os
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.federated import server as ends
from emtdamp.federated.client import Client
from emtdamp.federated.server import Info, Server
from emtdamp.federated.settings import Federation
from emtdamp.federated.wire import Arrays

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read at import: nothing is sent home
try:
    from flwr.app import (
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Message,
        MessageType,
        MetricRecord,
        RecordDict,
    )
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import Strategy
except ImportError as error:
    raise UsageError(
        f"Flower is needed for this ({error}); install it: pip install 'emtdamp[federated]'"
    ) from error

LOG = logging.getLogger("flwr.emtdamp")  # where Flower's own lines go
NAME = "arrays"
Report = Callable[[Server, Info], None]
# Of the app, beside the settings: clients to wait for, seconds that a round waits for answers,
# the server's folder, and the files of nodes that are not told theirs.
APP = {"clients": 0, "patience": 3600.0, "out": "", "rows": ""}


def pack(arrays: Arrays) -> RecordDict:
    """Arrays as a message's content."""
    return RecordDict(
        {NAME: ArrayRecord({name: Array(np.asarray(a)) for name, a in arrays.items()})}
    )


def unpack(content: RecordDict) -> Arrays:
    """What `pack` packed. Raises UsageError where it is not there, or no array."""
    try:
        return {name: array.numpy() for name, array in content.array_records[NAME].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the message has no {NAME} to be read: {error}") from error


def settings_of(config: Any) -> Federation:
    """Settings of a run's configuration: names of `Federation` with hyphens, hidden as "100,50".

    Raises UsageError for names and values that `Federation` does not take.

    >>> settings_of({"hidden": "100,50", "batch-size": 20}).hidden
    (100, 50)
    """
    given = {name.replace("-", "_"): value for name, value in config.items() if name not in APP}
    known = {field.name: field.type for field in fields(Federation)}
    if unknown := sorted({*given} - {*known}):
        raise UsageError(f"{', '.join(unknown)} is no setting; known are {', '.join(known)}")
    if "hidden" in given:
        try:
            given["hidden"] = tuple(int(n) for n in str(given["hidden"]).split(","))
        except ValueError:
            raise UsageError(
                f"hidden={given['hidden']!r}; give numbers of neurons, as in 100,50"
            ) from None
    return Federation(**given)


def client_app(made: Callable[[Context], Client]) -> ClientApp:
    """The app of the clients; `made` gives the one of a node."""
    app = ClientApp()

    @app.query()
    def summary(message: Message, context: Context) -> Message:
        return Message(pack(made(context).summary()), reply_to=message)

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        return Message(pack(made(context).answer(unpack(message.content))), reply_to=message)

    return app


def of_node(context: Context) -> Client:
    """The client of a machine: `--node-config 'client=0 rows="rows.npz"'`, a file of x and y.

    A simulated node has a `partition-id` instead, and its file is the run's `rows` with that number
    for {client}. Raises UsageError where number or file are missing, or no such file is there.
    """
    given = context.node_config
    number = given.get("client", given.get("partition-id"))
    path = str(given.get("rows") or context.run_config.get("rows", ""))
    path = path.replace("{client}", str(number))
    if not isinstance(number, int) or isinstance(number, bool) or number < 0 or not path:
        raise UsageError(
            f"this node has {dict(given)}; start it with --node-config 'client=0 rows=\"FILE.npz\"'"
            ", or simulate it with --run-config 'rows=\"FOLDER/rows{client}.npz\"'"
        )
    try:
        with Path(path).open("rb") as raw:
            file = dict(np.load(raw, allow_pickle=False))
        x, y = file["x"], file["y"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, zlib.error) as error:
        raise UsageError(f"rows {path!r} cannot be read, {error}; give an .npz of x, y") from error
    return Client(settings_of(context.run_config), number, x, y)


class Averaging(Strategy):
    """Flower's strategy: every node trains, the server averages what they found.

    `numbers`: the client of each node that is known by now. `report` sees the state and the `Info`
    of each round; `state` is always that of the last. Nodes that do not answer in time, fail, or
    answer what `answers.check` refuses are logged by client and reason, and asked again next round.
    """

    def __init__(
        self,
        settings: Federation,
        state: Server,
        numbers: dict[int, int],
        report: Report | None = None,
    ):
        self.settings, self.state, self.numbers = settings, state, dict(numbers)
        self.report = report
        self._asked: list[Message] = []

    def message(self) -> ArrayRecord:
        """What the clients get next."""
        return pack(ends.message(self.settings, self.state)).array_records[NAME]

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        content, group = RecordDict({NAME: arrays}), str(server_round)
        self._asked = [
            Message(content, node, MessageType.TRAIN, group_id=group)
            for node in sorted(grid.get_node_ids())
        ]
        return self._asked

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        answers = self._answers(_by_node(self._asked, replies))
        self.state, info = ends.server_round(self.settings, self.state, answers)
        for reason in info.refused.values():
            LOG.warning("round %d goes on without %s", self.state.round, reason)
        if self.report is not None:
            self.report(self.state, info)
        scores = {
            "clients": len(info.heard),
            "log-partition": info.log_partition,
            "bytes": info.bytes_up + info.bytes_down,
        }
        return self.message(), MetricRecord(scores)

    def _answers(self, given: dict[int, Arrays | Exception]) -> dict[int, Arrays | Exception]:
        """By client. Who is not one of those at the start, or answers twice, is told in the log."""
        answers: dict[int, Arrays | Exception] = {}
        for node, answer in given.items():
            number = self.numbers.get(node)
            if number is None and isinstance(answer, dict):
                number = _said(answer)
            if number is None or not 0 <= number < self.state.clients:
                who = "which has not answered yet" if number is None else f"as client {number}"
                LOG.warning("node %d, %s, is left out: not here at the start", node, who)
            elif isinstance(answers.get(number), dict):
                LOG.warning("node %d is left out: client %d has answered already", node, number)
            else:
                answers[number] = answer
                self.numbers[node] = number
        for number in {*range(self.state.clients)} - {*answers}:
            answers[number] = EmtdampError("is not connected")
        return answers

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return []  # clients have no test rows

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        return None

    def summary(self) -> None:
        LOG.info("%s; %d clients with %d rows", self.settings, self.state.clients, self.state.rows)


def _said(answer: Arrays) -> int | None:
    """The client that an answer says it is of, where that is a number."""
    try:
        return int(answer["client"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _by_node(asked: Iterable[Message], replies: Iterable[Message]) -> dict[int, Arrays | Exception]:
    """Each node's answer, or why there is none; the superlink replies for nodes that are gone."""
    found = {reply.metadata.reply_to_message_id: reply for reply in replies}
    return {m.metadata.dst_node_id: _read(found.get(m.metadata.message_id)) for m in asked}


def _read(reply: Message | None) -> Arrays | Exception:
    if reply is None:
        return EmtdampError("has not answered in time")
    if reply.has_error():
        return EmtdampError(f"has failed: {reply.error.reason}")
    try:
        return unpack(reply.content)
    except UsageError as error:
        return error


def begin(
    settings: Federation, grid: Grid, clients: int, patience: float
) -> tuple[Server, dict[int, int]]:
    """The state before the first round, and the client of each node: `clients` nodes are awaited.

    Raises EmtdampError if fewer come, or one fails, within `patience` seconds; UsageError for
    numbers that are not 0 to clients - 1, once each.
    """
    nodes = _awaited(grid, clients, patience)
    asked = [Message(RecordDict(), node, MessageType.QUERY, group_id="0") for node in nodes]
    answers = _by_node(asked, grid.send_and_receive(asked, timeout=patience))
    found: dict[int, Arrays] = {}
    for node, answer in answers.items():
        if isinstance(answer, Exception):
            raise EmtdampError(f"node {node} {answer}") from answer
        found[node] = answer
    said = {node: _said(summary) for node, summary in found.items()}
    numbers = {node: number for node, number in said.items() if number is not None}
    if sorted(numbers.values()) != [*range(len(nodes))]:
        raise UsageError(
            f"nodes are clients {sorted(numbers.values())}; number them from 0 to {len(nodes) - 1}"
        )
    order = sorted(found, key=numbers.__getitem__)
    return ends.begin(settings, [found[node] for node in order]), numbers


def _awaited(grid: Grid, clients: int, patience: float) -> Sequence[int]:
    if not isinstance(clients, int) or clients < 1:
        raise UsageError(f"clients={clients!r}; give the number of nodes to wait for, at least 1")
    until = time.monotonic() + patience
    while len(nodes := sorted(grid.get_node_ids())) < clients:
        if time.monotonic() > until:
            raise EmtdampError(
                f"{len(nodes)} of {clients} clients have come within {patience:g} s; start the "
                f"others, or give clients={len(nodes)}"
            )
        time.sleep(0.5)
    return nodes


def server_app(report: Report | None = None, start: Server | None = None) -> ServerApp:
    """The app of the server, for the run's configuration: `Federation`'s settings and `APP`.

    With `out`, a folder of this machine, the state is kept there after every round
    (`state.npz`, from which the next run goes on), and in the end `posterior.npz`. `start`: a state
    to go on from.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        config = {**APP, **context.run_config}
        settings, patience = settings_of(config), float(config["patience"])
        out = Path(str(config["out"])) if config["out"] else None
        kept = out / "state.npz" if out else None
        state = ends.load(settings, kept) if kept and kept.exists() else start
        numbers: dict[int, int] = {}
        if state is None:
            state, numbers = begin(settings, grid, int(config["clients"]), patience)
        else:
            _awaited(grid, state.clients, patience)
            LOG.info("goes on after round %d", state.round)

        def done(state: Server, info: Info) -> None:
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                ends.save(state, kept)
            if report is not None:
                report(state, info)

        strategy = Averaging(settings, state, numbers, done)
        left = settings.rounds - state.round
        if left > 0:
            strategy.start(grid, strategy.message(), left, patience)
        if out:
            ends.posterior(settings, strategy.state).save(out / "posterior.npz")
            LOG.info("the posterior is in %s", out / "posterior.npz")

    return app


server, client = server_app(), client_app(of_node)
