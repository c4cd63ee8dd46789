"""A run's folder: everything one training run leaves, written whole or not at all.

config.json            settings, data set, versions
metrics.json           scores; nothing in it but `seconds` depends on time or place
history.csv            a row an EM iteration
confusion_matrix.csv   of a classifier: rows are labels, columns predictions
model.keras            the trained network
posterior.npz          of EM-TDAMP: the pruned posterior, for `emtdamp.load_posterior`
figures/               PNG files
"""

import errno
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emtdamp.errors import EmtdampError, UsageError

MARK = "emtdamp-run"


def check_out(out: Path, overwrite: bool = False) -> None:
    """Refuse, before anything is computed, a folder that a run must not be written to.

    Args:
        out: the run's folder to be. It may be absent or empty, or an earlier run's if `overwrite`.
        overwrite: replace an earlier run. A folder that is not a run's is never replaced.

    Raises:
        UsageError: `out` is a file, an earlier run without `overwrite`, somebody else's folder, or
            lies where nothing can be written.
    """
    if out == Path():
        raise UsageError("the folder one is in cannot be written anew; give the name of another")
    if not out.exists():
        parent = next(p for p in out.absolute().parents if p.exists())
        try:
            tempfile.TemporaryDirectory(dir=parent).cleanup()
        except OSError as error:
            raise UsageError(
                f"{out} cannot be made: {parent} is not a folder one can write to"
            ) from error
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file; give a folder that is new or empty")
    if not any(out.iterdir()):
        return
    if not _is_run(out):
        raise UsageError(
            f"{out} holds files that are not a run's; give a folder that is new or empty"
        )
    if not overwrite:
        raise UsageError(
            f"{out} holds a run already; give another folder, or --overwrite to replace it"
        )


def _is_run(folder: Path) -> bool:
    try:
        return json.loads((folder / "config.json").read_text())["kind"] == MARK
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def writing(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """A new folder to fill, which becomes `out` when the block ends well and is gone when not.

    Args:
        out: where the folder goes; checked again by :func:`check_out`.
        overwrite: replace an earlier run.

    Raises:
        UsageError: as :func:`check_out`.
        EmtdampError: the files cannot be written (a full disk, say). An earlier run is still there.
    """
    check_out(out, overwrite)
    made: list[Path] = []
    try:
        made = [p for p in out.absolute().parents if not p.exists()]
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise EmtdampError(f"{out} cannot be written: {error.strerror}") from error
    try:
        yield folder
        folder.chmod(0o777 & ~_umask())
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            parent.rmdir()
        if isinstance(error, OSError) or "errno = 28" in str(error):  # HDF5 wraps the latter
            reason = os.strerror(getattr(error, "errno", None) or errno.ENOSPC)
            raise EmtdampError(
                f"{out} cannot be written: {reason}; make room or give another folder"
            ) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_run(
    out: Path,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    history: pd.DataFrame,
    model: Any,
    figures: Mapping[str, Callable[[], Any]],
    confusion_matrix: np.ndarray | None = None,
    posterior: Any = None,
    overwrite: bool = False,
) -> None:
    """Write a run's folder.

    Args:
        out: the folder.
        config: settings; `kind` and the versions are added.
        metrics: JSON scalars.
        history: indexed by iteration.
        model: a Keras model.
        figures: name of each PNG file, and what draws it and returns its axes.
        confusion_matrix: (K, K), of a classifier.
        posterior: an `emtdamp.posterior.Posterior`, where there is one.
        overwrite: replace an earlier run.

    Raises:
        UsageError: as :func:`check_out`.
        EmtdampError: the files cannot be written; nothing of them is left.
    """
    import matplotlib.pyplot as plt  # the other functions do without

    with writing(out, overwrite) as folder:
        _write_json(folder / "config.json", {"kind": MARK, **config, "versions": versions()})
        _write_json(folder / "metrics.json", metrics)
        history.to_csv(folder / "history.csv")
        if confusion_matrix is not None:
            np.savetxt(folder / "confusion_matrix.csv", confusion_matrix, fmt="%d", delimiter=",")
        model.save(folder / "model.keras")
        if posterior is not None:
            posterior.save(folder / "posterior.npz")
        (folder / "figures").mkdir()
        for name, draw in figures.items():
            figure = draw().figure
            figure.savefig(folder / "figures" / f"{name}.png", bbox_inches="tight")
            plt.close(figure)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    packages = ("emtdamp", "keras", "numpy", "scikit-learn", "tensorflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
