"""A federation by Flower's apps and messages, with all nodes in this process."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn
from uuid import uuid4

from emtdamp.federated import app  # first: it says what is missing
from emtdamp.federated.client import Client
from emtdamp.federated.server import Info, Server
from emtdamp.federated.settings import Federation

from flwr.app import Context, Error, Message, RecordDict  # isort: skip
from flwr.clientapp import ClientApp  # isort: skip
from flwr.common.constant import ErrorCode  # isort: skip
from flwr.serverapp import Grid  # isort: skip
from flwr.supercore.task_identity import TaskIdentity  # isort: skip


class OneProcess(Grid):
    """Flower's grid without a network: nodes answer in turn, as soon as they are asked.

    `run` (the interface's, of a superlink's books) and the deprecated `create_message` are not
    there.
    """

    def __init__(self, clients: ClientApp, nodes: Iterable[int]):
        self.clients, self.nodes = clients, [*nodes]
        self._replies: dict[str, Message] = {}
        # as Flower's own simulation does where no task is a process
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0

    def get_node_ids(self) -> Iterable[int]:
        return [*self.nodes]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        node, name = message.metadata.dst_node_id, str(uuid4())
        message.metadata.__dict__["_message_id"] = (
            name  # the grid's part, and the reply refers to it
        )
        context = Context(1, node, {"client": node}, RecordDict(), {})
        try:
            reply = self.clients(message, context)
        except Exception as error:  # whatever a client's own program raises
            code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
            reply = Message(Error(code, f"{type(error)}:<'{error}'>"), reply_to=message)
        self._replies[name] = reply
        return name

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))

    def set_run(self, run: Any) -> NoReturn:
        raise NotImplementedError

    @property
    def run(self) -> NoReturn:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError


def run(
    settings: Federation,
    clients: Sequence[Client],
    report: Callable[[Server, Info], None] | None = None,
    state: Server | None = None,
) -> Server:
    """As `loop.run`, by Flower's apps: the same state after all rounds."""
    states = [] if state is None else [state]

    def kept(state: Server, info: Info) -> None:
        states[:] = [state]
        if report is not None:
            report(state, info)

    nodes = {client.number: client for client in clients}
    grid = OneProcess(app.client_app(lambda context: nodes[context.node_id]), nodes)
    config = {name.replace("_", "-"): value for name, value in asdict(settings).items()}
    config["hidden"] = ",".join(map(str, settings.hidden))
    context = Context(1, 0, {}, RecordDict(), {**config, "clients": len(clients)})
    logging.getLogger("flwr").setLevel(logging.ERROR)  # the report has it all
    app.server_app(kept, state)(grid, context)
    return states[-1]
