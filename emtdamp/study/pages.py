"""What a page of the book needs: its parameters shown; its tables, numbers and claims kept.

A page begins with a cell tagged ``parameters`` that holds annotated assignments and nothing else
(``em_iters: int = 10  # EM iterations``) and goes on with ``page = pages.start("results")``.
What it computes leaves it through `Page.table`, `Page.glue` and `Page.record`, all of it below
``_generated/`` in the folder in which the page is executed.
"""

from __future__ import annotations

import ast
import html
import io
import json
import math
import os
import platform
import re
import shlex
import sys
import time
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from emtdamp.errors import EmtdampError, UsageError
from emtdamp.study.boards import claim_tables
from emtdamp.study.claims import (
    Claim,
    Comparison,
    Scalar,
    compare,
    compare_to_number,
    comparison,
    goal,
    numeric,
    overall,
    scalar,
    statement,
    versus,
)
from emtdamp.study.records import versions

__all__ = [
    "Claim",
    "Comparison",
    "Page",
    "Parameter",
    "compare",
    "compare_to_number",
    "comparison",
    "environment",
    "goal",
    "numeric",
    "overall",
    "parameters",
    "start",
    "statement",
    "study",
    "titles",
    "versus",
    "write_text",
]

GENERATED = Path("_generated")
RECORDS = GENERATED / "records"
TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
EXPECTED = {"int": "an int", "float": "a finite float", "bool": "true or false", "str": "a str"}


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: type = default  # meaning``."""

    name: str
    type: str
    default: Scalar
    meaning: str

    def check(self, value: object) -> Scalar:
        """Return `value` in this parameter's type (an int is a float too), or refuse it."""
        if self.type == "float" and type(value) is int:
            value = float(value)
        finite = not isinstance(value, float) or math.isfinite(value)
        if type(value) is not TYPES[self.type] or not finite:
            raise UsageError(f"parameter {self.name} is {value!r}: expected {EXPECTED[self.type]}")
        return value  # pyright: ignore[reportReturnType]


def parameters(source: str) -> list[Parameter]:
    """Read the source of a parameters cell.

    Raises `UsageError` for a line that is not ``name: type = value  # meaning`` with one of the
    types int, float, bool, str and a literal value of that type.

    >>> parameters("em_iters: int = 10  # EM iterations")
    [Parameter(name='em_iters', type='int', default=10, meaning='EM iterations')]
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise UsageError(f"line {error.lineno} of the parameters cell: {error.msg}") from error
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = []
    for node in body:
        match node:
            case ast.AnnAssign(
                target=ast.Name(name),
                annotation=ast.Name(kind),
                value=ast.Constant() | ast.UnaryOp(ast.USub(), ast.Constant()) as value,
            ) if kind in TYPES:
                default = ast.literal_eval(value)
                bare = Parameter(name, kind, default, comments.get(node.end_lineno or 0, ""))
                found.append(bare._replace(default=bare.check(default)))
            case _:
                raise UsageError(
                    f"line {node.lineno} of the parameters cell is {ast.unparse(node)!r}: expected"
                    f" 'name: type = value  # meaning' with a literal value and a type of"
                    f" {', '.join(TYPES)}"
                )
    return found


def start(name: str) -> Page:
    """Begin the page `name`; if its parameters are not its own, say so at the top.

    The defaults come from the source of the parameters cell, the first one run in this kernel that
    holds annotated assignments only; the values in force from the kernel's variables, so that
    papermill's injected cell counts. `Page.foot` shows all of them. Nothing is seeded. An earlier
    record of the page is removed, so that a record always belongs to the run that is on the page.

    Raises `EmtdampError` outside Jupyter or without a parameters cell, `UsageError` for a value
    of another type than annotated.
    """
    try:
        from IPython import get_ipython  # pyright: ignore[reportPrivateImportUsage]
        from IPython.display import display
    except ModuleNotFoundError as missing:
        raise EmtdampError(f'a page needs {missing.name}: pip install "emtdamp[book]"') from missing
    shell = get_ipython()
    if shell is None:
        raise EmtdampError("pages.start was called outside Jupyter: execute the page's notebook")
    source = next(filter(_annotated_only, shell.user_ns["In"]), None)
    if source is None:
        raise EmtdampError(
            "no parameters cell has been run in this kernel: the first code cell of a page holds"
            " lines such as 'em_iters: int = 10  # EM iterations' and nothing else"
        )
    declared = parameters(source)
    values = {p.name: p.check(shell.user_ns.get(p.name)) for p in declared}
    page = Page(_file_name(name), values, time.perf_counter(), declared)
    page._record_path.unlink(missing_ok=True)
    if changes := _changes(declared, values):
        display(_Banner(changes))
    return page


def _annotated_only(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return False
    return bool(body) and all(isinstance(node, ast.AnnAssign) for node in body)


def _changes(declared: list[Parameter], values: dict[str, Scalar]) -> str:
    changed = [
        f"{p.name} {values[p.name]} instead of {p.default}"
        for p in declared
        if values[p.name] != p.default
    ]
    if not changed:
        return ""
    return (
        "This page was built with other than the default parameters"
        f" (small parameters or a sweep): {', '.join(changed)}."
    )


@dataclass(frozen=True)
class _Banner:
    """HTML for the book and Jupyter, plain text for a terminal."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return (
            '<div class="admonition warning" style="border-left: .2rem solid #d97706;'
            ' padding: 0 .6rem .8rem; margin-bottom: 1rem">'
            '<p class="admonition-title" style="font-weight: bold">Not the default'
            f" parameters</p><p>{html.escape(self.text)}</p></div>"
        )


