"""Entropies and variances against enumeration, quadrature, and other implementations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

from emtdamp import Predictive, ensemble, metrics
from emtdamp.errors import UsageError
from emtdamp.study import uncertainty

rng = np.random.default_rng(0)
LOG_P = np.log(rng.dirichlet(np.full(4, 0.3), (6, 50)))  # far apart, many near 0 and 1


def test_entropies_by_enumeration_of_the_joint_distribution():
    """Network and label are two discrete variables: everything follows from their table."""
    parts = uncertainty.entropies(LOG_P)
    for row in range(LOG_P.shape[1]):
        joint = np.exp(LOG_P[:, row]) / len(LOG_P)  # (S, K)
        label, network = joint.sum(axis=0), joint.sum(axis=1)
        total = -sum(q * np.log(q) for q in label)
        shared = given = 0.0
        for s, k in np.ndindex(joint.shape):
            shared += joint[s, k] * np.log(joint[s, k] / (network[s] * label[k]))
            given -= joint[s, k] * np.log(joint[s, k] / network[s])
        assert_allclose([part[row] for part in parts], [total, given, shared], atol=1e-12)
        assert parts.epistemic[row] < np.log(len(LOG_P))
    assert_allclose(parts.total, parts.aleatoric + parts.epistemic, atol=1e-12)
    assert_allclose(parts.total, metrics.entropy(uncertainty.probabilities(LOG_P)))


def test_one_network_knows_nothing_of_what_it_does_not_know():
    parts = uncertainty.entropies(LOG_P[:1].astype(np.float32))
    assert (parts.epistemic == 0).all()
    assert_allclose(parts.total, parts.aleatoric)


def test_probabilities_of_zero_are_no_accident():
    with np.errstate(divide="ignore"):
        sure = np.log(np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]]))
    parts = uncertainty.entropies(sure)
    assert_allclose([part[0] for part in parts], [np.log(2), 0, np.log(2)])


def test_probabilities_at_the_end_of_what_floats_hold():
    one, other = np.log([0.5, 0.5, 1e-323]), np.log([0.5, 0.5, 1.0]) - [0, 0, 800]
    parts = uncertainty.entropies(np.array([[one], [other], [other]]))
    assert_allclose([part[0] for part in parts], [np.log(2), np.log(2), 0], atol=1e-12)


def test_the_law_of_total_variance_by_quadrature():
    """The mixture's own variance, integrated, is the mean of variances and the variance of means"""
    mean, noise = rng.normal(size=5), rng.gamma(2.0, size=5)
    mixture = ensemble(
        [Predictive(*np.array([[m], [v], [0.0]])) for m, v in zip(mean, noise, strict=True)]
    )

    def moment(power, about=0.0):
        def integrand(y):
            return (y - about) ** power * stats.norm.pdf(y, mean, noise**0.5).mean()

        return integrate.quad(integrand, -30, 30, limit=400, points=mean.tolist())[0]

    assert mixture.mean[0] == pytest.approx(moment(1), rel=1e-7)
    variance = moment(2, about=moment(1))
    assert mixture.model[0] + mixture.noise[0] == pytest.approx(variance, rel=1e-7)
    assert mixture.model[0] == pytest.approx(mean.var()) and mixture.model[0] > 0.1
    assert mixture.noise[0] == pytest.approx(noise.mean())


def test_detection_counts_pairs():
    known, unknown = rng.integers(0, 5, 30) / 5, rng.integers(1, 6, 40) / 5  # with ties
    pairs = np.sign(unknown[:, None] - known) / 2 + 0.5
    assert uncertainty.detection(known, unknown) == pytest.approx(pairs.mean())
    assert uncertainty.detection(known, []) == 0.5


def test_rejection_by_hand():
    wrong, doubt = rng.random(200) < 0.2, rng.random(200)
    for share in np.linspace(0.003, 1, 60):
        stay = np.argsort(doubt)[: int(np.ceil(share * 200))]
        assert uncertainty.rejection(wrong, doubt, share) == pytest.approx(wrong[stay].mean())
    # who knows its errors hands in these first
    assert uncertainty.rejection(wrong, wrong, 1 - wrong.mean())[0] == 0
    with pytest.raises(UsageError, match="kept="):
        uncertainty.rejection(wrong, doubt, [0.0, 0.5])


def test_reliability_of_a_calibrated_and_of_an_overconfident_classifier():
    p = np.exp(LOG_P[0].repeat(400, axis=0))
    labels = (rng.random(len(p))[:, None] > p.cumsum(axis=1)).sum(axis=1)  # drawn from them
    bins = uncertainty.reliability(labels, p, bins=5)
    assert bins["rows"].sum() == len(p) and bins["confidence"].is_monotonic_increasing
    assert_allclose(bins["accuracy"], bins["confidence"], atol=0.03)
    sharper = p**3 / (p**3).sum(axis=1, keepdims=True)
    bins = uncertainty.reliability(labels, sharper, bins=5)
    assert (bins["accuracy"] < bins["confidence"] - 0.01)[:3].all()


def test_classes_with_their_own_rows():
    p = uncertainty.probabilities(LOG_P)
    labels = rng.integers(0, 3, len(p))  # the fourth never occurs
    parts = uncertainty.entropies(LOG_P)
    found = uncertainty.by_class(labels, p, parts)
    assert found.index.tolist() == [0, 1, 2]
    own = labels == 1
    assert found.loc[1, "epistemic"] == pytest.approx(parts.epistemic[own].mean())
    assert found.loc[1, "error"] == pytest.approx((p.argmax(axis=1) != labels)[own].mean())


@pytest.mark.parametrize(
    ("log_p", "message"),
    [
        (LOG_P[0], r"shape \(50, 4\)"),
        (LOG_P[:0], r"shape \(0, 50, 4\)"),
        (np.exp(LOG_P), "log of its sum at"),
        (np.full((2, 3, 4), np.nan), "sum at nan"),
    ],
)
def test_what_are_no_log_probabilities(log_p, message):
    with pytest.raises(UsageError, match=message):
        uncertainty.entropies(log_p)
