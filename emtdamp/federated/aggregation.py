"""Two ways to make one Gaussian out of those of K clients, elementwise in natural parameters.

Client k has n_k of n rows, a share a_k = n_k/n of them. D_k is its likelihood, a Gaussian message
exp(-G_k u^2/2 + H_k u), and the posterior of all rows is q(u) = prior(u) prod_k D_k(u).

`geometric_average`: q(u) ∝ prod_k q_k(u)^(a_k), the paper's rule. With q_k = prior D_k the prior
is right, for the shares sum to 1, but rows count a_k times: precision P + sum_k a_k G_k, about
1/K of the evidence. If client k counts its rows 1/a_k times, q_k = prior D_k^(1/a_k), it is exact:
    sum_k a_k (P + G_k/a_k) = P + sum_k G_k,   sum_k a_k (p + H_k/a_k) = p + sum_k H_k.
For a client alone this says that other clients' rows are like its own; the average mends what is
untrue of that.

`sum_sites`: q = prior prod_k t_k, each client the owner of a site t_k that stands for D_k. It
starts from the `cavity` q/t_k, multiplies D_k in, and what it finds without the cavity is its new
site. Nothing is counted twice however often clients answer, and rows count once. This is
expectation propagation over clients; with the other Kullback-Leibler divergence for the nearest
Gaussian it is partitioned variational inference (Ashman et al. 2022). Where D_k
is Gaussian both are exact after one round; where it is not, only their fixed points may agree, and
sites that are found in parallel overshoot: each client believes that it alone has to move the
prior.
"""

from collections.abc import Sequence

import numpy as np

from emtdamp.messages.gaussian import Gaussian


def geometric_average(posteriors: Sequence[Gaussian], shares: Sequence[float]) -> Gaussian:
    """prod_k q_k^(a_k) in natural parameters; a_k are the `shares` (K,) >= 0, divided by their sum.

    `posteriors`: natural parameters of one shape each (of a joint Gaussian: the precision matrix
    and the shift vector). A client of share 0 has no say, whatever its arrays hold.

    >>> one, two = Gaussian(np.array(1.0), np.array(0.0)), Gaussian(np.array(3.0), np.array(4.0))
    >>> [float(part) for part in geometric_average([one, two], [1, 3])]
    [2.5, 3.0]
    """
    weights = np.asarray(shares, np.float64)
    weights = weights / weights.sum()
    heard = [(q, a) for q, a in zip(posteriors, weights, strict=True) if a > 0]
    return Gaussian(
        sum(a * np.asarray(q.precision, np.float64) for q, a in heard),
        sum(a * np.asarray(q.shift, np.float64) for q, a in heard),
    )


def sum_sites(prior: Gaussian, sites: Sequence[Gaussian]) -> Gaussian:
    """prior prod_k t_k in natural parameters.

    >>> prior, site = Gaussian(np.array(1.0), np.array(0.0)), Gaussian(np.array(2.0), np.array(3.0))
    >>> [float(part) for part in sum_sites(prior, [site, site])]
    [5.0, 6.0]
    """
    return Gaussian(
        prior.precision + sum(np.asarray(t.precision, np.float64) for t in sites),
        prior.shift + sum(np.asarray(t.shift, np.float64) for t in sites),
    )


def cavity(posterior: Gaussian, site: Gaussian) -> Gaussian:
    """q/t_k, what a client starts from: all that the others and the prior say."""
    return Gaussian(posterior.precision - site.precision, posterior.shift - site.shift)


def times(message: Gaussian, count: float) -> Gaussian:
    """The message of rows that are counted `count` times."""
    return Gaussian(count * message.precision, count * message.shift)
