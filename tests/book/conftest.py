"""The book with small parameters: executed, built and served once for all tests of this folder."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES_A_KERNEL = 5  # of more the memory adds up
RESET = "get_ipython().reset(new_session=True)"  # modules stay, names and cells go


def toc_files(entry: Any) -> list[str]:
    """Every file of a table of contents, in reading order."""
    if isinstance(entry, list):
        return [name for each in entry for name in toc_files(each)]
    if not isinstance(entry, dict):
        return []
    own = [entry[key] for key in ("root", "file") if key in entry]
    return own + [n for key in ("parts", "chapters", "sections") for n in toc_files(entry.get(key))]


TOC = toc_files(yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8")))
NOTEBOOKS = [name for name in TOC if (BOOK / f"{name}.ipynb").exists()]
SMALL: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "small.yml").read_text("utf-8")
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `page` runs for every page, one for `notebook` for every notebook."""
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", TOC)
    if "notebook" in metafunc.fixturenames:
        metafunc.parametrize("notebook", NOTEBOOKS)


@pytest.fixture(scope="session")
def small() -> dict[str, dict[str, Any]]:
    """Small parameters by notebook."""
    return SMALL


@pytest.fixture(scope="session")
def toc() -> list[str]:
    """The pages, in reading order."""
    return TOC


@pytest.fixture(scope="session")
def executed_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book whose notebooks ran with their small parameters, in the build's order.

    Pages find the package's source beside the book, as in the repository.
    """
    copy = tmp_path_factory.mktemp("small-book")
    book = copy / "book"
    ignore = shutil.ignore_patterns("_build", "_generated", ".ipynb_checkpoints")
    shutil.copytree(BOOK, book, ignore=ignore)  # links to the configuration become files
    for name in ("emtdamp", "sweeps"):
        (copy / name).symlink_to(ROOT / name)
    for first in range(0, len(NOTEBOOKS), PAGES_A_KERNEL):
        with kernel(book) as run_cells:
            for name in NOTEBOOKS[first : first + PAGES_A_KERNEL]:
                given, path = SMALL.get(name, {}), book / f"{name}.ipynb"
                page = parameterize_notebook(load_notebook_node(str(path)), given)
                try:
                    run_cells(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(RESET)]))
                    run_cells(page)
                except CellExecutionError as error:
                    pytest.fail(f"{path.name} with {given} failed:\n{error}", pytrace=False)
                nbformat.write(page, path)
    return book


@pytest.fixture(scope="session")
def html(executed_book: Path) -> Path:
    """The built pages of the executed copy; a warning of the build is an error."""
    path = executed_book / "_config.yml"
    config = yaml.safe_load(path.read_text("utf-8"))
    config["execute"]["exclude_patterns"] = ["*.ipynb"]  # they have run above
    path.write_text(yaml.safe_dump(config), "utf-8")
    program = Path(sys.executable).with_name("jupyter-book")
    run([program, "build", "-W", "-n", "--keep-going", executed_book], "building the pages")
    return executed_book / "_build" / "html"


@pytest.fixture(scope="session")
def address(html: Path) -> Iterator[str]:
    """The built pages over http, on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(html))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def kernel(folder: Path) -> Iterator[Callable[[NotebookNode], object]]:
    """A kernel that runs one notebook after the other.

    Most of what a small page takes is the import of TensorFlow and compiling: pages share both.
    """
    manager, client = AsyncKernelManager(kernel_name="python3"), None
    run_sync(manager.start_kernel)(cwd=str(folder))

    def run_cells(notebook: NotebookNode) -> None:
        nonlocal client
        runner = NotebookClient(notebook, km=manager, startup_timeout=120)
        runner.kc = client
        runner.execute()
        client = runner.kc

    try:
        yield run_cells
    finally:
        if client is not None:
            client.stop_channels()
        run_sync(manager.shutdown_kernel)(now=True)


def run(command: list[Any], what: str) -> None:
    """Run a command to its end, or fail with what it complained of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        warnings = [line for line in lines if "WARNING" in line or "ERROR" in line]
        text = "\n".join([*warnings[:20], *lines[-30:]])
        pytest.fail(f"{what} failed:\n{text}", pytrace=False)
