"""The linear-Gaussian case, where no approximation is needed: Bayesian linear regression.

Without hidden layers and with Gaussian noise, the data's message to all weights of an output is one
joint Gaussian with natural parameters X'X/v and X'y/v. Both are sums over samples, so batches that
come one after the other leave exactly the posterior of all of them together, and the order cannot
matter. This replaces module A; module B is the same.

The sums are kept as mean and scatter of the joint rows (x, y), merged as Chan, Golub and LeVeque
(1983) do, so that large offsets do not cancel and any standardisation can follow afterwards.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GroupPrior

EXCHANGES = 60  # between the joint Gaussian and module B; damped by a half, enough for 1e-8
TOLERANCE = 1e-10  # relative change of v at which EM stops
MAX_EM = 2000
MIN_NOISE = 1e-10  # of v by EM, y being standardised: data on a line have no noise at all


class Statistics(NamedTuple):
    """Sufficient statistics of weighted rows (x, y), N inputs and J outputs."""

    size: float  # sum of weights
    mean: np.ndarray  # (N+J,)
    scatter: np.ndarray  # (N+J, N+J), weighted sum of (row - mean)(row - mean)'


class Fit(NamedTuple):
    """Posterior in the coordinates of the statistics, its inputs those of `active`."""

    mean: np.ndarray  # (N, J), zero where inactive
    cov: np.ndarray  # (N, N), the same for each output, zero where inactive
    noise: float
    log_evidence: float  # of all outputs, y centred
    active: np.ndarray  # (N,) bool
    log_odds: np.ndarray  # (N,) of activity, +inf without pruning


def collect(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Statistics:
    """Statistics of rows x (B, N), y (B, J), counted weight (B,) >= 0 times, one > 0."""
    rows = np.concatenate([x, y], axis=1)
    size = weight.sum()
    mean = weight @ rows / size
    away = rows - mean
    return Statistics(float(size), mean, (away * weight[:, None]).T @ away)


def merge(one: Statistics, two: Statistics) -> Statistics:
    """Statistics of both sets of rows together."""
    size = one.size + two.size
    gap = two.mean - one.mean
    mean = one.mean + gap * (two.size / size)
    between = np.outer(gap, gap) * (one.size * two.size / size)
    return Statistics(size, mean, one.scatter + two.scatter + between)


def scales(statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation of each column, 1 where it is constant up to rounding; which vary."""
    var = np.diag(statistics.scatter) / statistics.size
    rounding = (10 * np.finfo(np.float64).eps * np.abs(statistics.mean)) ** 2
    varies = var > rounding
    return np.where(varies, np.sqrt(np.maximum(var, 0)), 1.0), varies


def select(statistics: Statistics, columns: np.ndarray) -> Statistics:
    """Statistics of the columns where `columns` (N+J,) is True."""
    part = statistics.scatter[np.ix_(columns, columns)]
    return Statistics(statistics.size, statistics.mean[columns], part)


def without_rounding(statistics: Statistics, varies: np.ndarray) -> Statistics:
    """Statistics whose constant columns, where `varies` (N+J,) is False, have no scatter at all."""
    both = np.outer(varies, varies)
    return statistics._replace(scatter=np.where(both, statistics.scatter, 0.0))


def rescale(statistics: Statistics, scale: np.ndarray) -> Statistics:
    """Statistics of the rows divided by `scale` (N+J,)."""
    outer = np.outer(scale, scale)
    return Statistics(statistics.size, statistics.mean / scale, statistics.scatter / outer)


