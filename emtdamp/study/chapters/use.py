"""Figures and the command line of the page that shows the package's use."""

import io
import shlex
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import PercentFormatter
from scipy.special import ndtri

from emtdamp import cli
from emtdamp.errors import EmtdampError
from emtdamp.study import plots


def accuracy_by_neurons(kept: Sequence[int], accuracy: Sequence[float], whole: float) -> None:
    """Draw the test accuracy of pruned networks, and that of the whole one as a dashed line."""
    ax = plots.panels(1)[0]
    ax.axhline(whole, color=plots.COLOURS["reported"], ls="--", lw=1)
    ax.annotate("whole network", (0.99, whole), xycoords=("axes fraction", "data"), ha="right",
                va="bottom", fontsize="small", color=plots.COLOURS["reported"])  # fmt: skip
    ax.plot(kept, accuracy, color=plots.COLOURS["em-tdamp"], marker="o")
    ax.set_xticks(kept)
    ax.set_ylim(top=min(1.02, max(whole, *accuracy) + 0.06))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("hidden neurons left")
    ax.set_ylabel("test accuracy")
    plt.show()


def inside(y: np.ndarray, mean: np.ndarray, std: np.ndarray, level: float = 0.9) -> np.ndarray:
    """(B,) whether the central interval of N(mean, std^2) holds y."""
    return np.abs(y - mean) <= ndtri((1 + level) / 2) * std


def intervals(y: np.ndarray, mean: np.ndarray, std: np.ndarray, level: float = 0.9) -> None:
    """Draw the interval of each row in the order of the means, and y as a dot."""
    order = np.argsort(mean)
    y, mean, std = y[order], mean[order], std[order]
    half, place = ndtri((1 + level) / 2) * std, np.arange(len(y))
    held = inside(y, mean, std, level)
    ax, colour = plots.panels(1, height=3.8)[0], plots.COLOURS["em-tdamp"]
    ax.fill_between(place, mean - half, mean + half, color=colour, alpha=0.2, lw=0,
                    label=f"{level:.0%} interval")  # fmt: skip
    ax.plot(place, mean, color=colour, label="mean")
    ax.plot(place[held], y[held], "o", ms=4, color="0.45", label="value, inside")
    ax.plot(place[~held], y[~held], "D", ms=5, color="black", label="value, outside")
    ax.set_ylim(top=ax.get_ylim()[1] + 0.3 * np.ptp(ax.get_ylim()))  # room for the legend
    ax.set_xlabel("test rows, in the order of their predicted mean")
    ax.set_ylabel("progression of the disease")
    ax.legend(loc="upper left", ncols=2, fontsize="small")
    plt.show()


def run(command: str) -> None:
    """Run an `emtdamp ...` line in an empty folder; print it, its output and the files it wrote.

    In this process, which has TensorFlow loaded and epochs compiled.

    Raises EmtdampError where it fails.
    """
    output, complaints = io.StringIO(), io.StringIO()
    with (
        TemporaryDirectory() as folder,
        chdir(folder),
        redirect_stdout(output),
        redirect_stderr(complaints),
    ):
        failed = cli.main(shlex.split(command)[1:])
        files = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    if failed:
        raise EmtdampError(f"{command} failed: {complaints.getvalue()[-2000:]}")
    print(f"$ {command}", output.getvalue(), *files, sep="\n")
