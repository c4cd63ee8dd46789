"""The pages as they are committed: links, parameters, no outputs."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
import yaml

from emtdamp.study import pages

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"


@pytest.mark.parametrize("name", ["_config.yml", "_toc.yml"])
def test_book_finds_its_configuration_at_the_top_level(name):
    link = BOOK / name
    assert link.is_symlink()
    assert not os.path.isabs(os.readlink(link))
    assert link.resolve() == ROOT / name


def test_outputs_come_from_the_build_that_shows_them():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    assert config["execute"]["execute_notebooks"] == "cache"
    assert "together" in config["sphinx"]["local_extensions"]  # it empties the cache


def test_every_page_of_the_table_of_contents_exists_once(toc):
    assert len(toc) == len(set(toc))
    for name in toc:
        assert len([p for p in (".md", ".ipynb") if (BOOK / f"{name}{p}").exists()]) == 1, name


def test_every_page_is_in_the_table_of_contents(toc):
    assert {p.stem for p in BOOK.iterdir() if p.suffix in (".md", ".ipynb")} == set(toc)


def test_the_page_that_reads_the_others_records_comes_last(toc):
    assert toc[-1] == "scoreboard"  # `_ext/ordered.py` has pages executed in this order


def test_every_notebook_has_its_small_parameters(notebook, small):
    cells = nbformat.read(BOOK / f"{notebook}.ipynb", as_version=4).cells
    source = next(cell.source for cell in cells if cell.cell_type == "code")
    declared = {each.name: each for each in pages.parameters(source)}
    assert notebook in small, f"tests/book/small.yml has no entry for {notebook}"
    for name, value in small[notebook].items():
        assert name in declared, f"{notebook} has no parameter {name}"
        declared[name].check(value)


def test_notebook_begins_with_its_parameters(notebook):
    cells = nbformat.read(BOOK / f"{notebook}.ipynb", as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert "parameters" in first.metadata.get("tags", [])
    assert all(each.meaning for each in pages.parameters(first.source))  # a trailing comment each


def test_no_cell_assigns_a_parameter(notebook):
    cells = [c for c in nbformat.read(BOOK / f"{notebook}.ipynb", 4).cells if c.cell_type == "code"]
    declared = {each.name for each in pages.parameters(cells[0].source)}
    for cell in cells[1:]:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assert node.id not in declared, f"{node.id} is a parameter of the page"


def test_notebook_is_committed_without_outputs(notebook):
    content = nbformat.read(BOOK / f"{notebook}.ipynb", as_version=4)
    nbformat.validate(content)
    for cell in content.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert content.metadata.kernelspec.name == "python3"
    assert set(content.metadata) <= {"kernelspec", "language_info"}


def test_no_title_of_a_directive_holds_a_backtick(toc):
    for name in toc:  # such a line opens no fence, and the page shows its source
        notebook = BOOK / f"{name}.ipynb"
        if notebook.exists():
            cells = nbformat.read(notebook, as_version=4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        else:
            text = (BOOK / f"{name}.md").read_text("utf-8")
        for line in text.splitlines():
            assert not line.startswith("```{") or "`" not in line.lstrip("`"), (name, line)
