"""The L0 count against its L1 stand-in, where both solutions are known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from emtdamp.baselines.subsets import best_subsets, hard, l1_subsets, soft
from emtdamp.errors import UsageError


def test_thresholds_are_the_minima_they_stand_for():
    grid = np.linspace(-4, 4, 8001)  # holds 0
    for z in (-3.2, -1.1, 0.4, 1.7, 2.6):
        for penalty in (0.3, 1.5):
            count = 0.5 * (grid - z) ** 2 + penalty * (np.abs(grid) > 1e-9)
            size = 0.5 * (grid - z) ** 2 + penalty * np.abs(grid)
            assert_allclose(hard(np.array(z), penalty), grid[count.argmin()], atol=1e-3)
            assert_allclose(soft(np.array(z), penalty), grid[size.argmin()], atol=1e-3)
    found = minimize_scalar(lambda w: 0.5 * (w - 2.0) ** 2 + 0.5 * abs(w)).x
    assert_allclose(soft(np.array(2.0), 0.5), found, atol=1e-6)


def orthogonal():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6))
    X = np.linalg.qr(X - X.mean(0))[0] * 60**0.5
    return X, X @ [0.1, -2.0, 0.5, 0.0, 1.0, -0.3] + 0.01 * rng.normal(size=60)


def test_of_orthogonal_columns_both_keep_the_largest():
    X, y = orthogonal()
    best, l1 = best_subsets(X, y), l1_subsets(X, y)
    z = X.T @ (y - y.mean()) / 60
    for k in range(7):
        kept = np.isin(range(6), np.argsort(-np.abs(z))[:k])
        assert_array_equal(best.chosen[k], kept)
        assert_array_equal(l1.chosen[k], kept)
        assert_allclose(best.weights[k], np.where(kept, z, 0), atol=1e-12)
    penalty = 0.02
    total = best.squares / 2 + penalty * np.arange(7)
    assert_allclose(best.weights[total.argmin()], hard(z, penalty), atol=1e-12)


def test_the_count_is_never_worse_and_can_be_better():
    rng = np.random.default_rng(1)
    a, b, noise = rng.normal(size=(3, 200))
    # y needs two columns; a third, near their sum, has the largest correlation of all
    X = np.column_stack([a, b, a + b + 0.5 * noise])
    y = a + b + 0.05 * rng.normal(size=200)
    best, l1 = best_subsets(X, y), l1_subsets(X, y)
    assert (best.squares <= l1.squares + 1e-12).all()
    assert best.chosen[2].tolist() == [True, True, False] and best.squares[2] < 0.003
    assert l1.chosen[2][2] and l1.squares[2] > 0.05
    assert_allclose(best.squares[[0, 3]], l1.squares[[0, 3]])


def test_too_many_columns_are_refused():
    with pytest.raises(UsageError, match="17 columns"):
        best_subsets(np.eye(17), np.arange(17.0))
    with pytest.raises(ValueError, match="NaN"):
        best_subsets(np.full((3, 2), np.nan), np.arange(3.0))
