"""Time and memory of an EM iteration as the network and the data grow, each in its own process.

python -m benchmarks.growth 128-128 10000 100   prints one measurement as JSON
"""

import ctypes
import gc
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.timing import in_turns

WIDTHS = [(n,) for n in (128, 256, 512, 1024, 2048, 4096)]
DEPTHS = [(128,) * n for n in (2, 3, 4)]
SAMPLES = (2_500, 5_000, 20_000, 60_000)
ROWS = 10_000
MEGABYTE = 2**20


def measure(hidden: tuple[int, ...], rows: int, batch: int, rounds: int = 3) -> dict[str, float]:
    """Median seconds of an epoch; megabytes of its arrays, and of all it has at its peak.

    `arrays`: the data, and means, precisions, velocities, averages and priors. `memory`: these,
    and by how much the process grows while it computes. Neither counts libraries nor compiling.
    """
    from benchmarks import epochs

    compiled, progress = epochs.em_epochs(epochs.Images(rows), hidden, batch)
    numbers = tf.size(compiled.batch.x) + 6 * sum(tf.size(a) for a in progress.average)
    arrays = 4 * int(numbers) / MEGABYTE
    run = epochs.repeated(compiled, progress)
    _reset_peak()
    before = _status("VmRSS")
    run()
    peak = _status("VmHWM")
    seconds = in_turns({"em": run}, rounds)["em"]
    return {
        "seconds": float(np.median(seconds)),
        "memory": arrays + peak - before,
        "arrays": arrays,
    }


def apart(hidden: tuple[int, ...], rows: int, batch: int) -> dict[str, float]:
    """The same in a process of its own, where nothing else has left memory behind."""
    words = ["-".join(map(str, hidden)), str(rows), str(batch)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", *words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _status(name: str) -> float:
    """A line of Linux's account of this process in megabytes; NaN on other systems."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return float("nan")
    return float(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _reset_peak() -> None:
    """Give freed memory back and count the peak from here (Linux)."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        pass


if __name__ == "__main__":
    hidden, rows, batch = sys.argv[1:]
    print(json.dumps(measure(tuple(map(int, hidden.split("-"))), int(rows), int(batch))))
