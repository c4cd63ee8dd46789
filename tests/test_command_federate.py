"""emtdamp federate, as a user meets it."""

import json

import pandas as pd
import pytest

from emtdamp import datasets, load_posterior
from emtdamp.cli import main
from emtdamp.federated.loop import run as run_loop
from emtdamp.metrics import classification_scores

pytestmark = pytest.mark.slow

SMALL = ["federate", "mnist", "--clients", "3", "--rounds", "2", "--train-size", "300",
         "--hidden", "8", "--batch-size", "50"]  # fmt: skip


def read(run):
    return json.loads((run / "metrics.json").read_text())


def test_a_run_leaves_its_folder(tmp_path, capsys):
    out = tmp_path / "run"
    assert main([*SMALL, "--partition", "dirichlet:1", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "round 2/2: accuracy" in printed.err and f"written to {out}" in printed.out
    metrics, history = read(out), pd.read_csv(out / "history.csv")
    assert metrics["rounds"] == 2 and history["round"].tolist() == [1, 2]
    assert metrics["bytes"] == history["bytes"].sum() and metrics["refused"] == 0
    mnist = datasets.load_mnist()
    posterior = load_posterior(out / "posterior.npz")
    p = posterior.log_probabilities(datasets.scale_images(mnist.x_test))
    scores = classification_scores(mnist.y_test, 2.718281828459045**p)
    assert scores["nll"] == pytest.approx(metrics["test_nll"], rel=1e-5)
    config = json.loads((out / "config.json").read_text())
    assert config["partition"] == "dirichlet:1" and config["clients"] == 3
    for name in ("confusion_matrix.csv", "model.keras", "figures/accuracy.png"):
        assert (out / name).exists()


def test_every_answer_that_was_refused_is_counted(tmp_path, monkeypatch):
    def away(client, message):
        raise TimeoutError("asleep")

    monkeypatch.setattr("emtdamp.federated.loop.run", lambda *given: run_loop(*given, ask=away))
    assert main([*SMALL, "--out", str(tmp_path / "run")]) == 0
    assert read(tmp_path / "run")["refused"] == 6  # three clients, two rounds


def test_a_run_that_was_stopped_goes_on(tmp_path, capsys, monkeypatch):
    state = ["--state", str(tmp_path / "server.npz")]
    assert main([*SMALL, "--out", str(tmp_path / "whole")]) == 0

    def first_only(*given, **named):
        run_loop(*given, until=1, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr("emtdamp.federated.loop.run", first_only)
        assert main([*SMALL, *state, "--out", str(tmp_path / "half")]) == 130
    assert not (tmp_path / "half").exists()
    assert main([*SMALL, *state, "--out", str(tmp_path / "half")]) == 0
    assert "going on after round 1" in capsys.readouterr().err
    whole, half = read(tmp_path / "whole"), read(tmp_path / "half")
    assert whole["test_nll"] == half["test_nll"]
    for other in (["--clients", "4"], ["--partition", "dirichlet:0.1"]):
        assert main([*SMALL, *other, *state, "--out", str(tmp_path / "other")]) != 0
        assert "is of 3 clients with 100 images of 300, not of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--clients", "0"], "'0' is not allowed"),
        (["--clients", "301"], "301 clients for 300 rows"),
        (["--partition", "by-label"], "by-label"),
        (["--sparsity", "auto"], "sparsity='auto'"),
        (["--state", "no-such-folder/server.npz"], "server.npz cannot be written"),
    ],
)
def test_bad_input_gets_one_line_before_training(tmp_path, capsys, monkeypatch, flags, named):
    monkeypatch.setattr("emtdamp.federated.loop.run", lambda *_: pytest.fail("trained"))
    words = [*SMALL, *flags, "--out", str(tmp_path / "run")]
    if named.startswith("'0'"):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        code = stopped.value.code
    else:
        code = main(words)
    assert code in (1, 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("emtdamp")]
    assert len(lines) == 1 and named in lines[0]
    assert not (tmp_path / "run").exists()
