"""Every row has one owner; skew as asked."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emtdamp.errors import UsageError
from emtdamp.federated.partition import partition

Y = np.repeat(np.arange(10), 100)


@pytest.mark.parametrize("kind", ["iid", "dirichlet:0.3", "dirichlet:100"])
@pytest.mark.parametrize("clients", [1, 7, 10])
def test_every_row_has_one_owner(kind, clients):
    parts = partition(kind, Y, clients, seed=0)
    assert len(parts) == clients
    assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    for one, other in zip(parts, partition(kind, Y, clients, seed=0), strict=True):
        assert_array_equal(one, other)


def test_a_small_alpha_gives_a_client_few_classes():
    def largest(kind):
        """Share of its most frequent class that a row's owner has, on average."""
        parts = partition(kind, Y, 10, seed=0)
        return sum(np.bincount(Y[part], minlength=10).max() for part in parts) / len(Y)

    assert largest("dirichlet:0.05") > 0.5 > largest("dirichlet:0.3") > 0.3
    assert largest("dirichlet:10000") < 0.15


def test_shares_are_dirichlet():
    # the share of a class that one of K clients has: mean 1/K, variance (K - 1)/(K^2 (K a + 1))
    shares = [
        np.bincount(Y[partition("dirichlet:0.5", Y, 4, seed)[0]], minlength=10) / 100
        for seed in range(300)
    ]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.02)
    assert np.var(shares) == pytest.approx(3 / (16 * 3), rel=0.1)


@pytest.mark.parametrize(
    ("kind", "clients", "named"),
    [
        ("iid", 0, "clients=0"),
        ("iid", 1001, "1001 clients for 1000 rows"),
        ("by label", 3, "by label"),
        ("dirichlet:", 3, "dirichlet:ALPHA"),
        ("dirichlet:0", 3, "dirichlet:0"),
        ("dirichlet:1e9", 3, "0.001 to 1e6"),
        ("dirichlet:e", 3, "dirichlet:e"),
    ],
)
def test_others_are_refused_by_name(kind, clients, named):
    with pytest.raises(UsageError, match=named):
        partition(kind, Y, clients, seed=0)


def test_targets_have_no_labels_to_skew():
    with pytest.raises(UsageError, match="iid for targets"):
        partition("dirichlet:1", np.zeros((9, 1)), 3, seed=0)
