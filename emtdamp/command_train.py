"""What `emtdamp train` does: which flags go with what, the run, its scores and figures.

Imported by the parser, so nothing slow is imported before a run starts.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emtdamp.errors import EmtdampError, UsageError

AUTO = "auto"
ACTIVITY = "posterior activity of a hidden neuron's outgoing weights"
# What `train` runs, and the flags of each with their defaults.
RUNS: dict[tuple[str, str], dict[str, Any]] = {
    ("mnist", "em-tdamp"): {
        "em_iters": 10, "batch_size": 100, "hidden": 128, "sparsity": 0.0, "input_sparsity": 0.0,
        "train_size": 10_000,
    },
    ("boston", "em-tdamp"): {
        "em_iters": AUTO, "batch_size": AUTO, "hidden": 50, "sparsity": 0.0, "input_sparsity": 0.0,
        "split": 0,
    },
    ("mnist", "report"): {
        "em_iters": 10, "batch_size": 100, "hidden": 128, "sparsity": 0.5, "train_size": 10_000,
        "patience": 0,
    },
}  # fmt: skip
NOTES = {
    "sparsity": "fraction of hidden neurons that are inactive",
    "seconds": "of training, compiling and evaluation apart",
}
REPORT_NOTES = NOTES | {
    "training_loss": "the report calls it validation loss",
    "pruned_test_accuracy": "with the inactive neurons really zero",
}
EM_TDAMP_NOTES = NOTES | {
    "test_accuracy": "posterior predictive of the pruned network, as all of these",
    "test_rmse": "posterior predictive of the pruned network, as all of these",
    "training_loss": "minus log Z of a row before it was learnt",
    "kept_inputs": "columns that vary in training and were not pruned",
    "parameters": "weights and biases that pruning leaves",
    "model_test_accuracy": "of model.keras, the posterior means alone",
    "model_test_rmse": "of model.keras, the posterior means alone",
    "unpruned_test_accuracy": "the same fit once more, without pruning",
    "unpruned_test_rmse": "the same fit once more, without pruning",
    "coverage_50": "share of test rows in the central 50 % interval",
}
SHOWN = {
    "val_accuracy": "accuracy {:.4f}", "val_precision": "precision {:.4f}",
    "val_recall": "recall {:.4f}", "val_f1": "F1 {:.4f}", "val_rmse": "RMSE {:.4f}",
    "val_log_likelihood": "log-likelihood {:.4f}", "sparsity": "sparsity {:.4f}",
    "avg_entropy": "entropy {:.4f}", "loss": "loss {:.4f}",
    "first_batch_loss": "first batch {:.4f}", "active_neurons": "active neurons {}",
    "kept_inputs": "inputs {}", "seconds": "{:.2f} s",
}  # fmt: skip


def defaults(name: str) -> str:
    """What the help says of a flag's default."""
    values = {run: flags[name] for run, flags in RUNS.items() if name in flags}
    if len(set(values.values())) == 1:
        return f"(default: {next(iter(values.values()))})"
    words = [
        f"{data if algorithm == 'em-tdamp' else algorithm} {values[data, algorithm]}"
        for data, algorithm in values
    ]
    return f"(default: {', '.join(words)})"


def own_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of this data set and algorithm, given or default; those of others are refused."""
    run = args.data, args.algorithm
    if run not in RUNS:
        others = " or ".join(data for data, algorithm in RUNS if algorithm == args.algorithm)
        raise UsageError(
            f"--algorithm {args.algorithm} is not allowed with {args.data}; it is for {others}, "
            "leave it out"
        )
    flags = dict(RUNS[run])
    for name in sorted({name for known in RUNS.values() for name in known}):
        if not hasattr(args, name):
            continue
        value, flag = getattr(args, name), f"--{name.replace('_', '-')} {getattr(args, name)}"
        if name not in flags:
            owners = [f"{data} --algorithm {algorithm}" for data, algorithm in RUNS
                      if name in RUNS[data, algorithm]]  # fmt: skip
            raise UsageError(
                f"{flag} is not allowed with {' --algorithm '.join(run)}; it is for "
                f"{' and '.join(owners)}, leave it out"
            )
        if value == AUTO and args.algorithm == "report":
            raise UsageError(
                f"{flag} is not allowed with --algorithm report; a number is "
                f"(default: {flags[name]})"
            )
        flags[name] = value
    return flags


def run(args: argparse.Namespace) -> None:
    from emtdamp.study import records
    from emtdamp.study.quiet import silenced_stderr

    flags = own_flags(args)
    out = getattr(args, "out", Path("runs") / f"{args.data}-{args.algorithm}-{args.seed}")
    records.check_out(out, args.overwrite)
    with silenced_stderr():
        import tensorflow as tf

        tf.config.list_logical_devices()  # it looks for a GPU, and complains, at first use
    train = train_report if args.algorithm == "report" else train_em_tdamp
    result, notes = train(args.data, args.seed, flags)
    for name, value in result["metrics"].items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        print(f"{name:<30}{shown:>10}  {notes.get(name, '')}".rstrip())
    result["config"] = {"data": args.data, "algorithm": args.algorithm, **result["config"]}
    records.write_run(out, **result, overwrite=args.overwrite)
    print(f"written to {out}")


def train_report(data: str, seed: int, flags: dict[str, Any]) -> tuple[dict[str, Any], dict]:
    """A run of the report's algorithm: what `records.write_run` takes, and notes on its scores."""
    from emtdamp.baselines import report

    train_size = flags.pop("train_size")
    settings = report.ReportSettings(seed=seed, **flags)
    with progress(settings.em_iters) as show:
        result = report.train(settings, train_size, show)
    return {
        "config": {"train_size": train_size, **asdict(settings)},
        "metrics": result.metrics,
        "history": result.history,
        "confusion_matrix": result.confusion_matrix,
        "model": result.model,
        "figures": classifier_figures("report", result.history, settings.hidden,
                                      result.confusion_matrix, result.probabilities, result.rho),
    }, REPORT_NOTES  # fmt: skip


