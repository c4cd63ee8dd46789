"""The command line: emtdamp train | sweep.

TensorFlow takes seconds to import, so nothing here imports it before a command needs it.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import emtdamp
from emtdamp.errors import EmtdampError, UsageError

NOTES = {
    "training_loss": "the report calls it validation loss",
    "sparsity": "fraction of hidden neurons that are inactive",
    "pruned_test_accuracy": "with the inactive neurons really zero",
    "seconds": "of training, evaluation apart",
}


class Parser(argparse.ArgumentParser):
    """One line an error; options may be spelled with underscores, as the report's program does."""

    def parse_known_args(self, args=None, namespace=None):  # pyright: ignore
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([self._dashed(word) for word in words], namespace)

    @staticmethod
    def _dashed(word: str) -> str:
        if not word.startswith("--"):
            return word
        name, equals, value = word.partition("=")
        return name.replace("_", "-") + equals + value

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number is") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a number is") from None


def parser() -> Parser:
    """The command line's parser."""
    root = Parser(prog="emtdamp", description=emtdamp.__doc__)
    root.add_argument("--version", action="version", version=f"emtdamp {emtdamp.__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")

    train = commands.add_parser(
        "train",
        help="train on a data set and write a run's folder",
        description="Train on a data set, print its scores and write a run's folder: settings, "
        "scores, history, confusion matrix, Keras model, figures.",
        epilog="example: emtdamp train mnist --em-iters 3 --out runs/first",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    train.set_defaults(run=run_train)
    train.add_argument("data", choices=["mnist"], help="data set; it comes with the package")
    add = train.add_argument
    add(
        "--algorithm",
        choices=["report"],
        default="report",
        help="report: the course report's simplified algorithm, defects included",
    )
    add("--em-iters", type=whole_number, default=10, metavar="N", help="EM iterations")
    add("--batch-size", type=whole_number, default=100, metavar="N", help="images a step")
    add("--hidden", type=whole_number, default=128, metavar="N", help="hidden neurons")
    add(
        "--sparsity",
        type=number,
        default=0.5,
        metavar="S",
        help="the report's target, 0 up to 1; its program keeps this fraction of the neurons",
    )
    add(
        "--train-size",
        type=whole_number,
        default=10_000,
        metavar="N",
        help="training images, from the first on; at most 60000",
    )
    add(
        "--patience",
        type=whole_number,
        default=0,
        metavar="N",
        help="stop after N iterations without a gain in test accuracy, 0: never; "
        "the program as printed has 3",
    )
    add("--seed", type=whole_number, default=0, metavar="N", help="0 is a seed too")
    add(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="the run's folder, new or empty (default: runs/DATA-ALGORITHM-SEED)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in that folder")

    sweep = commands.add_parser(
        "sweep",
        help="run a notebook of the book over a grid of its parameters",
        description="Run a notebook once for each combination of parameter values; keep every "
        "executed notebook and one CSV of results. Finished cells are not run again.",
        epilog="example: emtdamp sweep book/04-results.ipynb --grid sparsity=0.5,0.75 "
        "--grid seed=0,1 --jobs 2 --out sweep-of-sparsity",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sweep.set_defaults(run=run_sweep)
    add = sweep.add_argument
    add("notebook", type=Path, help="a notebook with a cell tagged parameters")
    add(
        "--grid",
        action="append",
        required=True,
        metavar="NAME=V1,V2",
        help="values of one parameter; give it once for each parameter",
    )
    add("--jobs", type=whole_number, default=1, metavar="N", help="notebooks at a time")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--overwrite", action="store_true", help="replace an earlier sweep in that folder")
    return root


def run_train(args: argparse.Namespace) -> None:
    from emtdamp import records
    from emtdamp.quiet import silenced_stderr

    out = getattr(args, "out", Path("runs") / f"{args.data}-{args.algorithm}-{args.seed}")
    records.check_out(out, args.overwrite)
    with silenced_stderr():
        import tensorflow as tf

        from emtdamp.baselines import report

        tf.config.list_logical_devices()  # it looks for a GPU, and complains, at first use
    settings = report.ReportSettings(
        hidden=args.hidden,
        batch_size=args.batch_size,
        em_iters=args.em_iters,
        sparsity=args.sparsity,
        seed=args.seed,
        patience=args.patience,
    )
    with progress(settings.em_iters) as show:
        result = report.train(settings, args.train_size, show)
    for name, value in result.metrics.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        print(f"{name:<22}{shown:>10}  {NOTES.get(name, '')}".rstrip())
    records.write_run(
        out,
        {"data": args.data, "train_size": args.train_size, **asdict(settings)},
        result.metrics,
        result.history,
        result.confusion_matrix,
        result.model,
        figures(result),
        args.overwrite,
    )
    print(f"written to {out}")


@contextmanager
def progress(total: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """A line an iteration, and a bar below them on a terminal; yields the training's callback."""
    from tqdm import tqdm

    count = itertools.count(1)
    with tqdm(total=total, unit="iteration", disable=not sys.stderr.isatty()) as bar:

        def show(row: dict[str, float]) -> None:
            tqdm.write(
                f"iteration {next(count)}/{total}: accuracy {row['val_accuracy']:.4f}, "
                f"precision {row['val_precision']:.4f}, recall {row['val_recall']:.4f}, "
                f"F1 {row['val_f1']:.4f}, sparsity {row['sparsity']:.4f}, "
                f"entropy {row['avg_entropy']:.4f}, loss {row['loss']:.4f} "
                f"(first batch {row['first_batch_loss']:.4f}), "
                f"active neurons {row['active_neurons']}, {row['seconds']:.1f} s",
                file=sys.stderr,
            )
            bar.update()

        yield show


def figures(result) -> dict:
    """What draws each figure of a run's folder."""
    import matplotlib

    matplotlib.use("agg")
    from emtdamp import plots

    plots.use_style()
    history = [result.history]
    variance = result.probabilities.var(axis=0)[None]
    return {
        "accuracy": lambda: plots.accuracy(history),
        "precision_recall_f1": lambda: plots.precision_recall_f1(history),
        "confusion_matrix": lambda: plots.confusion(result.confusion_matrix),
        "active_neurons": lambda: plots.active_neurons(history, result.settings.hidden),
        "rho": lambda: plots.rho_distribution([result.rho]),
        "sparsity_and_accuracy": lambda: plots.sparsity_and_accuracy(history),
        "class_variance": lambda: plots.class_bars(
            variance, "variance of p(digit) over test images", plots.COLOURS["report"]
        ),
    }


def run_sweep(args: argparse.Namespace) -> None:
    from emtdamp import pages, sweep

    grid: dict[str, list[str]] = {}
    for entry in args.grid:
        name, equals, values = entry.partition("=")
        if not (name and equals and values):
            raise UsageError(f"--grid {entry!r} is not allowed; NAME=VALUE,VALUE is")
        if name in grid:
            raise UsageError(f"--grid names {name} twice; give all its values at once")
        grid[name] = values.split(",")
    table = sweep.run(args.notebook, grid, args.jobs, args.out, args.overwrite)
    shown = [name for name in table if name in grid or name not in pages.environment()]
    print(table[shown].to_string(index=False))
    print(f"written to {args.out}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the words after `emtdamp`; those of the process if None.

    Returns:
        0, or the exit code of the error that was printed as one line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's import chatter
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same rounding as `make book`
    try:
        args = parser().parse_args(argv)
        args.run(args)
    except EmtdampError as error:
        print(f"emtdamp: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("emtdamp: interrupted; no run was written, finished cells are kept", file=sys.stderr)
        return 130
    return 0
