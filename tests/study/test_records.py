"""A run's folder: whole or not at all, and nobody else's files."""

import errno
import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.study import records


class Model:
    def __init__(self, error=None):
        self.error = error

    def save(self, path):
        if self.error:
            raise self.error
        path.write_text("a model")


def write(out, model=None, metrics=None, **options):
    history = pd.DataFrame({"val_accuracy": [0.5]}, index=pd.Index([1], name="iteration"))
    records.write_run(
        out,
        {"data": "mnist", "seed": 0},
        metrics or {"test_accuracy": 0.5},
        history,
        model or Model(),
        {"empty": lambda: plt.subplots()[1]},
        **options,
    )


def test_a_run_leaves_all_its_files_and_nothing_beside_them(tmp_path):
    out = tmp_path / "runs" / "first"
    write(out, confusion_matrix=np.eye(2, dtype=int), posterior=Model())
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*")) == [
        "config.json", "confusion_matrix.csv", "figures", "figures/empty.png", "history.csv",
        "metrics.json", "model.keras", "posterior.npz",
    ]  # fmt: skip
    assert list(out.parent.iterdir()) == [out]
    assert json.loads((out / "metrics.json").read_text()) == {"test_accuracy": 0.5}
    assert json.loads((out / "config.json").read_text())["data"] == "mnist"
    assert pd.read_csv(out / "history.csv").to_dict("list") == {
        "iteration": [1], "val_accuracy": [0.5],
    }  # fmt: skip
    assert (out / "confusion_matrix.csv").read_text() == "1,0\n0,1\n"
    assert plt.get_fignums() == []


def test_an_existing_empty_folder_is_used(tmp_path):
    write(tmp_path)
    assert (tmp_path / "metrics.json").exists()


def test_what_a_run_does_not_have_is_absent(tmp_path):
    write(tmp_path)
    assert not {"confusion_matrix.csv", "posterior.npz"} & {p.name for p in tmp_path.iterdir()}


def test_a_run_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / "run"
    write(out)
    with pytest.raises(UsageError, match="--overwrite"):
        write(out, metrics={"test_accuracy": 0.9})
    assert json.loads((out / "metrics.json").read_text()) == {"test_accuracy": 0.5}
    write(out, metrics={"test_accuracy": 0.9}, overwrite=True)
    assert json.loads((out / "metrics.json").read_text()) == {"test_accuracy": 0.9}


@pytest.mark.parametrize("content", ["notes.txt", "config.json"])
def test_somebody_elses_folder_is_never_replaced(tmp_path, content):
    (tmp_path / content).write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="not a run's"):
            write(tmp_path, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == [content]


def test_where_nothing_can_be_made_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in ("", "."):
        with pytest.raises(UsageError, match="the folder one is in cannot be written anew"):
            records.check_out(Path(out))
    with pytest.raises(UsageError, match="/proc is not a folder one can write to"):
        records.check_out(Path("/proc/run"))
    records.check_out(Path("new"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        write(tmp_path / "out")
    with pytest.raises(UsageError, match="cannot be made"):
        write(tmp_path / "out" / "below")


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("error", [FULL, RuntimeError("unable to write, errno = 28, no space")])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, error):
    out = tmp_path / "runs" / "run"
    with pytest.raises(EmtdampError, match="No space left on device"):
        write(out, Model(error))
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_run_survives_a_failed_replacement(tmp_path):
    out = tmp_path / "run"
    write(out)
    with pytest.raises(EmtdampError):
        write(out, Model(FULL), overwrite=True)
    assert json.loads((out / "metrics.json").read_text()) == {"test_accuracy": 0.5}
    assert list(tmp_path.iterdir()) == [out]


def test_a_score_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "run", metrics={"test_accuracy": float("nan")})
    assert list(tmp_path.iterdir()) == []
