"""The command line, as a user meets it."""

import json
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from emtdamp import cli, datasets, load_posterior
from emtdamp.cli import main
from emtdamp.errors import EmtdampError
from emtdamp.metrics import classification_scores

pytestmark = pytest.mark.slow

SMALL = ["--em-iters", "2", "--train-size", "300", "--hidden", "16", "--seed", "3"]
BOSTON = ["train", "boston", "--split", "4", "--hidden", "8", "--em-iters", "3", "--seed", "1"]


def read(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    pruned = ["--sparsity", "0.5", "--input-sparsity", "0.5"]
    assert main(["train", "mnist", *SMALL, *pruned, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "report"
    assert main(["train", "mnist", "--algorithm", "report", *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def boston(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "boston"
    assert main([*BOSTON, "--sparsity", "0.5", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def test_images():
    mnist = datasets.load_mnist()
    return datasets.scale_images(mnist.x_test), mnist.y_test


SCORES = {
    "algorithm", "seed", "train_size", "em_iters_run", "test_accuracy", "precision_macro",
    "recall_macro", "f1_macro", "training_loss", "test_nll", "test_brier", "test_ece",
    "predictive_entropy", "hidden_neurons", "active_neurons", "sparsity", "pruned_test_accuracy",
    "noise_variance", "seconds",
}  # fmt: skip


@pytest.mark.parametrize("which", ["run", "report"])
def test_a_run_has_the_documented_scores_and_history(which, request):
    run = request.getfixturevalue(which)
    metrics = read(run)
    assert set(metrics) >= SCORES
    assert [metrics[name] for name in ("hidden_neurons", "active_neurons", "sparsity")] == [
        16, 8, 0.5,
    ]  # fmt: skip
    history = pd.read_csv(run / "history.csv", index_col="iteration")
    assert {
        "val_accuracy", "val_precision", "val_recall", "val_f1", "sparsity", "active_neurons",
        "avg_entropy", "loss", "seconds",
    } <= set(history.columns)  # fmt: skip
    assert history.index.tolist() == [1, 2]
    assert history["val_accuracy"].iloc[-1] == metrics["test_accuracy"]
    assert history["seconds"].sum() == pytest.approx(metrics["seconds"])
    assert np.loadtxt(run / "confusion_matrix.csv", delimiter=",").sum() == 10_000
    assert len(list((run / "figures").glob("*.png"))) == 7


def test_the_default_algorithm_scores_the_pruned_network_and_says_what_pruning_cost(run):
    metrics = read(run)
    assert metrics["algorithm"] == "em-tdamp"
    assert metrics["test_accuracy"] == metrics["pruned_test_accuracy"]
    assert metrics["unpruned_test_accuracy"] != metrics["test_accuracy"]
    kept = metrics["kept_inputs"]
    assert metrics["parameters"] == (kept + 1) * 8 + 9 * 10
    assert metrics["unpruned_parameters"] > 1.9 * metrics["parameters"]
    config = json.loads((run / "config.json").read_text())
    assert (config["algorithm"], config["sparsity"], config["input_sparsity"]) == (
        "em-tdamp", 0.5, 0.5,
    )  # fmt: skip


def test_the_saved_posterior_gives_the_printed_scores_from_pixels(run, test_images):
    x, y = test_images
    saved = load_posterior(run / "posterior.npz")
    p = np.exp(saved.log_probabilities(x))
    metrics = read(run)
    assert classification_scores(y, p)["nll"] == metrics["test_nll"]
    assert (p.argmax(axis=1) == y).mean() == metrics["test_accuracy"]
    assert len(saved.kept_inputs) == metrics["kept_inputs"]
    assert saved.parameters == metrics["parameters"] == sum(m.size for m in saved.mean)


def test_the_saved_model_is_the_pruned_network_on_pixels(run, test_images):
    x, y = test_images
    model = keras.models.load_model(run / "model.keras")
    assert {type(layer).__name__ for layer in model.layers} == {"Dense"}
    assert model.layers[0].units == 8 and model.input_shape == (None, 784)
    found = model.predict(x, verbose=0)
    assert (found.argmax(axis=1) == y).mean() == read(run)["model_test_accuracy"]
    unused = np.setdiff1d(np.arange(784), load_posterior(run / "posterior.npz").kept_inputs)
    assert (model.layers[0].get_weights()[0][unused] == 0).all()


def test_the_reports_saved_model_has_the_accuracy_that_was_printed(report, test_images):
    x, y = test_images
    logits = keras.models.load_model(report / "model.keras")(x).numpy()
    assert (logits.argmax(axis=1) == y).mean() == read(report)["test_accuracy"]
    assert not (report / "posterior.npz").exists()


def test_a_split_of_boston(boston):
    metrics = read(boston)
    assert {
        "algorithm", "seed", "split", "test_rmse", "test_nmse", "test_log_likelihood",
        "coverage_50", "coverage_90", "coverage_95", "hidden_neurons", "active_neurons", "sparsity",
        "parameters", "kept_inputs", "noise_variance", "unpruned_test_rmse", "seconds",
    } <= set(metrics)  # fmt: skip
    assert (metrics["split"], metrics["active_neurons"]) == (4, 4)
    assert sorted(p.name for p in boston.iterdir()) == [
        "config.json", "figures", "history.csv", "metrics.json", "model.keras", "posterior.npz",
    ]  # fmt: skip
    assert {p.stem for p in (boston / "figures").iterdir()} >= {"predictions", "coverage"}
    data, rows = datasets.load_boston(), datasets.boston_splits()[4].test
    saved = load_posterior(boston / "posterior.npz")
    mean, _ = saved.propagate(data.data[rows])
    rmse = np.sqrt(np.mean((mean[:, 0] - data.target[rows]) ** 2))
    assert rmse == pytest.approx(metrics["test_rmse"], rel=1e-12)
    assert saved.noise_variance == pytest.approx(metrics["noise_variance"])
    model = keras.models.load_model(boston / "model.keras")
    assert model.layers[0].units == 4 and model.input_shape == (None, 13)


def test_the_same_seed_gives_the_same_metrics_in_another_process(tmp_path):
    assert main([*BOSTON, "--out", str(tmp_path / "first")]) == 0
    command = [sys.executable, "-m", "emtdamp", *BOSTON, "--out", tmp_path / "again"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again = read(tmp_path / "first"), read(tmp_path / "again")
    assert first.pop("seconds") > 0 and again.pop("seconds") > 0
    assert first == again
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["test_rmse", f"{again['test_rmse']:.4f}"] for line in lines)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "iteration 1/3", "iteration 2/3", "iteration 3/3",
    ]  # fmt: skip


def test_the_report_repeats_with_its_seed(report, tmp_path):
    assert main(["train", "mnist", "--algorithm=report", *SMALL, "--out", str(tmp_path)]) == 0
    first, again = read(report), read(tmp_path)
    assert first.pop("seconds") > 0 and again.pop("seconds") > 0
    assert first == again


def test_what_was_trained_is_kept_when_the_comparison_fails(tmp_path, monkeypatch, capsys):
    from emtdamp.study import runs

    def fail(task, result):
        raise EmtdampError("a message is no longer finite")

    monkeypatch.setattr(runs, "unpruned", fail)
    assert main([*BOSTON, "--out", str(tmp_path / "run")]) == 0
    assert "unpruned_ scores are left out: a message is no" in capsys.readouterr().err
    metrics = read(tmp_path / "run")
    assert metrics["active_neurons"] == 8
    assert not any(name.startswith("unpruned_") for name in metrics)


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


def test_what_is_not_installed_is_named_before_anything_is_trained(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "seaborn" else name)
    monkeypatch.setattr(cli.command_train, "run", lambda _: pytest.fail("it was run"))
    assert cli.main(["train", "boston"]) == 2
    assert capsys.readouterr().err == 'emtdamp: this needs seaborn: pip install "emtdamp[study]"\n'


def test_the_package_does_without_the_studys_needs(tmp_path):
    """Of the extra's modules none is imported by a fit, its posterior or a federation."""
    code = f"""
import sys
class Missing:
    def find_spec(name, *_):
        if name in {cli.STUDY}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing)
import numpy as np
import emtdamp.baselines, emtdamp.federated.loop
from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor, Predictive, ensemble, load_posterior
x = np.random.default_rng(0).normal(size=(40, 2))
model = EMTDAMPRegressor((), random_state=0).fit(x, x[:, 0])
model.posterior_.save("linear.npz")
assert np.isfinite(load_posterior("linear.npz").propagate(x)[0]).all()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_reports_spelling_of_flags_and_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--em_iters", "1", "--batch_size=50", "--train_size", "100", "--hidden", "4"]
    assert main(["train", "mnist", "--algorithm", "report", *words]) == 0
    config = json.loads((tmp_path / "runs" / "mnist-report-0" / "config.json").read_text())
    assert (config["em_iters"], config["batch_size"], config["patience"]) == (1, 50, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sparsity", "1.5"], "--sparsity: '1.5' is not allowed; a number from 0 up to"),
        (["--sparsity", "half"], "--sparsity: 'half' is not allowed; a number from 0 up to"),
        (["--input-sparsity", "nan"], "--input-sparsity: 'nan' is not allowed; a number from 0"),
        (["--em-iters", "0"], "--em-iters: '0' is not allowed; a whole number from 1 on, or auto"),
        (["--batch-size", "-3"], "--batch-size: '-3' is not allowed; a whole number from 1"),
        (["--hidden", "auto"], "--hidden: 'auto' is not allowed; a whole number from 1 on is"),
        (["--seed", "x"], "argument --seed: 'x' is not allowed; a whole number from 0"),
        (["--seed", "4294967296"], "a whole number from 0 to 4294967295 is"),
        (["--train-size", "60001"], "'60001' is not allowed; a whole number from 1 to 60000 is"),
        (["--train-size", "12"], "train_size: 12 is not allowed; among these images there is no"),
        (["--algorithm", "magic"], "'magic' (choose from"),
        (["--out", __file__], "is a file"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (
            ["--split", "0"],
            "--split 0 is not allowed with mnist --algorithm em-tdamp; it is for "
            "boston --algorithm em-tdamp, leave it out",
        ),
        (
            ["--patience", "3"],
            "--patience 3 is not allowed with mnist --algorithm em-tdamp; it is "
            "for mnist --algorithm report",
        ),
        (
            ["--algorithm", "report", "--input-sparsity", "0.5"],
            "--input-sparsity 0.5 is not allowed with mnist --algorithm report",
        ),
        (
            ["--algorithm", "report", "--sparsity", "auto"],
            "--sparsity auto is not allowed with --algorithm report; a number is",
        ),
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--split", "20"], "argument --split: '20' is not allowed; a whole number from 0 to 19"),
        (["--train-size", "100"], "--train-size 100 is not allowed with boston"),
        (["--algorithm", "report"], "--algorithm report is not allowed with boston; it is for mn"),
    ],
)
def test_flags_of_another_data_set_are_refused(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["train", "boston", *words])
    except SystemExit as stopped:
        code = stopped.code
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_names_those_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "cifar"])
    assert stopped.value.code == 2
    assert "'cifar' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize("algorithm", ["em-tdamp", "report"])
def test_a_missing_data_file_is_one_line_and_exit_code_1(algorithm, tmp_path, monkeypatch, capsys):
    from emtdamp.baselines import report
    from emtdamp.datasets import loaders

    report._scaled_mnist.cache_clear()
    monkeypatch.setattr(loaders, "DATA_FOLDER", tmp_path)
    words = ["--algorithm", algorithm, *SMALL, "--out", str(tmp_path / "run")]
    assert main(["train", "mnist", *words]) == 1
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
    notebook = datasets.__file__.rsplit("/emtdamp/", 1)[0] + "/book/results.ipynb"
    assert main(["sweep", notebook, *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