def fit(
    statistics: Statistics,
    inputs: int,
    slab: float,
    noise: float | None = None,
    rule: str = "dense",
    keep: int = 0,
) -> Fit:
    """Posterior of y - mean(y) = (x - mean(x)) w + eps, w ~ N(0, slab) where a group is active.

    `noise`: v, or None for its maximum by EM, v <- mean E[eps^2 | y], y standardised. `rule` and
    `keep` as in `GroupPrior`; after `EXCHANGES` with module B the active inputs are
    fixed and their posterior and evidence are exact. The bias is the mean of y: its prior is flat.
    """
    gram = statistics.scatter[:inputs, :inputs]
    cross = statistics.scatter[:inputs, inputs:]
    square = float(np.trace(statistics.scatter[inputs:, inputs:]))
    active, log_odds = np.ones(inputs, bool), np.full(inputs, np.inf)
    v, mean, cov = _dense(gram, cross, square, statistics.size, slab, noise)
    if rule != "dense":
        log_odds = _select(gram, cross, v, slab, rule, keep)
        active = log_odds > 0
        part = np.ix_(active, active)
        v, some, some_cov = _dense(gram[part], cross[active], square, statistics.size, slab, noise)
        mean, cov = np.zeros_like(cross), np.zeros_like(gram)
        mean[active], cov[part] = some, some_cov
    evidence = _log_evidence(
        gram[np.ix_(active, active)], cross[active], square, statistics.size, slab, v
    )
    return Fit(mean, cov, v, evidence, active, log_odds)


def _dense(gram, cross, square, count, slab, noise):
    """v, mean and covariance under the Gaussian prior, in the eigenbasis of X'X."""
    values, basis = np.linalg.eigh(gram)
    values, turned = np.maximum(values, 0.0), basis.T @ cross
    cells = count * max(cross.shape[1], 1)
    v = max(square / cells, MIN_NOISE) if noise is None else noise
    for _ in range(MAX_EM if noise is None else 0):
        var = 1 / (values / v + 1 / slab)
        mean = var[:, None] * turned / v
        rest = square - 2 * np.sum(mean * turned) + np.sum(values[:, None] * mean**2)
        new = max((rest + cross.shape[1] * np.sum(values * var)) / cells, MIN_NOISE)
        done = abs(new - v) <= TOLERANCE * v
        v = new
        if done:
            break
    var = 1 / (values / v + 1 / slab)
    mean = basis @ (var[:, None] * turned / v)
    return v, mean, (basis * var) @ basis.T


def _log_evidence(gram, cross, square, count, slab, v):
    """log of ∫ N(y; x w, v) N(w; 0, slab) dw for all outputs, y centred."""
    outputs = cross.shape[1]
    precision = gram / v + np.eye(len(gram)) / slab
    log_det = np.linalg.slogdet(precision)[1] + len(gram) * np.log(slab)
    fit_ = square / v - np.sum(cross * np.linalg.solve(precision, cross)) / v**2
    return float(-0.5 * (outputs * (count * np.log(2 * np.pi * v) + log_det) + fit_))


def _select(gram, cross, v, slab, rule, keep):
    """Log-odds of each input's activity: the joint Gaussian and module B in turn.

    The message to module B is the marginal posterior divided by module B's last answer.
    """
    inputs, outputs = cross.shape
    module = GroupPrior((rule,))
    state = module.init([slab], [inputs])
    precision, shift = np.full((outputs, inputs), 1 / slab), np.zeros((outputs, inputs))
    bias = ((0, 1), (0, 0))  # module B expects a bias row: one without evidence
    log_odds = np.zeros(inputs)
    for _ in range(EXCHANGES):
        cov = np.linalg.inv(gram / v + precision[:, :, None] * np.eye(inputs))  # (J, N, N)
        mean = np.einsum("jnm,jm->jn", cov, cross.T / v + shift)
        sharp = np.maximum(1 / np.diagonal(cov, axis1=1, axis2=2) - precision, 0.0)
        push = mean * (sharp + precision) - shift
        sent = Gaussian(*(tf.constant(np.pad(part.T, bias)) for part in (sharp, push)))
        state, (answer,), info = module.step(state, [sent], [keep])
        precision = 0.5 * (precision + answer.precision.numpy()[:-1].T)
        shift = 0.5 * (shift + answer.shift.numpy()[:-1].T)
        log_odds = info.log_odds[0].numpy()
    return log_odds
