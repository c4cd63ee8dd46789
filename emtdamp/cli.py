"""The command line: emtdamp train | federate | sweep.

TensorFlow takes seconds to import, so nothing here imports it before a command needs it.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import emtdamp
from emtdamp import command_federate, command_train
from emtdamp.command_train import AUTO, RUNS, defaults
from emtdamp.errors import EmtdampError, UsageError

STUDY = ("matplotlib", "pandas", "seaborn", "tensorflow_probability", "tqdm")  # the extra's modules


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


def whole_number(
    least: int = 1, most: int | None = None, auto: bool = False
) -> Callable[[str], int | str]:
    """The type of a flag: a whole number within these bounds, or "auto" where that is allowed."""
    wanted = f"a whole number from {least} {'on' if most is None else f'to {most}'}"

    def convert(text: str) -> int | str:
        if auto and text == AUTO:
            return text
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; {wanted}{', or auto,' * auto} is"
            )
        return value

    return convert


def fraction(text: str) -> float | str:
    """The type of a flag: a number in [0, 1), or "auto"."""
    if text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not allowed; a number from 0 up to, not including, 1, or auto, is"
        )
    return value


def parser() -> Parser:
    """The command line's parser."""
    root = Parser(prog="emtdamp", description=emtdamp.__doc__)
    root.add_argument("--version", action="version", version=f"emtdamp {emtdamp.__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")

    train = commands.add_parser(
        "train",
        help="train on a data set and write a run's folder",
        description="Train on a data set, print its scores and write a run's folder: settings, "
        "scores, history, confusion matrix, posterior, Keras model, figures. Scores of em-tdamp "
        "are the posterior predictive's of the pruned network; those called unpruned_ are of the "
        "same fit done once more without pruning, since pruning happens during training.",
        epilog="examples: emtdamp train mnist --sparsity 0.5 --out runs/half; "
        "emtdamp train boston --split 3 --sparsity 0.5",
    )
    train.set_defaults(run=command_train.run)
    data, algorithms = (list(dict.fromkeys(run[i] for run in RUNS)) for i in (0, 1))
    train.add_argument("data", choices=data, help="data set; it comes with the package")
    train.add_argument(
        "--algorithm",
        choices=algorithms,
        default="em-tdamp",
        help="em-tdamp: the estimators' default; report: the course report's simplified algorithm, "
        "defects included, for mnist (default: em-tdamp)",
    )

    def flag(name: str, what: str, **options) -> None:
        what = f"{what} {defaults(name.strip('-').replace('-', '_'))}"
        train.add_argument(name, default=argparse.SUPPRESS, help=what, **options)

    flag("--em-iters", "EM iterations", type=whole_number(auto=True), metavar="N")
    flag("--batch-size", "rows a step", type=whole_number(auto=True), metavar="N")
    flag("--hidden", "hidden neurons", type=whole_number(), metavar="N")
    flag(
        "--sparsity",
        "fraction of the hidden neurons to prune, 0 up to 1, or auto: as many as EM finds "
        "inactive; with report, its target: the fraction its program keeps",
        type=fraction,
        metavar="S",
    )
    flag("--input-sparsity", "the same for the inputs; em-tdamp", type=fraction, metavar="S")
    flag(
        "--train-size",
        "training images of mnist, from the first on; at most 60000",
        type=whole_number(most=60_000),
        metavar="N",
    )
    flag(
        "--split",
        "which of boston's 20 standard splits, 0 to 19",
        type=whole_number(0, 19),
        metavar="N",
    )
    flag(
        "--patience",
        "with report: stop after N iterations without a gain in test accuracy, 0: never; "
        "the program as printed has 3",
        type=whole_number(0),
        metavar="N",
    )
    train.add_argument(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        metavar="N",
        help="of everything random; 0 is a seed too (default: 0)",
    )
    train.add_argument(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="the run's folder, new or empty (default: runs/DATA-ALGORITHM-SEED)",
    )
    train.add_argument(
        "--overwrite", action="store_true", help="replace an earlier run in that folder"
    )

    add_federate(commands)
    sweep = commands.add_parser(
        "sweep",
        help="run a notebook of the book over a grid of its parameters",
        description="Run a notebook once for each combination of parameter values; keep every "
        "executed notebook and one CSV of results. Finished cells are not run again.",
        epilog="example: emtdamp sweep book/results.ipynb --grid sparsity=0.5,0.75 "
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
    add("--jobs", type=whole_number(), default=1, metavar="N", help="notebooks at a time")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    add("--overwrite", action="store_true", help="replace an earlier sweep in that folder")
    return root


def add_federate(commands: Any) -> None:
    """The parser of `emtdamp federate`."""
    federate = commands.add_parser(
        "federate",
        help="train over clients that keep their rows, and write a run's folder",
        description="Deal MNIST's training images out to clients, train over them round by round, "
        "print the scores on the test images and write a run's folder; history.csv has a row a "
        "round. Clients answer one after the other, in this process.",
        epilog="example: emtdamp federate mnist --clients 10 --rounds 10 "
        "--partition dirichlet:0.3 --out runs/skewed",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    federate.set_defaults(run=command_federate.run)
    add = federate.add_argument
    add("data", choices=["mnist"], help="data set; it comes with the package")
    add("--clients", type=whole_number(), default=10, metavar="N", help="clients")
    add("--rounds", type=whole_number(), default=10, metavar="N", help="rounds")
    add("--passes", type=whole_number(), default=1, metavar="N", help="local passes a round")
    add(
        "--partition",
        default="iid",
        metavar="KIND",
        help="how rows are dealt out: iid, or dirichlet:ALPHA, the more skewed by label the "
        "smaller ALPHA is",
    )
    add(
        "--engine",
        choices=["loop", "flower"],
        default="loop",
        help="what carries the messages: a loop, or Flower's apps; the numbers are the same",
    )
    add("--hidden", type=whole_number(), default=128, metavar="N", help="hidden neurons")
    add("--batch-size", type=whole_number(), default=100, metavar="N", help="rows a step")
    add("--sparsity", type=fraction, default=0.0, metavar="S", help="share of neurons to prune")
    add(
        "--train-size",
        type=whole_number(most=60_000),
        default=60_000,
        metavar="N",
        help="training images of all clients together, from the first on",
    )
    add("--seed", type=whole_number(0, 2**32 - 1), default=0, metavar="N", help="of all chance")
    add(
        "--state",
        type=Path,
        metavar="FILE",
        help="keep the server's state there after each round, and go on from it if it is there",
    )
    add(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="the run's folder, new or empty (default: runs/federate-DATA-SEED)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in that folder")


def run_sweep(args: argparse.Namespace) -> None:
    from emtdamp.study import pages, sweep

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
        _check_installed()
        args.run(args)
    except EmtdampError as error:
        print(f"emtdamp: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("emtdamp: interrupted; no run was written, finished cells are kept", file=sys.stderr)
        return 130
    return 0


def _check_installed() -> None:
    """Raise UsageError, before anything is trained, where the extra is not there."""
    missing = [name for name in STUDY if find_spec(name) is None]
    if missing:
        raise UsageError(f'this needs {", ".join(missing)}: pip install "emtdamp[study]"')
