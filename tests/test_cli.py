"""The command line, as a user meets it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from emtdamp import datasets
from emtdamp.cli import main

SMALL = ["--em-iters", "2", "--train-size", "300", "--hidden", "16", "--seed", "3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "mnist", *SMALL, "--out", str(out)]) == 0
    return out


def test_a_run_has_the_documented_scores_and_history(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert {
        "algorithm", "seed", "train_size", "em_iters_run", "test_accuracy", "precision_macro",
        "recall_macro", "f1_macro", "training_loss", "test_nll", "test_ece", "predictive_entropy",
        "hidden_neurons", "active_neurons", "sparsity", "pruned_test_accuracy", "seconds",
    } <= set(metrics)  # fmt: skip
    assert (metrics["hidden_neurons"], metrics["active_neurons"], metrics["sparsity"]) == (
        16,
        8,
        0.5,
    )
    history = pd.read_csv(run / "history.csv", index_col="iteration")
    assert list(history.columns[:7]) == [
        "val_accuracy", "val_precision", "val_recall", "val_f1", "sparsity", "active_neurons",
        "avg_entropy",
    ]  # fmt: skip
    assert {"loss", "seconds"} <= set(history.columns)
    assert history.index.tolist() == [1, 2]
    assert history["val_accuracy"].iloc[-1] == metrics["test_accuracy"]
    assert np.loadtxt(run / "confusion_matrix.csv", delimiter=",").sum() == 10_000
    assert len(list((run / "figures").glob("*.png"))) == 7


def test_the_saved_model_has_the_accuracy_that_was_printed(run):
    model = keras.models.load_model(run / "model.keras")
    mnist = datasets.load_mnist()
    logits = model(datasets.scale_images(mnist.x_test)).numpy()
    metrics = json.loads((run / "metrics.json").read_text())
    assert (logits.argmax(axis=1) == mnist.y_test).mean() == metrics["test_accuracy"]


def test_the_same_seed_gives_the_same_metrics_in_another_process(run, tmp_path):
    command = [sys.executable, "-m", "emtdamp", "train", "mnist", *SMALL, "--out", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again = (
        json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "run")
    )
    assert first.pop("seconds") > 0 and again.pop("seconds") > 0
    assert first == again
    lines = done.stdout.splitlines()
    assert any(
        line.split()[:2] == ["test_accuracy", f"{again['test_accuracy']:.4f}"] for line in lines
    )
    progress = done.stderr.splitlines()
    assert [line.split(":")[0] for line in progress if line.startswith("iteration")] == [
        "iteration 1/2", "iteration 2/2",
    ]  # fmt: skip


def test_help_answers_without_tensorflow():
    code = (
        "import sys; from emtdamp.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'tensorflow', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "train" in done.stdout and "sweep" in done.stdout


def test_the_reports_spelling_of_flags_and_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--em_iters", "1", "--batch_size=50", "--train_size", "100", "--hidden", "4"]
    assert main(["train", "mnist", *words]) == 0
    config = json.loads((tmp_path / "runs" / "mnist-report-0" / "config.json").read_text())
    assert (config["em_iters"], config["batch_size"], config["patience"]) == (1, 50, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sparsity", "1.5"], "sparsity: 1.5 is not allowed; a number from 0"),
        (["--em-iters", "0"], "em_iters: 0 is not allowed; a whole number from 1"),
        (["--batch-size", "-3"], "batch_size: -3 is not allowed; a whole number from 1"),
        (["--seed", "x"], "argument --seed: 'x' is not allowed; a whole number is"),
        (["--sparsity", "half"], "argument --sparsity: 'half' is not allowed; a number is"),
        (["--train-size", "60001"], "60001"),
        (["--algorithm", "magic"], "'magic' (choose from"),
        (["--out", __file__], "is a file"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_wrong_value_is_one_line_and_exit_code_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["train", "mnist", *words])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_names_those_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "cifar"])
    assert stopped.value.code == 2
    assert "'cifar' (choose from" in capsys.readouterr().err


def test_a_missing_data_file_is_one_line_and_exit_code_1(tmp_path, monkeypatch, capsys):
    from emtdamp.baselines import report
    from emtdamp.datasets import loaders

    report._scaled_mnist.cache_clear()
    monkeypatch.setattr(loaders, "DATA_FOLDER", tmp_path)
    assert main(["train", "mnist", *SMALL, "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("emtdamp: ") and "mnist.npz" in error and error.count("\n") == 1


def test_an_earlier_run_is_refused_before_training(run, capsys):
    assert main(["train", "mnist", *SMALL, "--out", str(run)]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (["a"], "NAME=VALUE"),
        (["a=1", "a=2"], "names a twice"),
        (["colour=1"], "no parameter colour"),
    ],
)
def test_a_wrong_grid_is_named(grid, said, tmp_path, capsys):
    words = [word for entry in grid for word in ("--grid", entry)]
    notebook = datasets.__file__.rsplit("/emtdamp/", 1)[0] + "/book/04-results.ipynb"
    assert main(["sweep", notebook, *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
