import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.study import sweep

pytestmark = pytest.mark.slow

PARAMETERS = """\
sparsity: float = 0.5  # fraction removed
seed: int = 0  # seed
stop: bool = False  # early stopping
data: str = "mnist"  # data set
"""
START = "from emtdamp.study import pages\npage = pages.start('tiny')"
RECORD = "page.record({'score': seed + sparsity, 'whole': 10 * seed})"


def write_notebook(path, *cells, tags=("parameters",)):
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = list(tags)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # the same text each time
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def executions(tmp_path):
    """The file that each executed cell of a sweep adds a line to."""
    return tmp_path / "executions.txt"


@pytest.fixture
def notebook(tmp_path, executions):
    return counting_notebook(tmp_path / "book" / "tiny.ipynb", executions)


def counting_notebook(path, executions, *cells):
    count = f"with open({str(executions)!r}, 'a') as file:\n    print(seed, file=file)"
    return write_notebook(path, PARAMETERS, START, count, *(cells or [RECORD]))


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_a_sweep_runs_the_grid_and_keeps_notebooks_and_results(notebook, executions, tmp_path):
    out = tmp_path / "{braces}" / "out"
    said = []
    grid = {"sparsity": ["0.75", "0.5"], "seed": ["0", "1"]}
    frame = sweep.run(notebook, grid, 2, out, log=said.append)

    assert frame["sparsity"].tolist() == [0.75, 0.75, 0.5, 0.5]
    assert frame["seed"].tolist() == [0, 1, 0, 1]
    assert frame["score"].tolist() == [0.75, 1.75, 0.5, 1.5]
    assert frame["status"].tolist() == ["finished"] * 4
    assert list(frame)[:6] == ["sparsity", "seed", "stop", "data", "score", "whole"]
    assert {"seconds", "python", "tensorflow", "emtdamp", "device"} <= set(frame)
    pd.testing.assert_frame_equal(pd.read_csv(out / "results.csv"), frame, check_dtype=False)
    assert len(lines(executions)) == 4

    cells = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert cells == [f"seed={seed},sparsity={s}" for seed in (0, 1) for s in (0.5, 0.75)]
    for cell in cells:
        kept = sorted(p.relative_to(out / cell) for p in (out / cell).rglob("*") if p.is_file())
        assert kept == [Path("_generated/records/tiny.json"), Path("executed.ipynb")]
    executed = nbformat.read(out / "seed=1,sparsity=0.75" / "executed.ipynb", 4)
    assert "other than the default parameters" in executed.cells[2].outputs[0].data["text/html"]
    assert sorted(line.split("] ")[1].split(":")[0] for line in said) == cells

    # Continued with one value more, and the names in another order: one cell more is executed.
    grid = {"seed": ["0", "1"], "sparsity": ["0.5", "0.75", "0.9"]}
    sweep.run(notebook, grid | {"seed": ["0"]}, 1, out, log=said.append)
    assert len(lines(executions)) == 5
    assert "2 of 3 cells were finished before" in said


def test_a_failing_cell_does_not_lose_the_others(tmp_path, executions):
    fail = f"if seed == 1 and not open({str(tmp_path / 'mended')!r}, 'a+').tell():\n    1 / 0"
    path = counting_notebook(tmp_path / "tiny.ipynb", executions, RECORD, fail)
    out = tmp_path / "out"
    said = []
    with pytest.raises(sweep.SweepError, match="1 of 2 cells failed") as failed:
        sweep.run(path, {"seed": ["0", "1"]}, 1, out, log=said.append)
    assert failed.value.exit_code == 1
    trace = out / "seed=1" / "unfinished.ipynb"
    assert said[-1] == f"seed=1: ZeroDivisionError: division by zero; see {trace}"
    assert "ZeroDivisionError" in trace.read_text()

    text = (out / "results.csv").read_text().splitlines()
    assert text[1].startswith("0.5,0,False,mnist,0.5,0,") and text[1].endswith(",finished")
    assert text[2].startswith("0.5,1,False,mnist,,,") and text[2].endswith(",failed")

    (tmp_path / "mended").write_text("now")
    frame = sweep.run(path, {"seed": ["0", "1"]}, 1, out, log=said.append)
    assert frame["status"].tolist() == ["finished", "finished"]
    assert lines(executions) == ["0", "1", "1"]
    assert not trace.exists()


