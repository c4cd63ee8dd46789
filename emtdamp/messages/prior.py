"""Module B: the group spike-and-slab prior over outgoing weights, its sum-product and its EM steps.

A layer's weights are an (I+1, J) array, bias last. Group i is row i: everything that leaves one
input or one hidden neuron. With activity a_i ~ Bernoulli(rho),

    p(w_i | a_i) = a_i prod_j N(w_ij; 0, slab) + (1 - a_i) prod_j delta(w_ij)              (prior)

Biases belong to no group: always active, with the slab of their layer. Module A's message about a
weight is exp(-precision w^2/2 + shift w), relative to 1 at w = 0. Each weight hangs on one
activity, so the factor graph is a forest and one upward and one downward pass are exact (SPMP of
Xu, Liu, Zhang and Lau 2024). Log-likelihood ratios (LLR) reach thousands: activities are log-odds
throughout, +inf a certain group, and probabilities appear only where both pi and 1 - pi are had
without cancellation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages import sumproduct
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.sumproduct import sigmoid

RULES = ("dense", "free", "steered", "soft", "per-group")
GIVEN = ("steered", "soft")  # rules of a given number of groups
# Bounds of the extrinsic precision in units of 1/slab. The lower keeps the message proper where
# an undecided group makes the posterior wider than the data allow for any Gaussian prior; the
# upper stands for the spike (a posterior sd 1e-4 of the slab's) and still fits float32.
EXTRINSIC_RANGE = (1e-3, 1e8)
# A group has evidence when the data shrink the variance of one of its weights by more than 0.1 %.
EVIDENCE = 1e-3


class PriorState(NamedTuple):
    """What module B remembers from step to step."""

    slab: tuple[tf.Tensor, ...]  # L slab variances, float64 scalars
    # L log-odds of rho, float64 scalars (rule "per-group": a vector, one a group); those of rules
    # that EM does not touch stay as they came
    logit_rho: tuple[tf.Tensor, ...]
    # L boolean vectors, the groups that are still to choose from; () without `share_incoming`
    left: tuple[tf.Tensor, ...] = ()


class PriorInfo(NamedTuple):
    """What a step saw; entry 0 of a tuple is the inputs, entry l the l-th hidden layer.

    Where inputs are ranked by `relevance` (see "steered") this stands for their LLR everywhere:
    the log-odds say on which side of the threshold an input is, and the log evidence counts it.
    """

    llr: tuple[tf.Tensor, ...]  # (n,) log-likelihood ratio of each group, prior left out
    log_odds: tuple[tf.Tensor, ...]  # (n,) posterior log-odds of each group; active where > 0
    weight_log_odds: tuple[tf.Tensor, ...]  # a layer each, (I+1, 1) or (I+1, J), bias +inf
    log_evidence: tf.Tensor  # of the messages, under the hyperparameters the step came with


def weight_llr(precision: tf.Tensor, shift: tf.Tensor, slab: tf.Tensor) -> tf.Tensor:
    """Log evidence of the slab over the spike for each weight, log of ∫ N(w; 0, slab) msg(w) dw.

    Equals (-log(1 + slab precision) + shift² slab / (1 + slab precision)) / 2. `precision` >= 0
    (module A's clipping ensures it), any `shift`, `slab` > 0; shapes broadcast.

    >>> round(float(weight_llr(tf.constant(3.0), tf.constant(4.0), tf.constant(1.0))), 4)
    1.3069
    """
    grown = 1.0 + slab * precision
    return 0.5 * (shift * shift * (slab / grown) - tf.math.log1p(slab * precision))


def relevance(precision: tf.Tensor, shift: tf.Tensor, slab: tf.Tensor) -> tf.Tensor:
    """Half the squared distance of 0 from a weight's posterior mean, in posterior deviations.

    Equals shift² / (precision + 1/slab) / 2, `weight_llr` without its Occam term; arguments as
    there. Summed, it ranks groups of as many weights by their evidence where each has the slab
    of its own under which that is largest (automatic relevance determination, Tipping 2001): with
    one precision in a group of J and t = mean shift²/precision, the largest log evidence is
    J (t - 1 - log t)/2 where t > 1, and 0 elsewhere, which grows with t.

    >>> round(float(relevance(tf.constant(3.0), tf.constant(4.0), tf.constant(1.0))), 4)
    2.0
    """
    return 0.5 * shift * shift / (precision + 1.0 / slab)


def moments(
    precision: tf.Tensor, shift: tf.Tensor, slab: tf.Tensor, log_odds: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Posterior mean and variance of weights whose posterior activity has these log-odds.

    With s1 = 1/(precision + 1/slab), m1 = shift s1: mean = pi m1, var = pi s1 + pi (1-pi) m1²:
    the first and second derivatives by `shift` of the log-partition.
    """
    on, off = sigmoid(log_odds), sigmoid(-log_odds)
    var = 1.0 / (precision + 1.0 / slab)
    mean = shift * var
    return on * mean, on * (var + off * mean * mean)


def extrinsic(
    precision: tf.Tensor, shift: tf.Tensor, slab: tf.Tensor, log_odds: tf.Tensor
) -> Gaussian:
    """Module B's message to module A: the moment-matched Gaussian over the message that came.

    Exactly, P = 1/var - precision and p = mean/var - shift; with D = precision + 1/slab and
    r = m1²/s1 the first is (1/slab + precision (1-pi) (1 - pi r)) / (pi (1 + (1-pi) r)), which
    neither cancels at pi = 1 (P = 1/slab, p = 0) nor at pi = 0 (P infinite). The denominator is
    positive, so P is negative where precision (1-pi) (pi r - 1) > 1/slab: the group is undecided,
    and its mean, if active, so far from 0 that the posterior is wider than the message that came.
    So P is clipped to `EXTRINSIC_RANGE` / slab. Only then is p = mean (precision + P) - shift
    computed: the mean of A's posterior is always right, its variance is 1/(precision + P), which
    differs from `moments` where the clip acted.
    """
    on, off = sigmoid(log_odds), sigmoid(-log_odds)
    total = precision + 1.0 / slab
    ratio = shift * shift / total
    sharp = (1.0 / slab + precision * off * (1.0 - on * ratio)) / (on * (1.0 + off * ratio))
    sharp = tf.clip_by_value(sharp, EXTRINSIC_RANGE[0] / slab, EXTRINSIC_RANGE[1] / slab)
    return Gaussian(sharp, shift * (on * sharp - off * precision - 1.0 / slab) / total)


def has_evidence(precision: tf.Tensor, slab: tf.Tensor) -> tf.Tensor:
    """Boolean (I,): which groups of an (I, J) layer the data say anything about.

    A pixel that is never on has LLR 0 (or the noise of the starting message) and would outrank
    live pixels with a negative LLR; such groups are inactive and take no part in the M-steps.
    """
    return tf.reduce_any(slab * precision > EVIDENCE, axis=1)


def free_rho(
    log_odds: tf.Tensor, available: tf.Tensor, hyper: tuple[float, float] = (2.0, 2.0)
) -> tf.Tensor:
    """EM step of one rho for all groups under a Beta(a, b) hyperprior; returns logit rho.

    rho = (sum pi + a - 1)/(n + a + b - 2) over the available groups; a, b > 1 keep it off 0
    and 1. The default counts one active and one inactive group seen beforehand.
    """
    zero = tf.zeros_like(log_odds)
    on = tf.reduce_sum(tf.where(available, sigmoid(log_odds), zero)) + hyper[0] - 1.0
    off = tf.reduce_sum(tf.where(available, sigmoid(-log_odds), zero)) + hyper[1] - 1.0
    return tf.math.log(on) - tf.math.log(off)


def steered_rho(
    llr: tf.Tensor, available: tf.Tensor, keep: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The rho that leaves `keep` groups above one half, and all groups' posterior log-odds.

    logit rho = -(LLR_(keep) + LLR_(keep+1))/2, the midpoint of the gap in the ordered LLRs. `keep`
    in 1..n; where fewer are available, all of those stay and logit rho is +inf. Equal LLRs
    at the threshold have no rho that separates them: the earlier index is called active.
    """
    inf = tf.constant(float("inf"), llr.dtype)
    ranked = tf.where(available, llr, -inf)
    order = tf.argsort(ranked, direction="DESCENDING")  # equal values keep their order
    ordered = tf.concat([tf.gather(ranked, order), [-inf]], 0)
    logit_rho = -0.5 * (tf.gather(ordered, keep - 1) + tf.gather(ordered, keep))
    log_odds = llr + logit_rho
    tie = tf.where(tf.argsort(order) < keep, tf.constant(1e-9, llr.dtype), -1e-9)
    log_odds = tf.where(log_odds == 0.0, tie, log_odds)
    return logit_rho, tf.where(available, log_odds, -inf)


def slab_step(
    precision: tf.Tensor, shift: tf.Tensor, slab: tf.Tensor, log_odds: tf.Tensor
) -> tf.Tensor:
    """EM step of a layer's slab variance: sum pi (s1 + m1²) / sum pi over weights with evidence.

    Rows without evidence (`has_evidence`) would only hold the slab at its value; where nothing
    is active the slab stays. The output layer's slab is no business of this function: scaling
    it with the noise variance leaves the model unchanged, so only their ratio is identified.
    """
    on = sigmoid(log_odds) * tf.ones_like(precision)
    on = tf.where(has_evidence(precision, slab)[:, None], on, tf.zeros_like(on))
    var = 1.0 / (precision + 1.0 / slab)
    mean = shift * var
    count = tf.reduce_sum(on)
    second = tf.reduce_sum(on * (var + mean * mean))
    return tf.where(count > 0.0, second / tf.maximum(count, 1e-300), slab)


def ramp(groups: int, keep: tf.Tensor | int, progress: tf.Tensor | float) -> tf.Tensor:
    """Number of groups to keep at `progress` (0 to 1, clipped) on the way from `groups` to `keep`.

    keep + (groups - keep)(1 - progress)³, rounded: the cubic schedule of Zhu and Gupta (2017),
    fast while many groups are to spare and slow near the end. Returns an int32 scalar.
    """
    left = 1.0 - tf.clip_by_value(tf.cast(progress, tf.float64), 0.0, 1.0)
    target = tf.cast(keep, tf.float64)
    return tf.cast(tf.round(target + (groups - target) * left**3), tf.int32)


@dataclass(frozen=True)
class GroupPrior:
    """Module B of a stack of L layers, bound to its settings.

    Parameters
    ----------
    rules : tuple of L str
        Inputs first, then the hidden layers; how the groups' rho is found:

        "dense": rho = 1, a Gaussian prior, nothing pruned.
        "free": one rho a layer, EM with the Beta hyperprior.
        "steered": the number of active groups is given. All patterns of `keep` groups are equally
        likely beforehand, and the most probable one, the `keep` highest LLRs, is taken as certain.
        The rho in the Info's log-odds puts exactly these above one half. Inputs that share no
        weights are ranked by `relevance`, not by the LLR: data know some of them far better than
        others, and under one slab that is wider than most weights, the LLR sets such inputs behind
        those of which data say nothing.
        "soft": that rho, and its activities act as they are: the turbo exchange. Where LLRs are
        hundreds apart, as those of neurons that saw thousands of images, they are certain too;
        else the groups at the threshold lose part of their means.
        "per-group": the paper's rho_i <- pi_i. A group's evidence 1 - rho_i + rho_i exp(LLR_i) is
        linear in its own rho_i, so it is largest at 0 or 1, and the update goes there, the log-odds
        growing by LLR_i a step: a hard decision by the sign of LLR_i, not a rate.
    hyper : (a, b), both above 1, default (2.0, 2.0)
        The Beta hyperprior of "free".
    learn_slab : bool, default True
        EM for the slab variances, the output layer's held.
    share_incoming : bool, default False
        A hidden neuron's incoming weights join its group. A weight between two groups needs both
        active, which closes loops: see `sumproduct.shared`. A "steered" choice is among the groups
        of the one before: weights held at 0 gather no evidence against the neuron that they feed,
        so a dropped one would soon outrank those that are at work.

    Raises UsageError for rules or hyperparameters outside these.

    >>> module = GroupPrior(("dense", "steered"))
    >>> state = module.init(slab=[0.3, 1.0], groups=[2, 3])
    >>> messages = [Gaussian(tf.ones([3, 3]), tf.ones([3, 3])) for _ in range(2)]
    >>> messages[1] = Gaussian(tf.ones([4, 1]), tf.constant([[3.0], [1.0], [2.0], [0.0]]))
    >>> state, back, info = module.step(state, messages, keep=[2, 2])
    >>> (info.log_odds[1].numpy() > 0).tolist()
    [True, False, True]
    """

    rules: tuple[str, ...]
    hyper: tuple[float, float] = (2.0, 2.0)
    learn_slab: bool = True
    share_incoming: bool = False

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in RULES:
                raise UsageError(f"rule {rule!r} is not known; use one of {', '.join(RULES)}")
        if not self.rules:
            raise UsageError("rules is empty; give one rule for the inputs and each hidden layer")
        if min(self.hyper) <= 1.0:
            raise UsageError(
                f"hyper {self.hyper} lets rho run to 0 or 1; give Beta parameters above 1"
            )

    def init(self, slab: Sequence[float], groups: Sequence[int], rho: float = 0.5) -> PriorState:
        """Start from slab variances (L values > 0), group counts (L) and one rho in (0, 1)."""
        if len(slab) != len(self.rules) or len(groups) != len(self.rules):
            raise UsageError(
                f"{len(slab)} slabs and {len(groups)} group counts for {len(self.rules)} layers; "
                "give one each a layer"
            )
        if min(slab) <= 0.0:
            raise UsageError(f"slab {min(slab)} is not a variance; give values above 0")
        if not 0.0 < rho < 1.0:
            raise UsageError(f"rho {rho} is outside (0, 1); rule 'dense' is the way to rho = 1")
        logit = tf.constant(rho, tf.float64)
        logit = tf.math.log(logit) - tf.math.log1p(-logit)
        return PriorState(
            tuple(tf.constant(value, tf.float64) for value in slab),
            tuple(
                tf.fill([n] if rule == "per-group" else [], logit)
                for rule, n in zip(self.rules, groups, strict=True)
            ),
            tuple(tf.fill([n], True) for n in groups) if self.share_incoming else (),
        )

    @property
    def repeats(self) -> bool:
        """Whether a second step on the same messages tells the same: none learns from them."""
        learns = self.learn_slab or self.share_incoming
        return not learns and {*self.rules} <= {"dense", *GIVEN}

    def groups(self, shapes: Sequence[tuple[int, int]]) -> list[int]:
        """How many there are in layers of these shapes (I+1, J): I of each."""
        return [rows - 1 for rows, _ in shapes]

    def step(
        self,
        state: PriorState,
        messages: Sequence[Gaussian],
        keep: Sequence[tf.Tensor | int],
    ) -> tuple[PriorState, tuple[Gaussian, ...], PriorInfo]:
        """One pass of SPMP and one M-step; pure, float64 inside, compilable by XLA.

        `messages`: module A's, a layer each, (I+1, J), precision >= 0, any float dtype. `keep`: a
        count in 1..n a layer, read where the number of groups is `GIVEN` (`ramp` makes schedules).
        Returns the new state, the extrinsic messages to module A in the dtype that came, and the
        Info.
        """
        sent = [Gaussian(*(tf.cast(part, tf.float64) for part in pair)) for pair in messages]
        llr = [weight_llr(*pair, slab) for pair, slab in zip(sent, state.slab, strict=True)]
        biases = tf.add_n([tf.reduce_sum(x[-1]) for x in llr])
        if self.rules[0] == "steered" and not self.share_incoming:
            llr[0] = relevance(*sent[0], state.slab[0])
        seen = [
            has_evidence(pair.precision, slab)[:-1]
            for pair, slab in zip(sent, state.slab, strict=True)
        ]
        for u, left in enumerate(state.left):
            seen[u] &= left
        solve = sumproduct.shared if self.share_incoming else sumproduct.disjoint
        belief = solve(
            [x[:-1] for x in llr], lambda u, total: self._decide(u, total, seen[u], state, keep[u])
        )
        decided = self._decided(belief)
        weights, back, slabs, rho = [], [], [], list(state.logit_rho)
        for u, (pair, slab) in enumerate(zip(sent, state.slab, strict=True)):
            odds = tf.pad(decided[u], [[0, 1], [0, 0]], constant_values=float("inf"))
            weights.append(odds)
            out = extrinsic(*pair, slab, odds)
            back.append(Gaussian(*(tf.cast(part, messages[u][0].dtype) for part in out)))
            learn = self.learn_slab and u < len(sent) - 1
            slabs.append(slab_step(*pair, slab, odds) if learn else slab)
            if self.rules[u] == "free":
                rho[u] = free_rho(belief.log_odds[u], seen[u], self.hyper)
            elif self.rules[u] == "per-group":
                rho[u] = tf.where(seen[u], belief.log_odds[u], rho[u])
        left = tuple(
            odds > 0.0 if rule in GIVEN else still
            for rule, odds, still in zip(self.rules, belief.log_odds, state.left, strict=False)
        )
        info = PriorInfo(
            tuple(belief.total),
            tuple(belief.log_odds),
            tuple(weights),
            belief.log_evidence + biases,
        )
        return PriorState(tuple(slabs), tuple(rho), left), tuple(back), info

    def _decided(self, belief: sumproduct.Belief) -> list[tf.Tensor]:
        """Log-odds of each weight, ±inf where the number of groups is given (see "steered")."""
        inf = tf.constant(float("inf"), tf.float64)
        groups = [
            tf.where(odds > 0.0, inf, -inf) if rule == "steered" else odds
            for rule, odds in zip(self.rules, belief.log_odds, strict=True)
        ]
        weights = []
        for u, soft in enumerate(belief.weights):
            ends = self.rules[u : u + 2] if self.share_incoming else self.rules[u : u + 1]
            if "steered" not in ends:
                weights.append(soft)
            elif len(ends) == 1:
                weights.append(groups[u][:, None])
            else:  # a weight between two groups needs both
                weights.append(tf.minimum(groups[u][:, None], groups[u + 1][None, :]))
        return weights

    def _decide(
        self, unit: int, llr: tf.Tensor, seen: tf.Tensor, state: PriorState, keep: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Log-odds of rho for this step, and of every group of the layer."""
        inf = tf.constant(float("inf"), llr.dtype)
        if self.rules[unit] == "dense":
            return inf, tf.fill(tf.shape(llr), inf)
        if self.rules[unit] in GIVEN:
            return steered_rho(llr, seen, keep)
        rho = state.logit_rho[unit]
        return rho, tf.where(seen, llr + rho, -inf)
