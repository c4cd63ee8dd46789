"""Real processes on loopback: a superlink, three supernodes, one of them killed at work."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("flwr", reason="the extra `federated` is not installed")

from emtdamp.errors import EmtdampError
from emtdamp.federated import app, loop, server
from emtdamp.federated.settings import Federation
from emtdamp.posterior import load_posterior

SETTINGS = Federation(hidden=(8,), outputs=2, rounds=1, batch_size=10)
CONFIG = 'clients=3 hidden="8" outputs=2 rounds=1 batch-size=10'
FOLDER = Path(app.__file__).parent / "flower"
# Python reads it first. A superlink misses a node after two intervals, of 30 seconds by default.
SHORT_HEARTBEAT = """\
from flwr.common import constant
constant.HEARTBEAT_DEFAULT_INTERVAL = constant.HEARTBEAT_MIN_INTERVAL
"""
BIN = Path(sys.executable).parent


class Machines:
    """Starts processes with one FLWR_HOME, their output in files, and ends all that have it."""

    def __init__(self, home: Path):
        self.home, self.started = home, []
        (home / "sitecustomize.py").write_text(SHORT_HEARTBEAT, "utf-8")
        self.env = os.environ | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # they start each other by name
            "FLWR_HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(home), *filter(None, [os.getenv("PYTHONPATH")])]),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiled faster, run once
        }

    def start(self, name, *words):
        with (self.home / name).open("w") as log:
            process = subprocess.Popen(
                [str(BIN / words[0]), *words[1:]], env=self.env, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def said(self, name, text):
        return text in (self.home / name).read_text("utf-8")

    def alive(self):
        for process in psutil.process_iter(["environ", "status"]):
            info = process.info  # pyright: ignore
            if (info["environ"] or {}).get("FLWR_HOME") == str(self.home):
                yield process

    def end(self):
        until = time.monotonic() + 20
        while (left := [*self.alive()]) and time.monotonic() < until:
            for process in left:
                process.kill()
            psutil.wait_procs(left, timeout=1)
        for process in self.started:
            process.wait(timeout=5)


def wait(what, condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def free_ports(count):
    """On loopback; nothing keeps them free, but nobody else asks for these."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def answers_at(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def machines(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    found = Machines(home)
    yield found
    found.end()
    assert not [*found.alive()]


@pytest.mark.slow
def test_a_federation_of_processes_goes_on_without_one_that_is_killed(machines, tmp_path):
    port, *ports = free_ports(4)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    parts = [loop.Rows(x[i::3], y[i::3]) for i in range(3)]
    (machines.home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        "insecure = true\n", "utf-8",
    )  # fmt: skip
    machines.start(
        "link", "flower-superlink", "--insecure", "--port", str(port),
        "--disable-runtime-dependency-installation",
    )  # fmt: skip
    nodes = []
    for number, (part, own) in enumerate(zip(parts, ports, strict=True)):
        rows = tmp_path / f"rows{number}.npz"
        np.savez(rows, x=part.x, y=part.y)
        nodes.append(
            machines.start(
                f"node{number}", "flower-supernode", "--insecure", "--superlink",
                f"127.0.0.1:{port}", "--port", str(own), "--node-config",
                f'client={number} rows="{rows}"',
            )
        )  # fmt: skip
    wait("a superlink", lambda: answers_at(port))
    out = tmp_path / "out"
    run = machines.start(
        "run", "flwr", "run", str(FOLDER), "here", "--stream", "--run-config",
        f'{CONFIG} out="{out}"',
    )  # fmt: skip
    wait("a message to node 2", lambda: machines.said("node2", "Receiving: train message"))
    os.killpg(nodes[2].pid, signal.SIGKILL)

    # meanwhile, what the loop makes of the other two
    def ask(client, message):
        if client.number == 2:
            raise EmtdampError("was killed")
        return client.answer(message)

    expected = server.posterior(
        SETTINGS, loop.run(SETTINGS, loop.make_clients(SETTINGS, parts), ask=ask)
    )
    run.wait(timeout=300)
    log = (machines.home / "run").read_text("utf-8")
    assert "round 1 goes on without client 2" in log and "heartbeat" in log, log
    found = load_posterior(out / "posterior.npz")
    for ours, theirs in zip(found.mean + found.var, expected.mean + expected.var, strict=True):
        assert_allclose(ours, theirs, rtol=2e-3, atol=1e-5)  # to the half precision that travels


@pytest.mark.slow
def test_a_port_in_use_and_a_server_that_is_not_there_are_told(machines):
    """Flower's own words, which the page on several machines quotes."""
    (port,) = free_ports(1)
    node = machines.start(
        "node", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{port}",
        "--max-wait-time", "1", "--port", str(free_ports(1)[0]),
    )  # fmt: skip
    assert node.wait(timeout=300) == 1
    assert machines.said("node", "could not establish a connection to the SuperLink")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        link = machines.start("link", "flower-superlink", "--insecure", "--port", str(port))
        assert link.wait(timeout=300) == 1
    assert machines.said("link", "address already in use")
