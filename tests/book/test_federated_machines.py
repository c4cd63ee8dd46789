"""The page on several machines: its code runs, and its settings are those of the app."""

import re
import tomllib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "federated-machines.md").read_text("utf-8")
APP = tomllib.loads((ROOT / "emtdamp/federated/flower/pyproject.toml").read_text("utf-8"))


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_rows_are_dealt_out_as_a_node_reads_them(monkeypatch):
    files = {}
    monkeypatch.setattr(np, "savez_compressed", lambda name, **arrays: files.update({name: arrays}))
    (code,) = blocks("python")
    exec(code, {})
    assert files.keys() == {"rows0.npz", "rows1.npz", "rows2.npz"}
    assert sum(len(file["y"]) for file in files.values()) == 60_000
    for file in files.values():
        assert file["x"].shape == (len(file["y"]), 784) and file["y"].dtype.kind == "i"


def test_the_settings_are_those_of_the_app():
    config = APP["tool"]["flwr"]["app"]["config"]
    given = [line for line in re.findall(r"--run-config '(.*?)'", PAGE) if line != "..."]
    assert given
    for line in given:
        assert tomllib.loads(line.replace(" ", "\n")).keys() <= config.keys()
    rows = re.search(r"^\| setting of a run .*?\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert rows
    named = re.findall(r"^\| (`.*?) \|", rows[0], re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(named))) == config.keys()
    for line in re.findall(r"--node-config '(.*?)'", PAGE):
        assert tomllib.loads(line.replace(" ", "\n")).keys() == {"client", "rows"}


def test_connections_are_toml():
    assert [tomllib.loads(block)["superlink"].keys() for block in blocks("toml")]
