"""Scores of a prediction: one function a score, and one that gives them all.

Shapes: N samples, K classes. Labels are integers 0..K-1; each row of probabilities sums to one.
Targets are real numbers, predicted by a mean and a standard deviation each.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import ndtri
from sklearn.metrics import brier_score_loss, log_loss, precision_recall_fscore_support

from emtdamp.errors import UsageError

ECE_BINS = 15
LEVELS = (0.5, 0.9, 0.95)  # of the central intervals whose coverage is a score


def entropy(probabilities: ArrayLike) -> np.ndarray:
    """Entropy in nats of each row, ``-sum_k p_k log p_k``, with ``0 log 0 = 0``.

    Args:
        probabilities: (N, K).

    Returns:
        (N,), between 0 and log K.

    >>> entropy([[1.0, 0.0], [0.5, 0.5]]).round(4).tolist()
    [0.0, 0.6931]
    """
    p = np.asarray(probabilities, dtype=float)
    return np.asarray(stats.entropy(p, axis=1))


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean gap between confidence and accuracy over 15 equal-width bins of confidence.

    The confidence of a row is its largest probability; bins weigh by their number of rows
    (Guo et al. 2017, equation 3).

    Args:
        labels: (N,) integers.
        probabilities: (N, K).

    Returns:
        Between 0 (calibrated) and 1.

    >>> float(expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]]))
    0.25
    """
    p = np.asarray(probabilities, dtype=float)
    confidence = p.max(axis=1)
    correct = p.argmax(axis=1) == np.asarray(labels)
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(p))


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance between the probabilities and the one-hot label (Brier 1950).

    Args:
        labels: (N,) integers.
        probabilities: (N, K).

    Returns:
        Between 0 and 2.

    >>> brier_score([0], [[1.0, 0.0]]), brier_score([1], [[1.0, 0.0]])
    (0.0, 2.0)
    """
    p = np.asarray(probabilities, dtype=float)
    p = p / p.sum(axis=1, keepdims=True)  # float32 rows sum to one only to 1e-7
    classes = np.arange(p.shape[1])
    return float(
        brier_score_loss(labels, p, labels=classes, scale_by_half=False)  # pyright: ignore
    )


def negative_log_likelihood(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of ``-log p(label)`` in nats; probabilities are kept above the float epsilon.

    Args:
        labels: (N,) integers.
        probabilities: (N, K).

    Returns:
        At least 0.

    >>> round(negative_log_likelihood([0, 1], [[0.5, 0.5], [0.5, 0.5]]), 4)
    0.6931
    """
    p = np.asarray(probabilities, dtype=float)
    p = p / p.sum(axis=1, keepdims=True)  # float32 rows sum to one only to 1e-7
    return float(log_loss(labels, p, labels=np.arange(p.shape[1])))


def classification_scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Every score of a classifier's probabilities, macro averages over the classes.

    Args:
        labels: (N,) integers 0..K-1.
        probabilities: (N, K), rows that sum to one.

    Returns:
        accuracy, precision_macro, recall_macro, f1_macro, nll, brier, ece and predictive_entropy
        (the mean of :func:`entropy`).

    Raises:
        UsageError: the shapes do not fit, or a row does not sum to one.

    >>> scores = classification_scores([0, 1], [[0.9, 0.1], [0.2, 0.8]])
    >>> scores["accuracy"], round(scores["nll"], 4)
    (1.0, 0.1643)
    """
    labels, p = np.asarray(labels), np.asarray(probabilities, dtype=float)
    if p.ndim != 2 or labels.shape != p.shape[:1]:
        raise UsageError(
            f"labels of shape {labels.shape} and probabilities of shape {p.shape}: "
            "(N,) and (N, K) are expected"
        )
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < p.shape[1])).all():
        wrong = np.setdiff1d(labels, np.arange(p.shape[1]))[:5]
        raise UsageError(f"labels have the values {wrong}; give integers 0 to {p.shape[1] - 1}")
    if not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        worst = p.sum(axis=1)[np.abs(p.sum(axis=1) - 1).argmax()]
        raise UsageError(f"a row of the probabilities sums to {worst:.6g}; normalise them to 1")
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels,
        p.argmax(axis=1),
        labels=np.arange(p.shape[1]),
        average="macro",
        zero_division=0,  # pyright: ignore[reportArgumentType] its stubs know only "warn"
    )
    return {
        "accuracy": float((p.argmax(axis=1) == labels).mean()),
        "precision_macro": float(precision),
        "recall_macro": float(recall),
        "f1_macro": float(f1),
        "nll": negative_log_likelihood(labels, p),
        "brier": brier_score(labels, p),
        "ece": expected_calibration_error(labels, p),
        "predictive_entropy": float(entropy(p).mean()),
    }


def coverage(targets: ArrayLike, mean: ArrayLike, std: ArrayLike, level: float) -> float:
    """Fraction of the targets inside the central interval of `level` of N(mean, std^2).

    Args:
        targets, mean, std: (N,).
        level: in (0, 1); what a calibrated prediction comes close to.

    Returns:
        Between 0 and 1.

    >>> coverage([0.0, 3.0], [0.1, 0.0], [1.0, 1.0], level=0.9)
    0.5
    """
    distance = np.abs(np.asarray(targets) - np.asarray(mean)) / np.asarray(std)
    return float((distance <= ndtri((1 + level) / 2)).mean())


def regression_scores(targets: ArrayLike, mean: ArrayLike, std: ArrayLike) -> dict[str, float]:
    """Every score of Gaussian predictions N(mean, std^2), the noise of y in them.

    Args:
        targets, mean, std: (N,), N at least 2; std above 0.

    Returns:
        rmse; nmse, the mean squared error over the variance of these targets (1 for who always
        says their mean); log_likelihood, the mean log density in nats; coverage_50, _90 and _95.

    Raises:
        UsageError: the shapes do not fit, a std is not above 0, or all targets are equal.

    >>> scores = regression_scores([1.0, 3.0], [1.0, 2.0], [1.0, 1.0])
    >>> round(scores["rmse"], 4), scores["nmse"], round(scores["log_likelihood"], 4)
    (0.7071, 0.5, -1.1689)
    """
    y, m, s = (np.asarray(part, dtype=float) for part in (targets, mean, std))
    if y.ndim != 1 or y.shape != m.shape or y.shape != s.shape:
        raise UsageError(f"targets {y.shape}, mean {m.shape}, std {s.shape}: one (N,) is expected")
    if not (s > 0).all():
        raise UsageError(f"std has the value {s.min()}; give standard deviations above 0")
    if not (np.isfinite(y) & np.isfinite(m) & np.isfinite(s)).all():
        raise UsageError("targets, mean or std have values that are not finite; leave these out")
    if not np.ptp(y) > 0:
        raise UsageError(f"all {len(y)} targets are equal; give some that differ")
    squared = (y - m) ** 2
    log_density = -0.5 * (np.log(2 * np.pi * s**2) + squared / s**2)
    return {
        "rmse": float(np.sqrt(squared.mean())),
        "nmse": float(squared.mean() / y.var()),
        "log_likelihood": float(log_density.mean()),
        **{f"coverage_{100 * level:.0f}": coverage(y, m, s, level) for level in LEVELS},
    }
