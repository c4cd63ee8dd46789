"""The book's page on the data and the loaders must tell the same story."""

import re
from pathlib import Path

import numpy as np
import pytest

from emtdamp.datasets import loaders

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "data.md").read_text("utf-8")
HASH = re.compile(r"\b[0-9a-f]{64}\b")


def test_every_hash_of_the_loaders_is_on_the_page_and_no_other():
    in_code = HASH.findall(Path(loaders.__file__).read_text("utf-8"))
    assert len(in_code) == len(set(in_code)) == 8
    assert sorted(HASH.findall(PAGE)) == sorted(in_code)


@pytest.mark.parametrize(
    ("file", "array"),
    [(file, array) for file, arrays in loaders.RELEASED.items() for array in arrays],
)
def test_each_array_has_its_row_in_the_table(file, array):
    shape, dtype, sha256 = loaders.RELEASED[file][array]
    row = f"| `{file}` | `{array}` | {shape} | {np.dtype(dtype).name} | `{sha256}` |"
    assert row in PAGE.splitlines()


def test_the_code_on_the_page_runs(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.strip() == HASH.findall(PAGE)[0]
    assert names["features"].shape == (476, 166)
    assert len(names["report"].x_train) == 10_000
    assert len(names["folds"]) == 20


@pytest.mark.parametrize("file", loaders.RELEASED)
def test_each_data_file_has_its_terms(file):
    assert f"emtdamp/datasets/data/{file}" in (ROOT / "NOTICE").read_text("utf-8")


def test_boston_is_not_used_without_saying_why_it_was_withdrawn():
    assert "scikit-learn" in PAGE and "racial" in PAGE and "`B`" in PAGE
    assert "scikit-learn" in (loaders.load_boston.__doc__ or "")
