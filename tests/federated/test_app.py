"""Flower carries what the plain loop carries: the same numbers, and failures told by client."""

import dataclasses
import logging
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("flwr", reason="the extra `federated` is not installed")

from flwr.app import Context, RecordDict
from flwr.serverapp.strategy import Strategy

import emtdamp.federated
from emtdamp import cli
from emtdamp.errors import EmtdampError, UsageError
from emtdamp.federated import app, engine, loop, server
from emtdamp.federated.client import Client
from emtdamp.federated.settings import Federation
from emtdamp.posterior import load_posterior

SETTINGS = Federation(hidden=(8,), outputs=3, rounds=3, batch_size=10, half=False, sparsity=0.5)
CONFIG = {
    "hidden": "8", "outputs": 3, "rounds": 3, "batch-size": 10, "half": False, "sparsity": 0.5,
}  # fmt: skip


def parts(clients=3, number=90):
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(number, 3)), np.ones(number)])
    y = np.digitize(x[:, 0] + 0.3 * x[:, 1], [-0.5, 0.5])
    return [loop.Rows(x[i::clients], y[i::clients]) for i in range(clients)]


def same(one: server.Server, two: server.Server) -> None:
    for name in set(server.Server._fields) - {*server.LISTS}:
        assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    for ours, theirs in zip(one.layers, two.layers, strict=True):
        assert_array_equal(ours.mean, theirs.mean)
        assert_array_equal(ours.curvature, theirs.curvature)
    both = [state.moved + state.active for state in (one, two)]
    for ours, theirs in zip(*both, strict=True):
        assert_array_equal(ours, theirs)


def context(**config):
    return Context(1, 0, {}, RecordDict(), {**CONFIG, **config})


class Faulty(engine.OneProcess):
    """`away(round, node)`: nodes that are not there; `mute`: those that get the message only.

    Rounds are those of the messages, 0 the query before the first.
    """

    def __init__(self, made, nodes=(0, 1, 2), away=lambda *_: False, mute=lambda *_: False):
        super().__init__(app.client_app(lambda node: made(self.round, node.node_id)), nodes)
        self.away, self.mute, self.round = away, mute, 0

    def get_node_ids(self):
        return [node for node in self.nodes if not self.away(self.round + 1, node)]

    def push_messages(self, messages):
        found = []
        for message in messages:
            self.round = int(message.metadata.group_id)
            if not self.mute(self.round, message.metadata.dst_node_id):
                found.append(self._push(message))
        return found


def federate(grid, **config):
    seen = []
    report = lambda state, info: seen.append((state, info))  # noqa: E731
    app.server_app(report)(grid, context(clients=3, **config))
    return seen


@pytest.fixture(scope="module")
def clients():
    return loop.make_clients(SETTINGS, parts())


@pytest.fixture(scope="module")
def by_loop(clients):
    seen = []
    loop.run(SETTINGS, clients, lambda state, info: seen.append((state, info)))
    return seen


@pytest.mark.slow
def test_flower_and_the_loop_end_with_the_same_numbers(clients, by_loop):
    seen = []
    state = engine.run(SETTINGS, clients, lambda state, info: seen.append((state, info)))
    assert len(seen) == 3 and seen[-1][0] is state
    for (one, info), (two, other) in zip(by_loop, seen, strict=True):
        same(one, two)
        assert info == other
    assert len(state.active[1]) == 4  # pruned for all clients alike
    same(engine.run(SETTINGS, clients, state=seen[0][0]), state)


@pytest.mark.slow
def test_a_client_that_fails_is_away_or_silent_and_returns(clients, caplog):
    def made(number, node):
        if (number, node) == (1, 2):
            raise OSError("the disk is full")
        return clients[node]

    grid = Faulty(
        made, away=lambda n, node: (n, node) == (2, 1), mute=lambda n, node: (n, node) == (2, 2)
    )
    with caplog.at_level(logging.WARNING, "flwr.emtdamp"):
        seen = federate(grid)
    assert [info.heard for _, info in seen] == [(0, 1), (0,), (0, 1, 2)]
    assert "client 2: has failed" in (said := caplog.text) and "disk is full" in said
    assert "round 2 goes on without client 1: is not connected" in said
    assert "round 2 goes on without client 2: has not answered in time" in said
    found = server.posterior(SETTINGS, seen[-1][0])
    assert all(np.isfinite(var).all() and (var >= 0).all() for var in found.var)


@pytest.mark.slow
def test_strangers_and_second_answers_are_left_out(clients, by_loop, caplog):
    stranger = Client(SETTINGS, 3, *parts()[0])

    def made(number, node):
        return clients[node % 10] if node < 20 else stranger

    grid = Faulty(made, (0, 1, 2, 12, 23), away=lambda n, node: n < 2 and node > 2)
    with caplog.at_level(logging.WARNING, "flwr.emtdamp"):
        seen = federate(grid)
    same(seen[-1][0], by_loop[-1][0])
    assert "node 12 is left out: client 2 has answered already" in caplog.text
    assert "node 23, as client 3, is left out: not here at the start" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("said", [1, "two", np.nan, [1, 2]])
def test_a_node_that_takes_another_number_has_no_say(clients, said):
    class Liar(Client):
        def answer(self, message):
            return super().answer(message) | {"client": np.asarray(said)}

    liar = Liar(SETTINGS, 2, *parts()[2], like=30)
    seen = federate(Faulty(lambda _, node: liar if node == 2 else clients[node]), rounds=1)
    assert seen[0][1].heard == (0, 1) and seen[0][1].refused[2].startswith("client 2: ")