@dataclass(frozen=True)
class _Foot:
    """The parameters of a page, and the line that runs it with others."""

    name: str
    declared: list[Parameter]
    values: dict[str, Scalar]

    @property
    def line(self) -> str:
        command = f".venv/bin/papermill book/{self.name}.ipynb rerun.ipynb"
        given = (  # a text is given raw: papermill would read "0" as a number
            f"-r {name} {shlex.quote(value)}" if isinstance(value, str) else f"-p {name} {value}"
            for name, value in self.values.items()
        )
        return " ".join([command, *given])

    def __repr__(self) -> str:
        lines = [f"{p.name} = {self.values[p.name]!r}  # {p.meaning}" for p in self.declared]
        return "\n".join([*lines, self.line])

    def _repr_html_(self) -> str:
        rows = ""
        for p in self.declared:
            value = html.escape(str(self.values[p.name]))
            if self.values[p.name] != p.default:
                value = f"<strong>{value}</strong> (default {html.escape(str(p.default))})"
            cells = (f"<code>{p.name}</code>", value, html.escape(p.meaning))
            rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        head = "".join(f"<th>{h}</th>" for h in ("Parameter", "Value", "Meaning"))
        return (
            '<details class="foot"><summary>Run this page with other parameters</summary>'
            f'<table class="dataframe table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
            f"</table><pre>{html.escape(self.line)}</pre></details>"
        )


