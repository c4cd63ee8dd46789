"""Sum-product over the activities of the groups of a network's weights, in log-odds.

A layer's array of log-likelihood ratios `llr` (I, J) says how much the data favour each weight's
slab over its spike; row i belongs to the group of input or neuron i. What turns a group's summed
LLR into log-odds of its activity (rho, steering) comes in as a function:
`decide(layer, total) -> (log-odds of rho, (n,) posterior log-odds of the groups)`; -inf stands for
groups left out. Both solvers return a `Belief`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

SWEEPS = 8  # passes of the loopy sum-product; more change nothing in the cases of its test

Decide = Callable[[int, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Belief(NamedTuple):
    """What the sum-product found; lists have an entry a layer, inputs first."""

    total: list[tf.Tensor]  # (n,) LLR of each group, the prior left out
    logit_rho: list[tf.Tensor]  # as `decide` gave it
    log_odds: list[tf.Tensor]  # (n,) posterior log-odds of each group
    weights: list[tf.Tensor]  # (I, 1) or (I, J) posterior log-odds of each weight
    log_evidence: tf.Tensor  # of all groups, relative to every group inactive


def disjoint(llr: Sequence[tf.Tensor], decide: Decide) -> Belief:
    """Rows are the groups: LLRs summed up the tree, log-odds handed down. Exact."""
    total = [tf.reduce_sum(x, axis=1) for x in llr]
    rho, odds = _decide_all(total, decide)
    return Belief(total, rho, odds, [o[:, None] for o in odds], _log_evidence(total, rho, odds))


def shared(llr: Sequence[tf.Tensor], decide: Decide) -> Belief:
    """Column j of a layer joins the group of the neuron it feeds: loopy sum-product.

    A weight between two groups gives the factor exp(LLR_ij) where both are active and 1
    elsewhere. Its message to group i is log(1 - q + q exp(LLR_ij)) with q the activity of j
    without this weight, and back; `SWEEPS` parallel passes from "every partner active". Exact on
    a forest (dense inputs and one hidden layer, say); with loops it is the Bethe approximation
    (Yedidia, Freeman and Weiss 2005), and so is the evidence. Against enumeration of 8 groups,
    100 random 4 x 4 layers each, the largest error of an activity was 0.014 for normal LLRs of
    standard deviation 1 and 0.12 at 3; at 10, where rows and columns contradict each other, it
    can be wrong altogether (0.8), but stayed below 0.16 when the LLRs came from a pattern of
    active groups. Without passes (every partner active) the average case errs by 0.2 to 0.8.
    """
    inner = len(llr) - 1  # layers whose columns are groups too

    def beliefs(toward_row, toward_column):
        total = [tf.reduce_sum(x, axis=1) for x in toward_row]
        for layer, x in enumerate(toward_column):
            total[layer + 1] += tf.reduce_sum(x, axis=0)
        rho, odds = _decide_all(total, decide)
        # log-odds of the groups at both ends of a weight, this weight's own word taken out
        row = [odds[layer][:, None] - toward_row[layer] for layer in range(inner)]
        column = [odds[layer + 1][None, :] - toward_column[layer] for layer in range(inner)]
        return total, rho, odds, row, column

    def sweep(number, _total, _rho, _odds, row, column):
        toward_row = [lift(llr[layer], column[layer]) for layer in range(inner)]
        toward_column = [lift(llr[layer], row[layer]) for layer in range(inner)]
        return number + 1, *beliefs([*toward_row, llr[-1]], toward_column)

    first = beliefs(llr, llr[:inner])  # as if every partner were active
    _, total, rho, odds, row, column = tf.while_loop(  # unrolled, each would be compiled anew
        lambda number, *_: number < SWEEPS, sweep, (tf.constant(0), *first)
    )
    both = [conjunction(row[layer], column[layer]) for layer in range(inner)]
    evidence = _log_evidence(total, rho, odds)
    for layer in range(inner):  # each weight's factor was counted by both its groups
        evidence -= tf.reduce_sum(lift(llr[layer], both[layer]))
    weights = [llr[layer] + both[layer] for layer in range(inner)] + [odds[-1][:, None]]
    return Belief(total, rho, odds, weights, evidence)


def _decide_all(total: list[tf.Tensor], decide: Decide) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    pairs = [decide(layer, t) for layer, t in enumerate(total)]
    return [rho for rho, _ in pairs], [odds for _, odds in pairs]


def _log_evidence(
    total: list[tf.Tensor], logit_rho: list[tf.Tensor], log_odds: list[tf.Tensor]
) -> tf.Tensor:
    """sum_i log(1 - rho + rho exp(LLR_i)); groups left out (log-odds -inf) count as inactive."""
    evidence = tf.zeros([], total[0].dtype)
    for llr, rho, odds in zip(total, logit_rho, log_odds, strict=True):
        one = tf.where(odds > -float("inf"), lift(llr, rho), tf.zeros_like(llr))
        evidence += tf.reduce_sum(one)
    return evidence


def lift(llr: tf.Tensor, logit: tf.Tensor) -> tf.Tensor:
    """log(1 - q + q exp(llr)) for q = sigmoid(logit); llr at logit = inf, 0 at -inf."""
    soft = tf.nn.softplus
    likely = llr + soft(-(logit + llr)) - soft(-logit)
    return tf.where(logit > 0.0, likely, soft(logit + llr) - soft(logit))


def conjunction(one: tf.Tensor, two: tf.Tensor) -> tf.Tensor:
    """Log-odds that two independent events of these log-odds both happen."""
    surprise = tf.nn.softplus(-one) + tf.nn.softplus(-two)  # -log of the probability of both
    return -surprise - tf.math.log(-tf.math.expm1(-surprise))


def sigmoid(x: tf.Tensor) -> tf.Tensor:
    """1/(1 + exp(-x)), accurate to its last digits in the left tail too, 0 and 1 at ±inf."""
    return tf.exp(-tf.nn.softplus(-x))
