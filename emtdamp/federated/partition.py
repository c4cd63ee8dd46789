"""Which client has which rows."""

import re
from typing import Any

import numpy as np

from emtdamp.errors import UsageError
from emtdamp.training.recipes import INTEGER


def partition(kind: str, y: np.ndarray, clients: int, seed: int) -> list[np.ndarray]:
    """Numbers of the rows of each of `clients` clients, in order; every row has one owner.

    kind: "iid" deals shuffled rows out evenly. "dirichlet:ALPHA", of classes `y` (B,), gives each
    class to the clients in shares drawn from Dirichlet(ALPHA) (Yurochkin et al. 2019): the
    smaller ALPHA > 0, the fewer classes a client has, and the more its number of rows differs from
    others. A client may be left without a row.

    Raises UsageError for another kind, no client, or more clients than rows.

    >>> [len(rows) for rows in partition("iid", np.zeros(7), 3, seed=0)]
    [3, 2, 2]
    """
    if not isinstance(clients, INTEGER) or isinstance(clients, bool) or clients < 1:
        raise UsageError(f"clients={clients!r}; give a whole number of at least 1")
    if clients > len(y):
        raise UsageError(f"{clients} clients for {len(y)} rows; give at most as many as rows")
    rng = np.random.default_rng(seed)
    if kind == "iid":
        dealt = np.array_split(rng.permutation(len(y)), clients)
        return [np.sort(rows) for rows in dealt]
    alpha = _alpha(kind)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise UsageError(f"partition {kind} is of classes; give iid for targets")
    owner = np.empty(len(y), int)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        ends = np.round(np.cumsum(rng.dirichlet(np.full(clients, alpha))) * len(rows))
        owner[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right").clip(0, clients - 1)
    return [np.flatnonzero(owner == number) for number in range(clients)]


def _alpha(kind: Any) -> float:
    found = re.fullmatch(r"dirichlet:([0-9.eE+-]+)", str(kind))
    try:
        alpha = float(found[1]) if found else -1.0
    except ValueError:
        alpha = -1.0
    if not 1e-3 <= alpha <= 1e6:
        raise UsageError(
            f"partition {kind!r} is not known; give iid or dirichlet:ALPHA, ALPHA from 0.001 to 1e6"
        )
    return alpha
