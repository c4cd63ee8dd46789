"""Sum-product over activities against enumeration, on forests and on graphs with loops."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from emtdamp.messages import sumproduct
from tests.exact import shared_groups


def certain(value):
    return tf.constant(value, tf.float64)


def free(logit_rho):
    """One rho for every group, as module B's rule "free" decides."""
    return lambda layer, total: (certain(logit_rho), total + logit_rho)


def compare(llr, last, logit_rho):
    """Bethe answer, and the largest errors of group activity, weight activity and evidence."""
    inputs, hidden = llr.shape
    belief = sumproduct.shared([tf.constant(llr), tf.constant(last)], free(logit_rho))
    fields = np.full(inputs, logit_rho), last.sum(1) + logit_rho
    activity, weights, total = shared_groups(llr, *fields)
    total -= (inputs + hidden) * np.logaddexp(0, logit_rho)
    return (
        np.abs(expit(np.concatenate(belief.log_odds)) - activity).max(),
        np.abs(expit(belief.weights[0]) - weights).max(),
        abs(float(belief.log_evidence) - total),
    )


def test_shared_groups_are_exact_on_a_tree():
    rng = np.random.default_rng(0)
    for _ in range(20):
        llr, last = 3 * rng.normal(size=(7, 1)), rng.normal(size=(1, 2))
        assert max(compare(llr, last, -0.5)) < 1e-12


def test_shared_groups_are_exact_behind_dense_inputs():
    rng = np.random.default_rng(1)
    llr, last = rng.normal(size=(5, 4)), rng.normal(size=(4, 2))

    def decide(layer, total):
        rho = certain(np.inf if layer == 0 else 0.4)
        return rho, total + rho

    belief = sumproduct.shared([tf.constant(llr), tf.constant(last)], decide)
    column = llr.sum(0) + last.sum(1)
    np.testing.assert_allclose(belief.log_odds[1], column + 0.4, rtol=1e-12)
    np.testing.assert_allclose(belief.weights[0], np.tile(column + 0.4, (5, 1)), rtol=1e-12)
    evidence = np.logaddexp(0, column + 0.4) - np.logaddexp(0, 0.4)
    np.testing.assert_allclose(belief.log_evidence, evidence.sum(), rtol=1e-12)


def pattern_of_llrs(rng, scale):
    """LLRs as data leave them: large where both groups are active, about -scale/2 elsewhere."""
    both = np.outer(rng.random(4) < 0.5, rng.random(4) < 0.5)
    return np.where(both, scale * (2 * rng.exponential(size=(4, 4)) - 0.5), -scale * rng.random())


@pytest.mark.parametrize(
    "draw, scale, bound",
    [
        ("normal", 0.3, 0.002),
        ("normal", 1.0, 0.03),
        ("normal", 3.0, 0.2),
        ("pattern", 1.0, 0.03),
        ("pattern", 3.0, 0.1),
        ("pattern", 10.0, 0.2),
    ],
)
def test_shared_groups_with_loops_are_bounded_against_enumeration(draw, scale, bound):
    rng = np.random.default_rng(0)
    worst = np.zeros(3)
    for _ in range(100):
        llr = scale * rng.normal(size=(4, 4)) if draw == "normal" else pattern_of_llrs(rng, scale)
        last = 0.5 * scale * rng.normal(size=(4, 2))
        worst = np.maximum(worst, compare(llr, last, 0.0))
    assert (worst[:2] < bound).all(), worst


def test_lift_and_conjunction_at_the_ends():
    inf = np.inf
    for llr in (-1e4, -1.0, 0.0, 1e-9, 1e4):
        np.testing.assert_allclose(sumproduct.lift(certain(llr), certain(inf)), llr)
        np.testing.assert_allclose(sumproduct.lift(certain(llr), certain(-inf)), 0.0)
        np.testing.assert_allclose(
            sumproduct.lift(certain(llr), certain(0.7)),
            np.logaddexp(np.log(expit(-0.7)), np.log(expit(0.7)) + llr),
            atol=1e-15,
        )
    for one, two, want in [(inf, 2.0, 2.0), (2.0, -inf, -inf), (-inf, inf, -inf), (inf, inf, inf)]:
        np.testing.assert_allclose(sumproduct.conjunction(certain(one), certain(two)), want)
    both = expit(1.0) * expit(-2.0)
    got = sumproduct.conjunction(certain(1.0), certain(-2.0))
    np.testing.assert_allclose(got, np.log(both / (1 - both)), rtol=1e-14)
    tail = sumproduct.sigmoid(tf.constant([-700.0, -40.0, 40.0], tf.float64))
    np.testing.assert_allclose(tail, expit([-700.0, -40.0, 40.0]), rtol=1e-14)
