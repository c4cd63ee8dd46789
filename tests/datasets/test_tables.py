"""The ten small tables: sizes, classes, folds, refusals."""

import numpy as np
import pytest

from emtdamp.datasets import TABLES, load_table, table_folds
from emtdamp.errors import UsageError

SHAPES = {  # rows, columns, classes
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast cancer": (569, 30, 2),
    "digits": (600, 64, 10),
    "diabetes in thirds": (442, 10, 3),
    "moons": (300, 2, 2),
    "wide": (300, 200, 2),
    "noisy": (400, 20, 2),
    "unbalanced": (500, 20, 2),
    "five classes": (500, 30, 5),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_its_size_and_every_fold_all_classes(name):
    table = load_table(name)
    assert (*table.x.shape, len(np.unique(table.y))) == SHAPES[name]
    assert (table.x.dtype, table.y.dtype) == (np.float64, np.int64)
    folds = table_folds(table)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(table.y)))
    for train, test in folds:
        assert sorted([*train, *test]) == list(range(len(table.y)))
        assert len(np.unique(table.y[test])) == len(np.unique(table.y[train])) == SHAPES[name][2]


def test_a_table_is_the_same_at_every_call():
    first, again = load_table("noisy"), load_table("noisy")
    assert np.array_equal(first.x, again.x) and np.array_equal(first.y, again.y)


def test_diabetes_is_cut_into_equal_thirds():
    assert np.ptp(np.bincount(load_table("diabetes in thirds").y)) <= 1


def test_an_unknown_table_is_refused():
    with pytest.raises(UsageError, match="'tips': use one of iris, wine"):
        load_table("tips")
