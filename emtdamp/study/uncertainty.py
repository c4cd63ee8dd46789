"""Uncertainty taken apart, and put to the tests that it should pass.

    log_p = sampled(images)                      # (S, B, K), each network's own probabilities
    parts = uncertainty.entropies(log_p)
    uncertainty.detection(known=parts.epistemic, unknown=uncertainty.entropies(other).epistemic)

Shapes: S networks (draws of a posterior, or members of an ensemble), B rows, K classes. What
networks agree on that they cannot know is *aleatoric*; that they disagree is *epistemic*. For real
outputs the same split is the law of total variance, `emtdamp.ensemble`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import entr, logsumexp, rel_entr
from sklearn.metrics import roc_auc_score

from emtdamp.errors import UsageError

# Rows (B, I) to log probabilities (S, B, K): all that a test of uncertainty asks of a method.
Sampled = Callable[[np.ndarray], np.ndarray]


class Entropies(NamedTuple):
    """In nats, (B,) each: total = aleatoric + epistemic, 0 <= epistemic <= log S."""

    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


def probabilities(log_p: ArrayLike) -> np.ndarray:
    """The prediction (B, K): the mean of the networks' probabilities (S, B, K).

    Raises UsageError where the shape is another, or a row is none of log probabilities.
    """
    return _checked(log_p).mean(axis=0)


def entropies(log_p: ArrayLike) -> Entropies:
    """Entropy of the prediction, and its two parts (Depeweg et al. 2018, equation 12).

    With p_s of network s and p their mean,

        H[p] = mean_s H[p_s] + mean_s KL(p_s || p):

    the total is what is expected of a single network (aleatoric), and the mutual information of
    the label and the network, which one disagrees about (epistemic). The second is summed as it
    stands, so that it is never below 0, and exactly 0 for one network.

    Args:
        log_p: (S, B, K); -inf is a probability of 0.

    Raises:
        UsageError: the shape is another, or a row is none of log probabilities.

    >>> agree, differ = [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    >>> with np.errstate(divide="ignore"):
    ...     parts = entropies(np.log(np.array([agree, differ]).swapaxes(0, 1)))
    >>> parts.aleatoric.round(4).tolist(), parts.epistemic.round(4).tolist()
    ([0.6931, 0.0], [0.0, 0.6931])
    """
    p = _checked(log_p)
    mean = p.mean(axis=0)
    # where a mean of the smallest numbers rounds to 0, they add nothing
    apart = np.where(mean > 0, rel_entr(p, mean), 0.0).sum(axis=-1).mean(axis=0)
    return Entropies(entr(mean).sum(axis=-1), entr(p).sum(axis=-1).mean(axis=0), apart.clip(0))


def _checked(log_p: ArrayLike) -> np.ndarray:
    """Probabilities (S, B, K), each row's sum 1 to the last digit."""
    log_p = np.asarray(log_p, float)
    if log_p.ndim != 3 or not log_p.shape[0] or not log_p.shape[2]:
        raise UsageError(
            f"log_p has shape {log_p.shape}; give (networks, rows, classes), one network at least"
        )
    total = np.asarray(logsumexp(log_p, axis=-1, keepdims=True))
    far = ~(np.abs(total) < 1e-3)
    if far.any():
        raise UsageError(
            f"a row of log_p has the log of its sum at {total[far][0]:.6g}; give logarithms of"
            " probabilities that sum to 1"
        )
    return np.exp(log_p - total)


def detection(known: ArrayLike, unknown: ArrayLike) -> float:
    """AUROC: how often a row of `unknown` is the more uncertain of a pair, ties counted half.

    Args:
        known: (B,) uncertainties of rows as in training, or of rows that are predicted rightly.
        unknown: (C,) those of other rows, or of errors.

    Returns:
        0.5 where the two cannot be told apart, 1 where no pair is the wrong way round; 0.5 also
        where one of the two has no rows, since nothing was told apart.

    >>> detection(known=[0.1, 0.2], unknown=[0.2, 0.3])
    0.875
    """
    one, other = np.asarray(known, float), np.asarray(unknown, float)
    if not len(one) or not len(other):
        return 0.5
    labels = np.repeat([0, 1], [len(one), len(other)])
    return float(roc_auc_score(labels, np.concatenate([one, other])))


def rejection(wrong: ArrayLike, uncertainty: ArrayLike, kept: ArrayLike) -> np.ndarray:
    """Error among the rows that are kept when the most uncertain ones are handed to a human.

    Args:
        wrong: (B,) whether a row is predicted wrongly.
        uncertainty: (B,) by which rows are ordered; among equals the order is that given.
        kept: shares in (0, 1]; of a share ceil(share B) rows stay.

    Returns:
        An error for each share.

    >>> rejection([False, False, True, True], [0.1, 0.3, 0.2, 0.9], [1.0, 0.75, 0.5]).round(3)
    array([0.5  , 0.333, 0.5  ])
    """
    share = np.atleast_1d(np.asarray(kept, float))
    if not ((share > 0) & (share <= 1)).all():
        raise UsageError(f"kept={share.tolist()}; give shares above 0, at most 1")
    errors = np.asarray(wrong, bool)[np.argsort(np.asarray(uncertainty), kind="stable")]
    rows = np.ceil(np.round(share * len(errors), 9)).astype(int)
    return errors.cumsum()[rows - 1] / rows


def reliability(labels: ArrayLike, p: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """How often predictions of a stated confidence are right (DeGroot and Fienberg 1983).

    Args:
        labels: (B,) integers.
        p: (B, K) probabilities; the confidence of a row is its largest.
        bins: of equal numbers of rows, as far as that goes: most rows are sure, and bins of equal
            width would be nearly empty but for the last.

    Returns:
        A row a bin, the least sure first: confidence and accuracy (means), rows.

    >>> reliability([0, 1], [[0.6, 0.4], [0.1, 0.9]], bins=2).to_numpy().tolist()
    [[0.6, 1.0, 1.0], [0.9, 1.0, 1.0]]
    """
    p = np.asarray(p, float)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == np.asarray(labels)
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    rows = [(confidence[i].mean(), right[i].mean(), len(i)) for i in parts if len(i)]
    return pd.DataFrame(rows, columns=pd.Index(["confidence", "accuracy", "rows"]))


def by_class(labels: ArrayLike, p: ArrayLike, parts: Entropies) -> pd.DataFrame:
    """What is uncertain about each class: means over the rows whose label it is.

    Args:
        labels: (B,) integers 0..K-1.
        p: (B, K) the prediction.
        parts: its entropies.

    Returns:
        A row a class that occurs: the three entropies, and `error`, the share predicted wrongly.
    """
    labels = np.asarray(labels)
    wrong = np.asarray(p).argmax(axis=1) != labels
    frame = pd.DataFrame({**parts._asdict(), "error": wrong})
    return pd.DataFrame(frame.groupby(labels).mean())