def train_em_tdamp(data: str, seed: int, flags: dict[str, Any]) -> tuple[dict[str, Any], dict]:
    """A run of EM-TDAMP: what `records.write_run` takes, and notes on its scores."""
    from emtdamp.study import runs

    if data == "mnist":
        task = runs.mnist(flags.pop("train_size"))
    else:
        task = runs.boston(flags.pop("split"))
    settings = runs.Settings(seed=seed, **flags).resolved(len(task.x))
    assert settings.em_iters != AUTO
    with progress(settings.em_iters) as show:
        result = runs.train(task, settings, show)
    scores = dict(result.metrics)
    if settings.sparsity or settings.input_sparsity:
        print("once more without pruning, to compare", file=sys.stderr)
    try:
        scores |= runs.unpruned(task, result)
    except (EmtdampError, KeyboardInterrupt) as error:  # what was trained is not lost for this
        print(
            f"emtdamp: unpruned_ scores are left out: {str(error) or 'interrupted'}",
            file=sys.stderr,
        )
    run = {
        "config": {**task.about, **asdict(settings)},
        "metrics": scores,
        "history": result.history,
        "model": result.posterior.to_keras(),
        "posterior": result.posterior,
    }
    if task.classes:
        matrix = result.confusion_matrix(task)
        run["confusion_matrix"] = matrix
        run["figures"] = classifier_figures(
            "em-tdamp", result.history, settings.hidden, matrix, result.predicted, result.rho
        )
    else:
        run["figures"] = regressor_figures(result, task.y_test)
    return run, EM_TDAMP_NOTES


@contextmanager
def progress(total: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A line an iteration, and a bar below them on a terminal; yields the training's callback."""
    from tqdm import tqdm

    count = itertools.count(1)
    with tqdm(total=total, unit="iteration", disable=not sys.stderr.isatty()) as bar:

        def show(row: dict[str, float]) -> None:
            scores = [text.format(row[name]) for name, text in SHOWN.items() if name in row]
            tqdm.write(f"iteration {next(count)}/{total}: {', '.join(scores)}", file=sys.stderr)
            bar.update()

        yield show


def classifier_figures(method, history, hidden, matrix, probabilities, rho) -> dict:
    """What draws each figure of a classifier's run."""
    plots = ready_plots()
    rows, variance = [history], probabilities.var(axis=0)[None]
    label = "rho at the end of training" if method == "report" else ACTIVITY
    return {
        "accuracy": lambda: plots.accuracy(rows, method=method),
        "precision_recall_f1": lambda: plots.precision_recall_f1(rows),
        "confusion_matrix": lambda: plots.confusion(matrix),
        "active_neurons": lambda: plots.active_neurons(rows, hidden, method=method),
        "rho": lambda: plots.rho_distribution([rho], label=label),
        "sparsity_and_accuracy": lambda: plots.sparsity_and_accuracy(rows, method=method),
        "class_variance": lambda: plots.class_bars(
            variance, "variance of p(digit) over test images", plots.COLOURS[method]
        ),
    }


def regressor_figures(result, y) -> dict:
    """What draws each figure of a regressor's run; y is the truth of the test rows."""
    plots = ready_plots()
    rows, (mean, std) = [result.history], result.predicted.T
    return {
        "predictions": lambda: plots.predictions(y, mean, std, "median value, 1000 dollars"),
        "coverage": lambda: plots.coverage(y, mean, std),
        "rmse": lambda: plots.score_by_iteration(rows, "val_rmse", "test RMSE", "em-tdamp"),
        "log_likelihood": lambda: plots.score_by_iteration(
            rows, "val_log_likelihood", "test log-likelihood", "em-tdamp"
        ),
        "active_neurons": lambda: plots.active_neurons(
            rows, result.settings.hidden, method="em-tdamp"
        ),
        "rho": lambda: plots.rho_distribution([result.rho], label=ACTIVITY),
    }


def ready_plots():
    """`emtdamp.study.plots`, in the book's look and without a window.

    A backend that is in use already stays: a notebook's next figures need it.
    """
    import matplotlib

    if matplotlib.get_backend(auto_select=False) is None:
        matplotlib.use("agg")
    from emtdamp.study import plots

    plots.use_style()
    return plots