def test_a_process_ended_from_outside_does_not_lose_the_others(tmp_path):
    end = "import os, signal\nif seed == 1:\n    os.kill(os.getppid(), signal.SIGKILL)"
    path = write_notebook(tmp_path / "tiny.ipynb", PARAMETERS, START, end, RECORD)
    with pytest.raises(sweep.SweepError, match="of 2 cells failed"):
        sweep.run(path, {"seed": ["0", "1"]}, 2, tmp_path / "out", log=[].append)
    status = pd.read_csv(tmp_path / "out" / "results.csv")["status"]
    assert status[1] == "failed"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["pass"], "the page wrote 0 records: expected 1"),
        ([START + "\nseed = 7\n" + START, RECORD], "the page ran with another seed than 3"),
    ],
)
def test_a_page_that_did_not_record_this_cell_has_failed(tmp_path, cells, reason):
    path = write_notebook(tmp_path / "tiny.ipynb", PARAMETERS, *cells)
    said = []
    with pytest.raises(sweep.SweepError):
        sweep.run(path, {"seed": ["3"]}, 1, tmp_path / "out", log=said.append)
    assert reason in said[-1]


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ({"sparsty": ["0.5"]}, r"tiny.ipynb has no parameter sparsty; it has sparsity \(float\), "),
        ({"seed": ["x"]}, "parameter seed is 'x': expected an int"),
        ({"seed": ["0.5"]}, "parameter seed is '0.5': expected an int"),
        ({"sparsity": ["high"]}, "parameter sparsity is 'high': expected a finite float"),
        ({"sparsity": ["nan"]}, "parameter sparsity is nan: expected a finite float"),
        ({"stop": ["1"]}, "parameter stop is '1': expected true or false"),
        ({"seed": ["0", ""]}, "parameter seed has an empty value: expected an int"),
        ({"data": [" "]}, "parameter data has an empty value: expected a str"),
        ({"seed": []}, "parameter seed has no values"),
        ({"sparsity": ["0.5", "0.50"]}, "parameter sparsity has a value twice: 0.5"),
        ({}, "the grid is empty"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_runs(notebook, executions, tmp_path, grid, reason):
    with pytest.raises(UsageError, match=reason):
        sweep.run(notebook, grid, 1, tmp_path / "out")
    assert not executions.exists() and not (tmp_path / "out").exists()


def test_values_are_converted_to_the_annotated_types():
    declared = sweep.parameters(PARAMETERS)
    grid = {"stop": ["true", "False"], "sparsity": ["1"], "data": ["7"], "seed": ["-1"]}
    points = sweep._points(Path("tiny.ipynb"), declared, grid)
    assert [list(map(repr, point.values())) for point in points] == [
        ["True", "1.0", "'7'", "-1"],
        ["False", "1.0", "'7'", "-1"],
    ]


def test_texts_in_folder_names_stay_inside_the_folder_and_apart():
    names = {sweep._name({"data": value}) for value in ("a/b", "a_b", "../a", "a,b=c", "{a}")}
    assert len(names) == 5
    assert all("/" not in name and "{" not in name for name in names)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_at_least_one(notebook, tmp_path, jobs):
    with pytest.raises(UsageError, match=f"jobs {jobs}: expected 1 or more"):
        sweep.run(notebook, {"seed": ["0"]}, jobs, tmp_path / "out")


def test_what_is_no_notebook_with_parameters_is_refused(tmp_path):
    def refused(path, reason):
        with pytest.raises(UsageError, match=reason):
            sweep.run(path, {"seed": ["0"]}, 1, tmp_path / "out")

    refused(tmp_path / "none.ipynb", "none.ipynb: No such file")
    refused(tmp_path, "Is a directory")
    (tmp_path / "text.ipynb").write_text("no JSON")
    refused(tmp_path / "text.ipynb", "is not a notebook")
    (tmp_path / "list.ipynb").write_text("[]")
    refused(tmp_path / "list.ipynb", "is not a notebook")
    refused(write_notebook(tmp_path / "a.ipynb", PARAMETERS, tags=()), "no cell tagged")
    refused(write_notebook(tmp_path / "b.ipynb", "%time x = 1"), "of the parameters cell")
    refused(write_notebook(tmp_path / "c.ipynb", "seed: list = []"), "expected 'name: type")
    assert not (tmp_path / "out").exists()


def take(out, notebook, overwrite=False, grid=("seed",)):
    sweep._take(out, sweep._identity(notebook, {name: ["0"] for name in grid}), overwrite)


def test_a_new_or_empty_folder_becomes_a_sweeps(notebook, tmp_path):
    for out in (tmp_path / "a" / "new", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        take(out, notebook)
        mark = json.loads((out / "sweep.json").read_text())
        assert mark["notebook"] == "tiny.ipynb" and mark["grid"] == ["seed"]
        assert len(mark["notebook_sha256"]) == len(mark["package_sha256"]) == 64


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_or_somebody_elses_folder_is_never_touched(notebook, tmp_path, overwrite):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="file is a file"):
        take(file, notebook, overwrite)
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        take(file / "out", notebook, overwrite)
    for text in (None, "no JSON", "[]", '{"kind": "another"}'):
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("mine")
        if text:
            (folder / "sweep.json").write_text(text)
        with pytest.raises(UsageError, match="files that are not a sweep's"):
            take(folder, notebook, overwrite)
        assert (folder / "notes.txt").read_text() == "mine"
    assert file.read_text() == "mine"


def test_a_sweep_of_the_same_is_continued_and_only_overwrite_begins_anew(notebook, tmp_path):
    out = tmp_path / "out"
    take(out, notebook)
    (out / "seed=0").mkdir()
    take(out, notebook)
    assert (out / "seed=0").is_dir()
    take(out, notebook, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["sweep.json"]


def test_a_sweep_of_something_else_is_refused_with_the_way_out(notebook, tmp_path, monkeypatch):
    out = tmp_path / "out"
    take(out, notebook)
    with pytest.raises(UsageError, match=r"another grid: --overwrite removes .* another --out"):
        take(out, notebook, grid=("seed", "sparsity"))
    with monkeypatch.context() as patch:
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "code.py").write_text("changed")
        patch.setattr(sweep, "__file__", str(tmp_path / "package" / "study" / "sweep.py"))
        with pytest.raises(UsageError, match="another package_sha256"):
            take(out, notebook)
    write_notebook(notebook, PARAMETERS, "changed")
    with pytest.raises(UsageError, match="another notebook_sha256"):
        take(out, notebook)
    take(out, notebook, overwrite=True)
    take(out, notebook)


def test_threads_are_told_to_kernels_and_forgotten_again(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    with sweep._threads(2):
        assert sweep.os.environ["OMP_NUM_THREADS"] == "2"
        assert sweep.os.environ["TF_NUM_INTRAOP_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in sweep.os.environ


def test_a_missing_package_is_asked_for_by_the_extra(monkeypatch, notebook, tmp_path):
    monkeypatch.setitem(sys.modules, "papermill", None)
    with pytest.raises(EmtdampError, match=r'papermill: pip install "emtdamp\[sweep\]"'):
        sweep.run(notebook, {"seed": ["0"]}, 1, tmp_path / "out")


STUDY = "title: Tiny\nnotebook: ../book/tiny.ipynb\ngrid:\n  sparsity: [1e-3, 0.5]\n"


def test_a_study_is_written_beside_its_file_by_the_module(notebook, executions, tmp_path):
    study = tmp_path / "sweeps" / "tiny.yml"
    study.parent.mkdir()
    study.write_text(STUDY)
    command = [sys.executable, "-m", "emtdamp.study.sweep", str(study), "--jobs", "2"]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert first.stderr == ""
    frame = pd.read_csv(study.with_suffix(".csv"))
    assert frame["sparsity"].tolist() == [0.001, 0.5]
    assert frame["score"].tolist() == [0.001, 0.5]
    assert {"python", "tensorflow", "emtdamp", "device", "seconds"} <= set(frame)
    assert "status" not in frame

    study.write_text(STUDY.replace("0.5", "0.5, 0.9"))
    sweep.run_study(study, 1)
    assert len(lines(executions)) == 3
    assert len(pd.read_csv(study.with_suffix(".csv"))) == 3


def test_a_study_may_have_several_grids(notebook, executions, tmp_path):
    study = tmp_path / "sweeps" / "tiny.yml"
    study.parent.mkdir()
    text = "title: T\nnotebook: ../book/tiny.ipynb\ngrid: [{seed: [0, 1]}, {sparsity: [%s]}]"
    study.write_text(text % "never")
    with pytest.raises(UsageError, match="parameter sparsity is 'never'"):
        sweep.run_study(study, 1)
    assert not executions.exists()
    study.write_text(text % "0.75")
    frame = sweep.run_study(study, 1)
    assert frame[["sparsity", "seed", "score"]].to_numpy().tolist() == [
        [0.5, 0, 0.5],
        [0.5, 1, 1.5],
        [0.75, 0, 0.75],
    ]
    pd.testing.assert_frame_equal(pd.read_csv(study.with_suffix(".csv")), frame, check_dtype=False)
    sweep.run_study(study, 1)
    assert len(lines(executions)) == 3  # nothing was run again


@pytest.mark.parametrize(
    "text",
    ["- a list", "title: T\nnotebook: n.ipynb", STUDY + "more: 1", "a: [", STUDY[:-1] + "x"],
)
def test_a_study_is_exactly_title_notebook_and_grid(tmp_path, text, capsys):
    study = tmp_path / "tiny.yml"
    study.write_text(text)
    assert sweep.main([str(study)]) == 2
    assert capsys.readouterr().err.startswith(f"error: study {study}")
    assert not study.with_suffix(".csv").exists()


def test_a_study_whose_grid_is_no_lists_is_refused(tmp_path):
    study = tmp_path / "tiny.yml"
    study.write_text("title: T\nnotebook: n.ipynb\ngrid: {seed: 3}")
    with pytest.raises(UsageError, match="expected lists of values by parameter"):
        sweep.run_study(study, 1)


def test_an_interrupted_study_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "run_study", interrupted)
    assert sweep.main(["tiny.yml"]) == 130
    assert "the same command runs only what is missing" in capsys.readouterr().err
