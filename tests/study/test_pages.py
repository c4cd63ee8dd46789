import json
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.study import pages

PARAMETERS = """\
# What the page depends on
sparsity: float = 0.5  # fraction removed, a = b
em_iters: int = 10  # EM <iterations>
stop: bool = False
data: str = "mnist"  # data set
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config({"HistoryManager": {"enabled": False}})
    yield InteractiveShell.instance(config=config)
    InteractiveShell.clear_instance()


def run(shell, *cells):
    """Run cells as Jupyter does; return what they displayed, and raise what they raised."""
    with capture_output() as captured:
        for cell in cells:
            outcome = shell.run_cell(cell, store_history=True)
            if not outcome.success:
                break
    outcome.raise_error()
    assert captured.stdout == captured.stderr == ""
    return [output.data for output in captured.outputs]


START = "from emtdamp.study import pages\npage = pages.start('results')"


def start(shell, *before):
    run(shell, PARAMETERS, *before, START)
    return shell.user_ns["page"]


def record(page):
    return json.loads((pages.RECORDS / f"{page.name}.json").read_text())


def test_a_parameters_cell_is_read_with_types_defaults_and_meanings():
    assert pages.parameters(PARAMETERS) == [
        pages.Parameter("sparsity", "float", 0.5, "fraction removed, a = b"),
        pages.Parameter("em_iters", "int", 10, "EM <iterations>"),
        pages.Parameter("stop", "bool", False, ""),
        pages.Parameter("data", "str", "mnist", "data set"),
    ]
    assert pages.parameters("low: float = -1  # a '#' in it: str = '#'")[0].default == -1.0


@pytest.mark.parametrize(
    "line",
    ["x = 3", "x: int", "x: list = []", "x: int = 3.5", "x: int = y", "x: bool = 1", "import os"],
)
def test_a_parameters_cell_holds_nothing_else(line):
    with pytest.raises(UsageError, match=r"line 2 of the parameters cell is|parameter x is"):
        pages.parameters(f"seed: int = 0\n{line}")


def test_broken_source_is_refused_by_its_line():
    with pytest.raises(UsageError, match="line 2 of the parameters cell"):
        pages.parameters("seed: int = 0\nx: int = = 2")


def test_a_page_with_its_defaults_shows_nothing_at_its_top(shell):
    assert run(shell, PARAMETERS, START) == []


def test_a_page_with_other_values_says_so_before_anything_else(shell):
    (shown,) = run(shell, PARAMETERS, "# Parameters\nem_iters = 2\nsparsity = 0.5\n", START)
    said = (
        "This page was built with other than the default parameters"
        " (small parameters or a sweep): em_iters 2 instead of 10."
    )
    assert shown["text/plain"] == said
    assert shown["text/html"].startswith('<div class="admonition warning"')
    assert said in shown["text/html"]


def test_an_edited_parameters_cell_counts_as_a_change_of_the_first_one(shell):
    (shown,) = run(shell, "import os", PARAMETERS, PARAMETERS.replace("10", "3"), START)
    assert "em_iters 3 instead of 10" in shown["text/plain"]


def test_a_page_ends_with_its_parameters_and_the_line_that_runs_it(shell):
    start(shell, "em_iters = 2")
    (shown,) = run(shell, "page.foot()")
    html, text = shown["text/html"], shown["text/plain"]
    assert html.startswith("<details") and "<code>sparsity</code>" in html
    assert "EM &lt;iterations&gt;" in html and "<strong>2</strong> (default 10)" in html
    assert "em_iters = 2  # EM <iterations>" in text
    line = ".venv/bin/papermill book/results.ipynb rerun.ipynb -p sparsity 0.5 -p em_iters 2"
    assert line in html and line in text


@pytest.mark.parametrize("value", ["10 of 20", "", "7", "it's"])
def test_the_line_gives_a_text_as_a_shell_and_papermill_read_it(shell, value):
    start(shell, f"data = {value!r}")
    (shown,) = run(shell, "page.foot()")
    words = shlex.split(shown["text/plain"].splitlines()[-1])
    assert words[-3:] == ["-r", "data", value]


def test_claims_are_shown_as_rows_that_can_be_linked_to(shell):
    start(shell)
    claim = 'pages.statement("a", reported="yes", ours="no", holds=False, why="x")'
    (shown,) = run(shell, f"page.show([{claim}])")
    assert 'id="claim-1"' in shown["text/html"] and "does not hold" in shown["text/html"]


def test_a_value_of_another_type_is_refused_by_name(shell):
    with pytest.raises(UsageError, match="parameter em_iters is 'x': expected an int"):
        start(shell, "em_iters = 'x'")
    with pytest.raises(UsageError, match="parameter em_iters is True"):
        run(shell, "em_iters = True", START)


def test_an_int_is_a_float_too(shell):
    assert start(shell, "sparsity = 1").parameters["sparsity"] == 1.0


def test_a_page_without_a_parameters_cell_is_told_what_it_looks_like(shell):
    with pytest.raises(EmtdampError, match="em_iters: int = 10"):
        run(shell, "em_iters = 3", START)


def test_a_page_outside_jupyter_is_refused():
    with pytest.raises(EmtdampError, match="outside Jupyter"):
        pages.start("results")


def test_without_ipython_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(EmtdampError, match=r'pip install "emtdamp\[book\]"'):
        pages.start("results")


def test_start_leaves_the_random_generator_alone(shell):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    start(shell)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_starting_again_removes_the_earlier_record(shell):
    page = start(shell)
    page.record({"accuracy": 0.9})
    run(shell, START)
    assert not (pages.RECORDS / "results.json").exists()


def test_a_table_is_written_for_csv_table(shell):
    page = start(shell)
    frame = pd.DataFrame({"score": ["a, b", "c"], "ours": ["0.91 ± 0.01", None]})
    page.table("scores", frame)
    page.table("named", frame.set_index("score"))
    page.table("filtered", frame[1:])
    written = {path.stem: path.read_text("utf-8") for path in pages.GENERATED.glob("*.csv")}
    assert written == {
        "scores": 'score,ours\n"a, b",0.91\xa0±\xa00.01\nc,\n',
        "named": 'score,ours\n"a, b",0.91\xa0±\xa00.01\nc,\n',
        "filtered": "score,ours\nc,\n",
    }


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b"])
def test_a_table_stays_in_its_folder(shell, name):
    with pytest.raises(UsageError, match="name"):
        start(shell).table(name, pd.DataFrame({"a": [1]}))


def test_glued_values_are_what_myst_nb_reads_and_nothing_that_jupyter_shows(shell):
    from myst_nb.core.variables import format_plain_text

    start(shell)
    outputs = run(shell, "import numpy as np\npage.glue(a='0.910', b=np.float64(0.5), c=3)")
    prefix = "application/papermill.record/text/plain"
    assert [list(output) for output in outputs] == [[prefix]] * 3
    texts = [output[prefix] for output in outputs]
    assert [format_plain_text(text, "s") for text in texts] == ["0.910", "0.5", "3"]
    assert format_plain_text(texts[1], ".2f") == "0.50"


def test_glue_does_nothing_where_no_book_can_be_built(shell, monkeypatch):
    start(shell)
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    assert run(shell, "page.glue(a=1.0)") == []


def test_a_record_holds_what_scoreboard_and_sweeps_read(shell):
    page = start(shell, "em_iters = 2")
    claim = pages.numeric(
        "accuracy", reported=0.9277, ours=0.91234, tolerance=0.028, why="2 sd", sd=0.014, n=5
    )
    page.record({"accuracy": np.float32(0.5), "n": np.int64(3)}, [claim])
    found = record(page)
    assert list(found) == ["page", "parameters", "results", "claims", "seconds", "environment"]
    assert found["page"] == "results"
    assert found["parameters"] == {
        "sparsity": 0.5,
        "em_iters": 2,
        "stop": False,
        "data": "mnist",
    }
    assert found["results"] == {"accuracy": 0.5, "n": 3}
    assert pages.Claim(**found["claims"][0]) == claim
    assert 0 <= found["seconds"] < 60
    assert {"python", "tensorflow", "emtdamp", "device"} <= set(found["environment"])


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), None, [1.0], np.zeros(3)])
def test_a_record_refuses_what_is_no_finite_scalar(shell, value):
    page = start(shell)
    with pytest.raises(UsageError, match="accuracy is"):
        page.record({"accuracy": value})
    assert not pages.RECORDS.exists()


@pytest.mark.parametrize("name", ["sparsity", "seconds", "status", "device", "tensorflow"])
def test_a_result_cannot_hide_another_column_of_a_sweep(shell, name):
    with pytest.raises(UsageError, match=f"result {name} has the name"):
        start(shell).record({name: 1.0})


def test_a_failed_write_keeps_the_earlier_file_and_leaves_nothing_else(shell, monkeypatch):
    page = start(shell)
    page.record({"accuracy": 0.9})
    before = record(page)

    def full(self, *_):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(EmtdampError, match=r"cannot write .*results.json: No space left"):
        page.record({"accuracy": 0.8})
    assert record(page) == before
    assert [path.name for path in pages.RECORDS.iterdir()] == ["results.json"]


def test_a_reader_of_the_earlier_file_never_sees_half_of_the_next(tmp_path):
    pages.write_text(tmp_path / "a.csv", "before")
    with open(tmp_path / "a.csv") as reader:
        pages.write_text(tmp_path / "a.csv", "after it")
        assert reader.read() == "before"
    assert (tmp_path / "a.csv").read_text() == "after it"


def test_writing_below_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "_generated").write_text("mine")
    with pytest.raises(EmtdampError, match="cannot write"):
        pages.write_text(tmp_path / "_generated" / "a.csv", "x")


def checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(pages, "__file__", str(tmp_path / "emtdamp" / "study" / "pages.py"))


def test_a_study_is_found_from_anywhere_in_a_checkout(monkeypatch, tmp_path):
    checkout(monkeypatch, tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "costs.csv").write_text("seed,accuracy\n0,0.9\n")
    assert pages.study("costs").to_dict("list") == {"seed": [0], "accuracy": [0.9]}
    with pytest.raises(EmtdampError, match=r"no study cost: there are costs.*make sweep-cost"):
        pages.study("cost")


def test_a_study_outside_a_checkout_says_where_studies_are(monkeypatch, tmp_path):
    checkout(monkeypatch, tmp_path)
    with pytest.raises(EmtdampError, match="not in a checkout"):
        pages.study("costs")


def test_a_gpu_is_named_beside_the_processor(monkeypatch):
    experimental = SimpleNamespace(get_device_details=lambda gpu: {"device_name": f"Fast {gpu}"})
    config = SimpleNamespace(
        list_physical_devices=lambda kind: [f"{kind}:0"], experimental=experimental
    )
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    assert pages.environment()["device"].endswith(", Fast GPU:0")
