"""Sweeps: run a notebook page over a grid of its parameters, one folder a cell, one row a cell.

    DIR/sweep.json                          what the sweep is of; makes the folder ours
    DIR/results.csv                         parameters, results, seconds, versions, device, status
    DIR/sparsity=0.5,seed=0/executed.ipynb  the page as it ran; stands there once it has finished
    DIR/sparsity=0.5,seed=0/_generated/     what the page wrote

A study is a sweep whose results are committed:
``python -m emtdamp.study.sweep sweeps/NAME.yml`` writes ``sweeps/NAME.csv``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.study.pages import EXPECTED, RECORDS, Parameter, Scalar, parameters, write_text
from emtdamp.study.quiet import silenced_stderr

MARK = "sweep.json"
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class SweepError(EmtdampError):
    """Some cells of a sweep failed; the others are kept."""


class Cell(NamedTuple):
    """A point of the grid, and the folder it is executed in."""

    values: dict[str, Scalar]
    folder: Path


def run(
    notebook: Path,
    grid: Mapping[str, Sequence[str]],
    jobs: int,
    out: Path,
    overwrite: bool = False,
    log: Callable[[str], object] = print,
) -> pd.DataFrame:
    """Run `notebook` once for each point of `grid` and return a row for each, in grid order.

    Everything given is checked before anything runs. Cells that an earlier call into `out` has
    finished are not run again, as long as notebook and package are the same. ``results.csv`` holds
    the cells of this call.

    Args:
        notebook: a page with a cell tagged ``parameters`` that calls `pages.Page.record`.
        grid: texts of the values by parameter, as given on the command line.
        jobs: processes, 1 or more; they share the machine's cores.
        out: the sweep's folder: absent, empty, or an earlier sweep's of the same.
        overwrite: remove an earlier sweep's folder first. No other folder is ever removed.
        log: takes one line a finished cell.

    Raises:
        UsageError: a value that is not allowed; nothing has run.
        SweepError: cells failed; ``results.csv`` holds the others.
    """
    _require("papermill", "joblib", "ipykernel")
    if jobs < 1:
        raise UsageError(f"jobs {jobs}: expected 1 or more")
    declared = _declared(notebook)
    points = _points(notebook, declared, grid)
    identity = _identity(notebook, grid)
    _take(out, identity, overwrite)
    cells = [Cell(values, out.resolve() / _name(values)) for values in points]

    failures = _execute(notebook.resolve(), cells, jobs, log)

    defaults = {p.name: p.default for p in declared}
    rows = []
    for cell in cells:
        row: dict[str, Any] = {**defaults, **cell.values}
        if cell.folder not in failures:
            record = _record(cell)
            row |= record["results"] | {"seconds": record["seconds"]} | record["environment"]
        rows.append(row | {"status": "failed" if cell.folder in failures else "finished"})
    columns = dict.fromkeys(name for row in sorted(rows, key=len, reverse=True) for name in row)
    frame = pd.DataFrame(rows, columns=list(columns), dtype=object)  # an int stays an int
    write_text(out / "results.csv", frame.to_csv(index=False, lineterminator="\n"))

    for folder, error in failures.items():
        log(f"{folder.name}: {error}; see {out / folder.name / 'unfinished.ipynb'}")
    if failures:
        raise SweepError(
            f"{len(failures)} of {len(cells)} cells failed; {out / 'results.csv'} holds the others,"
            " and the same command runs only what is missing"
        )
    return frame.infer_objects()


def run_study(study: Path, jobs: int, overwrite: bool = False) -> pd.DataFrame:
    """Run a committed study, ``NAME.yml``, and write ``NAME.csv`` beside it.

    The file has exactly a `title`, a `notebook` (relative to the file) and a `grid` (lists of
    values by parameter), or a list of grids that run one after the other. Cells are kept in
    ``_generated/NAME`` (``_generated/NAME-0`` and so on), so that a study can be continued.
    """
    _require("yaml")
    import yaml

    try:
        content = yaml.safe_load(study.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"study {study} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"title", "notebook", "grid"}:
        raise UsageError(f"study {study}: expected exactly title, notebook and grid")
    several = isinstance(content["grid"], list) and content["grid"]
    notebook = study.parent / str(content["notebook"])
    texts, frames = [], []
    for grid in several or [content["grid"]]:
        if not isinstance(grid, dict) or not all(isinstance(v, list) for v in grid.values()):
            raise UsageError(
                f"study {study}: grid is {grid!r}: expected lists of values by parameter"
            )
        texts.append({str(name): [str(value) for value in v] for name, v in grid.items()})
        _points(notebook, _declared(notebook), texts[-1])  # all are checked before one runs
    for number, grid in enumerate(texts):
        folder = f"{study.stem}-{number}" if several else study.stem
        out = study.parent / "_generated" / folder
        frames.append(run(notebook, grid, jobs, out, overwrite))
    frame = pd.concat(frames, ignore_index=True).drop(columns="status")
    write_text(study.with_suffix(".csv"), frame.to_csv(index=False, lineterminator="\n"))
    return frame


def _require(*modules: str) -> None:
    for module in modules:
        try:
            __import__(module)
        except ModuleNotFoundError as missing:
            raise EmtdampError(
                f'a sweep needs {missing.name}: pip install "emtdamp[sweep]"'
            ) from missing


def _declared(notebook: Path) -> list[Parameter]:
    """Read a notebook's parameters by the same rule as the page itself."""
    try:
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except OSError as error:
        raise UsageError(
            f"notebook {notebook}: {error.strerror}; expected an .ipynb file"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{notebook} is not a notebook: expected an .ipynb file") from error
    if not tagged:
        raise UsageError(f"notebook {notebook} has no cell tagged 'parameters', so no grid either")
    return parameters("".join(tagged[0]["source"]))


def _points(
    notebook: Path, declared: list[Parameter], grid: Mapping[str, Sequence[str]]
) -> list[dict[str, Scalar]]:
    """Convert a grid's texts to the annotated types and multiply it out, the last name fastest."""
    known = {p.name: p for p in declared}
    listed = ", ".join(f"{p.name} ({p.type})" for p in declared) or "none"
    if not grid:
        raise UsageError(f"the grid is empty: give values of at least one of {listed}")
    if unknown := [name for name in grid if name not in known]:
        raise UsageError(f"{notebook.name} has no parameter {unknown[0]}; it has {listed}")
    axes = []
    for name, texts in grid.items():
        if not texts:
            raise UsageError(f"parameter {name} has no values: give one or more")
        values = [_convert(known[name], text) for text in texts]
        if twice := {value for value in values if values.count(value) > 1}:
            raise UsageError(f"parameter {name} has a value twice: {', '.join(map(str, twice))}")
        axes.append(values)
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*axes)]


