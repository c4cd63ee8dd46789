"""Gaussians of clients against the posterior of all rows, exact where the model is linear."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emtdamp.federated.aggregation import cavity, geometric_average, sum_sites, times
from emtdamp.messages.gaussian import Gaussian

ROWS = (40, 5, 25, 10, 20)


def problem(seed=0):
    """A prior N(0, 1/2) of three weights, and each client's likelihood message, noise 0.3."""
    rng = np.random.default_rng(seed)
    sites = []
    for rows in ROWS:
        x = rng.normal(size=(rows, 3)) * rng.uniform(0.3, 2.0, 3)
        y = x @ [1.0, -2.0, 0.5] + rng.normal(scale=0.3**0.5, size=rows)
        sites.append(Gaussian(x.T @ x / 0.3, x.T @ y / 0.3))
    prior = Gaussian(2.0 * np.eye(3), np.zeros(3))
    pooled = Gaussian(
        prior.precision + sum(t.precision for t in sites), sum(t.shift for t in sites)
    )
    return prior, sites, pooled


def moments(q):
    return np.linalg.solve(q.precision, q.shift), np.linalg.inv(q.precision)


def product(one, two):
    return Gaussian(*(a + b for a, b in zip(one, two, strict=True)))


def counted(prior, sites, each=None):
    return [
        product(prior, times(site, each or sum(ROWS) / rows))
        for site, rows in zip(sites, ROWS, strict=True)
    ]


def test_counted_average_is_the_posterior_of_all_rows():
    prior, sites, pooled = problem()
    found = geometric_average(counted(prior, sites), ROWS)
    for ours, exact in zip(moments(found), moments(pooled), strict=True):
        assert_allclose(ours, exact, rtol=1e-6)


def test_plain_average_has_a_fraction_of_the_evidence():
    prior, sites, pooled = problem()
    mean, cov = moments(geometric_average(counted(prior, sites, each=1), ROWS))
    exact_mean, exact_cov = moments(pooled)
    # client k's rows count a_k times: 1/sum(a_k^2) is 3.6, and rows differ between clients
    assert (np.diag(cov) / np.diag(exact_cov) > 2.5).all()
    assert np.linalg.norm(mean - exact_mean) > 0.01 * np.linalg.norm(exact_mean)


def test_sum_of_sites_is_the_posterior_of_all_rows_however_many_rounds():
    prior, sites, pooled = problem()
    own = [Gaussian(np.zeros((3, 3)), np.zeros(3)) for _ in ROWS]
    for _ in range(3):
        q = sum_sites(prior, own)
        rest = [cavity(q, site) for site in own]
        own = [
            cavity(product(other, message), other)
            for other, message in zip(rest, sites, strict=True)
        ]
        found = sum_sites(prior, own)
        for ours, exact in zip(moments(found), moments(pooled), strict=True):
            assert_allclose(ours, exact, rtol=1e-6)


@pytest.mark.parametrize("how", ["average", "sites"])
def test_the_order_of_clients_changes_nothing(how):
    prior, sites, _ = problem()
    order = np.random.default_rng(1).permutation(len(ROWS))
    parts = counted(prior, sites)

    def joined(numbers):
        if how == "sites":
            return sum_sites(prior, [sites[k] for k in numbers])
        return geometric_average([parts[k] for k in numbers], [ROWS[k] for k in numbers])

    for one, other in zip(joined(range(len(ROWS))), joined(order), strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_a_client_without_rows_changes_nothing():
    prior, sites, _ = problem()
    parts = counted(prior, sites)
    nothing = Gaussian(np.full((3, 3), np.nan), np.full(3, np.nan))
    without = geometric_average(parts, ROWS)
    for one, other in zip(without, geometric_average([*parts, nothing], [*ROWS, 0]), strict=True):
        assert_allclose(one, other, rtol=1e-12)
    empty = Gaussian(np.zeros((3, 3)), np.zeros(3))
    for one, other in zip(sum_sites(prior, sites), sum_sites(prior, [*sites, empty]), strict=True):
        assert_allclose(one, other, rtol=1e-12)
