"""Exact answers to compare with: enumeration of every activity pattern, in numpy float64."""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.special import log_expit, logsumexp


class Exact(NamedTuple):
    """Posterior under the spike-and-slab prior; the last of the I+1 rows is the bias."""

    log_evidence: float
    activity: np.ndarray  # (I,)
    mean: np.ndarray  # (I+1, J)
    var: np.ndarray  # (I+1, J)


def patterns(groups: int) -> np.ndarray:
    """All 2^groups activity patterns, (2^groups, groups) of 0 and 1."""
    return np.array(list(product([0, 1], repeat=groups)))


def log_prior(active: np.ndarray, logit_rho: float | np.ndarray) -> np.ndarray:
    """Log-probability of each pattern under independent groups."""
    on, off = log_expit(logit_rho), log_expit(-np.asarray(logit_rho))
    return np.where(active == 1, on, off).sum(1)


def _mixture(log_weight: np.ndarray, active: np.ndarray, mean, second) -> Exact:
    log_evidence = logsumexp(log_weight)
    weight = np.exp(log_weight - log_evidence)
    first = np.einsum("p,pij->ij", weight, mean)
    var = np.einsum("p,pij->ij", weight, second) - first**2
    return Exact(log_evidence, weight @ active, first, var)


def spike_slab_messages(precision, shift, slab, logit_rho) -> Exact:
    """Groups are rows of (I+1, J) messages exp(-precision w²/2 + shift w); the bias is active."""
    active = patterns(len(precision) - 1)
    var = 1 / (precision + 1 / slab)
    mean = shift * var
    llr = 0.5 * (shift * mean - np.log1p(slab * precision))
    rows = np.concatenate([active, np.ones((len(active), 1))], 1)[:, :, None]
    log_weight = log_prior(active, logit_rho) + (rows * llr).sum((1, 2))
    return _mixture(log_weight, active, rows * mean, rows * (var + mean**2))


def spike_slab_regression(x, y, noise, slab, logit_rho) -> Exact:
    """y (B, J) = x (B, I) w + bias + N(0, noise); groups are the rows of w; any design."""
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    active = patterns(x.shape[1])
    size, outputs = len(x), y.shape[1]
    log_weight = log_prior(active, logit_rho)
    mean = np.zeros((len(active), design.shape[1], outputs))
    second = np.zeros_like(mean)
    for n, pattern in enumerate(active):
        rows = np.flatnonzero(np.append(pattern, 1))
        part = design[:, rows]
        precision = np.eye(len(rows)) / slab + part.T @ part / noise
        cov = np.linalg.inv(precision)
        mean[n, rows] = cov @ part.T @ y / noise
        second[n, rows] = mean[n, rows] ** 2 + np.diag(cov)[:, None]
        # log N(y; 0, noise I + slab part part'), by the determinant and inversion lemmas
        log_det = np.linalg.slogdet(precision)[1] + len(rows) * np.log(slab)
        log_det += size * np.log(2 * np.pi * noise)
        fit = (y**2).sum() / noise - (mean[n, rows] * (part.T @ y)).sum() / noise
        log_weight[n] -= 0.5 * (outputs * log_det + fit)
    return _mixture(log_weight, active, mean, second)


def gaussian_regression(x, y, noise, slab) -> tuple[float, np.ndarray, np.ndarray]:
    """Log evidence, mean (I+1, J) and covariance (I+1, I+1) under the Gaussian prior N(0, slab)."""
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    cov = np.linalg.inv(np.eye(design.shape[1]) / slab + design.T @ design / noise)
    mean = cov @ design.T @ y / noise
    marginal = noise * np.eye(len(x)) + slab * design @ design.T
    log_det = np.linalg.slogdet(2 * np.pi * marginal)[1]
    fit = np.sum(y * np.linalg.solve(marginal, y))
    return -0.5 * (y.shape[1] * log_det + fit), mean, cov


def leave_one_out(x, y, noise, slab) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each z = x w + bias given all other rows, (B, J) each.

    The row's own factor N(y; z, noise) divided out of the posterior of its z.
    """
    design = np.concatenate([x, np.ones((len(x), 1))], 1)
    _, mean, cov = gaussian_regression(x, y, noise, slab)
    var = np.einsum("bi,ij,bj->b", design, cov, design)[:, None]
    left = 1 / (1 / var - 1 / noise)
    return left * (design @ mean / var - y / noise), np.tile(left, (1, y.shape[1]))


def shared_groups(llr, row_field, column_field) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows and columns of llr (I, J) are groups, a weight counts where both are active.

    Fields are log-odds added to each group. Returns the activities (I+J,), the probability that
    both groups of a weight are active (I, J), and log sum over patterns of the unnormalised
    exp(fields + sum of LLRs).
    """
    inputs = len(llr)
    active = patterns(sum(llr.shape))
    row, column = active[:, :inputs], active[:, inputs:]
    log_weight = row @ row_field + column @ column_field
    log_weight = log_weight + np.einsum("pi,ij,pj->p", row, llr, column)
    total = logsumexp(log_weight)
    weight = np.exp(log_weight - total)
    return weight @ active, np.einsum("p,pi,pj->ij", weight, row, column), total