def _convert(parameter: Parameter, text: str) -> Scalar:
    if not text.strip():
        raise UsageError(
            f"parameter {parameter.name} has an empty value: expected {EXPECTED[parameter.type]}"
        )
    truth = {"true": True, "false": False}
    readers: dict[str, Callable[[str], Scalar]] = {
        "int": int,
        "float": float,
        "bool": lambda text: truth.get(text.lower(), text),
        "str": str,
    }
    try:
        value = readers[parameter.type](text)
    except ValueError:
        value = text
    return parameter.check(value)


def _name(values: Mapping[str, Scalar]) -> str:
    """Name a cell's folder, whatever the order in which the grid was given."""
    return ",".join(f"{name}={quote(str(values[name]), safe='+')}" for name in sorted(values))


def _identity(notebook: Path, grid: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What must stay the same for a sweep to be continued."""
    package = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        package.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "kind": "emtdamp-sweep",
        "notebook": notebook.name,
        "notebook_sha256": hashlib.sha256(notebook.read_bytes()).hexdigest(),
        "package_sha256": package.hexdigest(),
        "grid": sorted(grid),
    }


def _take(out: Path, identity: dict[str, Any], overwrite: bool) -> None:
    """Make `out` this sweep's folder, or refuse it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder that is new or empty")
    try:
        if out.exists() and any(out.iterdir()):
            found = _mark_of(out)
            if found is None:
                raise UsageError(f"{out} holds files that are not a sweep's: give another folder")
            if overwrite:
                shutil.rmtree(out)
            elif found == identity:
                return
            else:
                differ = ", ".join(key for key in identity if found.get(key) != identity[key])
                raise UsageError(
                    f"{out} holds a sweep with another {differ}: --overwrite removes it, or give"
                    " another --out"
                )
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    write_text(out / MARK, json.dumps(identity, indent=2) + "\n")


def _mark_of(out: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((out / MARK).read_text("utf-8"))
        return found if found["kind"] == "emtdamp-sweep" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _execute(
    notebook: Path, cells: list[Cell], jobs: int, log: Callable[[str], object]
) -> dict[Path, str]:
    """Execute the cells that are not finished; return a line on each that failed, by folder."""
    import joblib

    todo = [cell for cell in cells if not (cell.folder / "executed.ipynb").exists()]
    if len(todo) < len(cells):
        log(f"{len(cells) - len(todo)} of {len(cells)} cells were finished before")
    jobs = max(1, min(jobs, len(todo)))
    threads = max(1, joblib.cpu_count() // jobs)
    parallel = joblib.Parallel(n_jobs=jobs, backend="loky", return_as="generator_unordered")
    errors = {cell.folder: "not finished, since a process of the sweep was ended" for cell in todo}
    try:
        calls = (joblib.delayed(_execute_cell)(notebook, cell, threads) for cell in todo)
        done: Iterable[tuple[Path, str, float]] = parallel(calls)  # pyright: ignore
        for count, (folder, error, seconds) in enumerate(done, 1):
            errors[folder] = error
            outcome = "failed" if error else "finished"
            log(f"[{count}/{len(todo)}] {folder.name}: {outcome} in {seconds:.1f} s")
    except BrokenProcessPool:  # ended from outside: out of memory, say
        pass
    return {folder: error for folder, error in errors.items() if error}


def _execute_cell(notebook: Path, cell: Cell, threads: int) -> tuple[Path, str, float]:
    """Execute a cell in its folder; return folder, one line if it failed, and seconds."""
    import papermill

    begin = time.perf_counter()
    unfinished = cell.folder / "unfinished.ipynb"
    error = ""
    try:
        shutil.rmtree(cell.folder, ignore_errors=True)
        cell.folder.mkdir(parents=True)
        with _threads(threads), silenced_stderr():
            papermill.execute_notebook(
                _verbatim(notebook),
                _verbatim(unfinished),
                parameters=cell.values,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                log_output=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                cwd=cell.folder,
            )
        _record(cell)
        unfinished.replace(cell.folder / "executed.ipynb")
    except papermill.PapermillExecutionError as failed:
        error = f"{failed.ename}: {failed.evalue}"
    except Exception as failed:  # a dead kernel, a full disk: the other cells go on
        error = f"{type(failed).__name__}: {failed}"
    return cell.folder, " ".join(error.split()), time.perf_counter() - begin


def _verbatim(path: Path) -> str:
    """Return a path in which papermill, which formats it, finds nothing to replace."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Tell kernels that start meanwhile how many threads to use, where nobody has told them."""
    unset = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, str(count)))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _record(cell: Cell) -> dict[str, Any]:
    """Read what the cell's page recorded."""
    paths = list((cell.folder / RECORDS).glob("*.json"))
    if len(paths) != 1:
        raise SweepError(f"the page wrote {len(paths)} records: expected 1, by page.record(...)")
    record = json.loads(paths[0].read_text("utf-8"))
    for name, value in cell.values.items():
        if record["parameters"].get(name) != value:
            raise SweepError(f"the page ran with another {name} than {value}: it sets it itself")
    return record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a committed study: ``python -m emtdamp.study.sweep sweeps/NAME.yml --jobs 2``."""
    parser = argparse.ArgumentParser(prog="python -m emtdamp.study.sweep", description=main.__doc__)
    parser.add_argument("study", type=Path, help="the study's file, sweeps/NAME.yml")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="begin the study anew")
    options = parser.parse_args(arguments)
    try:
        run_study(options.study, options.jobs, options.overwrite)
    except EmtdampError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the same command runs only what is missing", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
