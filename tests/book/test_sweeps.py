"""A page as a sweep's cell, and as plain papermill runs it."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from emtdamp.cli import main

pytestmark = pytest.mark.book

ROOT = Path(__file__).parents[2]


def test_two_by_two_cells_of_the_results_page(tmp_path, capsys):
    out = tmp_path / "out"
    grid = ["sparsity=0.5,0.75", "seed=0,1", "seeds=1", "em_iters=1", "train_size=200"]
    words = [word for entry in grid for word in ("--grid", entry)]
    page = str(ROOT / "book" / "results.ipynb")
    assert main(["sweep", page, *words, "--jobs", "2", "--out", str(out)]) == 0
    table = pd.read_csv(out / "results.csv")
    assert table[["sparsity", "seed"]].to_numpy().tolist() == [
        [0.5, 0],
        [0.5, 1],
        [0.75, 0],
        [0.75, 1],
    ]
    assert (table["status"] == "finished").all()
    # the target changes what is counted, the seed what is learned
    assert table["active_neurons"].tolist() == [64, 64, 96, 96]
    accuracy = table["accuracy_mean"].tolist()
    assert accuracy[:2] == accuracy[2:] and accuracy[0] != accuracy[1]
    assert len(list(out.glob("*/executed.ipynb"))) == 4
    assert "active_neurons" in capsys.readouterr().out


def test_plain_papermill_runs_a_page_from_the_root(tmp_path):
    program = Path(sys.executable).with_name("papermill")
    out = tmp_path / "out.ipynb"
    words = ["book/spread.ipynb", out, "-p", "em_iters", "1", "--cwd", tmp_path]
    subprocess.run(
        [program, *words, "--no-progress-bar"], cwd=ROOT, check=True, capture_output=True
    )
    assert "other than the default parameters" in out.read_text("utf-8")
    assert (tmp_path / "_generated" / "records" / "spread.json").exists()