@pytest.mark.slow
def test_a_server_that_was_killed_goes_on_from_its_file(clients, by_loop, tmp_path):
    def killed(state, info):
        if state.round == 2:
            raise KeyboardInterrupt

    made = lambda _, node: clients[node]  # noqa: E731
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        app.server_app(killed)(Faulty(made), context(clients=3, out=str(out)))
    assert [path.name for path in out.iterdir()] == ["state.npz"]
    seen = federate(Faulty(made), out=str(out))
    assert [state.round for state, _ in seen] == [3]
    same(seen[-1][0], by_loop[-1][0])
    found = load_posterior(out / "posterior.npz")
    expected = server.posterior(SETTINGS, by_loop[-1][0])
    for ours, theirs in zip(found.mean, expected.mean, strict=True):
        assert_array_equal(ours, theirs)
    assert federate(Faulty(made), out=str(out)) == []  # nothing is left to do


def test_the_app_of_the_folder_has_the_settings_defaults():
    folder = Path(app.__file__).parent / "flower"
    config = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["flwr"]["app"]
    assert app.settings_of(config["config"]) == Federation()
    assert {**app.APP, **config["config"]}.keys() == config["config"].keys()
    names = {name.replace("-", "_") for name in config["config"].keys() - app.APP.keys()}
    assert {field.name for field in dataclasses.fields(Federation)} == names
    assert isinstance(app.Averaging, type) and issubclass(app.Averaging, Strategy)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"hidden": "8,x"}, "hidden='8,x'; give numbers of neurons"),
        ({"neurons": 8}, "neurons is no setting; known are hidden"),
        ({"rounds": 0}, "rounds=0"),
    ],
)
def test_bad_settings_of_a_run(config, text):
    with pytest.raises(UsageError, match=text):
        app.settings_of(config)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({}, r"this node has \{\}; start it with --node-config"),
        ({"client": 0}, "start it with --node-config"),
        ({"client": "one", "rows": "x.npz"}, "start it with --node-config"),
        ({"client": 0, "rows": "nowhere.npz"}, "rows 'nowhere.npz' cannot be read"),
    ],
)
def test_bad_settings_of_a_node(node, text):
    with pytest.raises(UsageError, match=text):
        app.of_node(Context(1, 0, node, RecordDict(), CONFIG))


def test_a_node_reads_its_rows(tmp_path):
    path = tmp_path / "rows.npz"
    x, y = parts()[1]
    np.savez(path, x=x, y=y)
    found = app.of_node(Context(1, 0, {"client": 1, "rows": str(path)}, RecordDict(), CONFIG))
    assert found.number == 1 and found.settings == SETTINGS
    assert_array_equal(found.x, x)
    path.rename(tmp_path / "rows1.npz")  # a simulated node knows its number only
    simulated = CONFIG | {"rows": str(tmp_path / "rows{client}.npz")}
    node = {"partition-id": 1, "num-partitions": 2}
    found = app.of_node(Context(1, 0, node, RecordDict(), simulated))
    assert found.number == 1 and found.settings == SETTINGS
    assert_array_equal(found.x, x)
    np.savez(path, x=x)
    with pytest.raises(UsageError, match=r"give an \.npz of x, y"):
        app.of_node(Context(1, 0, {"client": 1, "rows": str(path)}, RecordDict(), CONFIG))


def test_a_file_that_holds_no_rows_is_named(tmp_path):
    x, y = parts()[1]
    path = tmp_path / "rows.npz"
    np.savez(path, x=x, y=y)
    whole = path.read_bytes()
    with (tmp_path / "one.npy").open("wb") as file:
        np.save(file, x)
    for content in (b"", whole[:200], b"PK" + whole[2:90], (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"rows\.npz' cannot be read"):
            app.of_node(Context(1, 0, {"client": 1, "rows": str(path)}, RecordDict(), CONFIG))
    np.savez(path, x=x.astype(str), y=y)
    with pytest.raises(UsageError, match="x is of <U32"):
        app.of_node(Context(1, 0, {"client": 1, "rows": str(path)}, RecordDict(), CONFIG))


def test_a_start_without_all_clients(clients):
    made = lambda _, node: clients[node]  # noqa: E731
    with pytest.raises(EmtdampError, match="2 of 3 clients have come within 0 s; start the others"):
        federate(Faulty(made, (0, 1)), patience=0.0)
    with pytest.raises(UsageError, match=r"clients \[0, 1, 1\]; number them from 0 to 2"):
        federate(Faulty(lambda _, node: clients[min(node, 1)]))
    with pytest.raises(EmtdampError, match="node 2 has not answered in time"):
        federate(Faulty(made, mute=lambda _, node: node == 2))
    with pytest.raises(UsageError, match="clients=0; give the number of nodes"):
        app.server_app()(Faulty(made), context())


def test_a_message_that_is_none():
    with pytest.raises(UsageError, match="no arrays to be read"):
        app.unpack(RecordDict())


def test_without_flower_the_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    for name in ("app", "engine"):
        monkeypatch.delitem(sys.modules, f"emtdamp.federated.{name}")
        monkeypatch.delattr(emtdamp.federated, name)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    out = tmp_path / "out"
    assert cli.main(["federate", "mnist", "--engine", "flower", "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert "pip install 'emtdamp[federated]'" in said and "\n" not in said
    assert not out.exists()