@dataclass(frozen=True)
class Page:
    """A page being executed; made by `start`."""

    name: str
    parameters: dict[str, Scalar]
    started: float  # time.perf_counter() at the start
    declared: list[Parameter] = field(default_factory=list)

    @property
    def _record_path(self) -> Path:
        return RECORDS / f"{self.name}.json"

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write `frame` to ``_generated/<name>.csv`` for a ``csv-table`` with ``:header-rows: 1``.

        Numbers are written as they stand, so give formatted text; a missing value is an empty
        cell. An unnamed index of integers is left out, any other becomes the first column. What
        stands around a ± stays on its line.
        """
        counted = frame.index.name is None and pd.api.types.is_integer_dtype(frame.index)
        text = frame.to_csv(index=not counted, lineterminator="\n").replace(" ± ", "\xa0±\xa0")
        write_text(GENERATED / f"{_file_name(name)}.csv", text)

    def show(self, claims: Sequence[Claim]) -> None:
        """Show claims beside their outcome: what others reported, what is expected, and goals.

        The rows are what the scoreboard's links point to, so one call shows all that are recorded.
        """
        from IPython.display import HTML, display

        display(HTML(claim_tables(claims)))

    def foot(self) -> None:
        """End the page: its parameters, folded, and the line that runs it with others."""
        from IPython.display import display

        display(_Foot(self.name, self.declared, self.parameters))

    def glue(self, **values: Scalar) -> None:
        """Keep values for the text: ``{glue:text}`name` `` or ``{glue:text}`name:.2f` ``.

        Texts stand in the page as they are, without quotes. Without MyST-NB there is no book build
        that could read them, and nothing happens.
        """
        try:
            from myst_nb import glue
        except ModuleNotFoundError:
            return
        for name, value in values.items():
            glue(name, scalar(name, value), display=False)

    def record(self, results: Mapping[str, Scalar], claims: Sequence[Claim] = ()) -> None:
        """Write ``_generated/records/<page>.json``, which scoreboard and sweeps read.

        `results` are finite numbers, truth values and texts by name; a NaN is refused, and so is
        a name that a parameter or a column of a sweep has.
        """
        columns = {*self.parameters, "status", "seconds", *(around := environment())}
        if taken := columns.intersection(results):
            raise UsageError(
                f"result {min(taken)} has the name of a parameter or of another column that every"
                f" sweep has ({', '.join(sorted(columns))}): choose another name"
            )
        record = {
            "page": self.name,
            "parameters": self.parameters,
            "results": {name: scalar(name, value) for name, value in results.items()},
            "claims": [asdict(claim) for claim in claims],
            "seconds": round(time.perf_counter() - self.started, 3),
            "environment": around,
        }
        write_text(self._record_path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def study(name: str) -> pd.DataFrame:
    """Read a committed study, ``sweeps/<name>.csv`` of the repository this package lies in."""
    folder = Path(__file__).resolve().parents[2] / "sweeps"
    if not folder.is_dir():
        raise EmtdampError(
            f"study {name}: the studies are in sweeps/ of the repository, and this copy of emtdamp"
            " is not in a checkout of it: clone the repository and run 'make env' there"
        )
    path = folder / f"{_file_name(name)}.csv"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.csv"))) or "none yet"
        raise EmtdampError(f"no study {name}: there are {known}; make it with: make sweep-{name}")
    return pd.read_csv(path)


def titles(book: str | Path = ".") -> dict[str, str]:
    """Titles of the book's notebooks by name, in reading order."""
    folder = Path(book)
    names = re.findall(r"(?:file|root): *([\w-]+)", (folder / "_toc.yml").read_text("utf-8"))
    found = {}
    for name in names:
        path = folder / f"{name}.ipynb"
        if path.is_file():
            cells = json.loads(path.read_text("utf-8"))["cells"]
            title = "".join(cells[0]["source"]).partition("\n")[0]
            found[name] = title.removeprefix("# ")
    return found


def environment() -> dict[str, str]:
    """What a result may depend on besides the code: versions, and the device in words."""
    return versions() | {"device": _device()}


def _device() -> str:
    import joblib

    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    device = f"{joblib.cpu_count()} x {processor}"
    if (tf := sys.modules.get("tensorflow")) is not None:  # a page without it used no GPU
        details = tf.config.experimental.get_device_details
        for gpu in tf.config.list_physical_devices("GPU"):
            device += f", {details(gpu).get('device_name', 'GPU')}"
    return device


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; `EmtdampError` when the disk does not take it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, "utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise EmtdampError(f"cannot write {path}: {error.strerror}") from error


def _file_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UsageError(f"name {name!r}: give letters, digits and . _ + - only")
    return name
