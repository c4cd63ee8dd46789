"""Ten small tables with classes: five that come with scikit-learn, five drawn by its generators.

Wide, noisy and unbalanced ones are among them on purpose: a network that nothing holds back learns
such rows by heart, and its probabilities show it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets as made
from sklearn.model_selection import StratifiedKFold

from emtdamp.datasets.splits import Fold
from emtdamp.errors import UsageError


class Table(NamedTuple):
    """Rows of numbers, and the class of each row."""

    x: NDArray[np.float64]  # (B, N)
    y: NDArray[np.int64]  # (B,), 0 to K - 1


def _drawn(rows: int, columns: int, **options: Any) -> Any:
    return made.make_classification(rows, columns, random_state=1, **options)


def _digits() -> Any:
    x, y = made.load_digits(return_X_y=True)
    return x[:600], y[:600]


def _diabetes() -> Any:
    x, y = made.load_diabetes(return_X_y=True)
    return x, np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))


_MAKERS: dict[str, Callable[[], Any]] = {
    "iris": lambda: made.load_iris(return_X_y=True),
    "wine": lambda: made.load_wine(return_X_y=True),
    "breast cancer": lambda: made.load_breast_cancer(return_X_y=True),
    "digits": _digits,
    "diabetes in thirds": _diabetes,
    "moons": lambda: made.make_moons(300, noise=0.35, random_state=0),
    "wide": lambda: _drawn(300, 200, n_informative=10, n_redundant=0),
    "noisy": lambda: _drawn(400, 20, n_informative=5, flip_y=0.3),
    "unbalanced": lambda: _drawn(500, 20, n_informative=6, weights=[0.93]),
    "five classes": lambda: _drawn(500, 30, n_informative=10, n_classes=5, n_clusters_per_class=1),
}
TABLES = tuple(_MAKERS)


def load_table(name: str) -> Table:
    """One of `TABLES`, by name; the drawn ones are the same at every call.

    - iris, wine, breast cancer: as scikit-learn ships them;
    - digits: the first 600 of its rows;
    - diabetes in thirds: its progression of the disease, cut at the terciles;
    - moons: 300 points on two half circles, with noise of 0.35;
    - wide: 300 rows of 200 columns, 10 of which tell the two classes apart;
    - noisy: 400 rows of 20 columns; 30 % of the rows get a class at random;
    - unbalanced: 500 rows of 20 columns, about 93 % of one class;
    - five classes: 500 rows of 30 columns.

    >>> x, y = load_table("wide")
    >>> x.shape, np.bincount(y).tolist()
    ((300, 200), [150, 150])
    """
    if name not in _MAKERS:
        raise UsageError(f"table {name!r}: use one of {', '.join(TABLES)}")
    x, y = _MAKERS[name]()
    return Table(np.asarray(x, np.float64), np.asarray(y, np.int64))


def table_folds(table: Table) -> list[Fold]:
    """Five stratified folds of a table's rows, shuffled with seed 0; each row tests once.

    >>> [len(fold.test) for fold in table_folds(load_table("wine"))]
    [36, 36, 36, 35, 35]
    """
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(table.x, table.y)
    return [Fold(train, test) for train, test in folds]
