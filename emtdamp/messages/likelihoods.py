"""The output factor: log Z of a sample, its derivatives, and the M-step of the noise v.

z ~ N(w, V), independent over the K outputs, meets p(y | z). Both factors return
    log Z = log int p(y | z) N(z; w, V) dz,   g = d log Z/dw,   Gam = -d^2 log Z/dw^2  (diagonal)
and E[eps^2], the mean square of the noise given y: EM sets v to its average. log Z is the log
evidence of a sample under `GaussianNoise`; under `ProbitProduct` it is the log-partition of a
factor that is not normalised over y. Classes hold settings only; v comes as a tensor because the
M-step changes it inside a compiled loop.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages.gaussian import LOG_SQRT_2PI, cut


class Output(NamedTuple):
    """log_partition (B,); gradient and curvature (B, K); noise and noise_learnt (B,), the mean of
    E[eps^2] over outputs, where (w, V) are from before the sample was learnt and from after."""

    log_partition: tf.Tensor
    gradient: tf.Tensor
    curvature: tf.Tensor
    noise: tf.Tensor
    noise_learnt: tf.Tensor


class Likelihood(Protocol):
    """What module A asks of an output factor: `y` is (B, K) real or (B,) int class numbers."""

    def __call__(self, w: tf.Tensor, var: tf.Tensor, y: tf.Tensor, noise: tf.Tensor) -> Output: ...


@dataclass(frozen=True)
class GaussianNoise:
    """y = z + eps, eps ~ N(0, v), any number of outputs.

    Z = N(y; w, V + v). Given y, eps has mean r v/(V + v), r = y - w, and variance V v/(V + v).
    """

    def __call__(self, w: tf.Tensor, var: tf.Tensor, y: tf.Tensor, noise: tf.Tensor) -> Output:
        curvature = 1.0 / (var + noise)
        r = y - w
        gradient = r * curvature
        log_density = -0.5 * r * gradient + 0.5 * tf.math.log(curvature) - LOG_SQRT_2PI
        rest = noise * var * curvature
        return Output(
            tf.reduce_sum(log_density, -1),
            gradient,
            curvature,
            tf.reduce_mean(tf.square(noise * gradient) + rest, -1),
            tf.reduce_mean(tf.square(r) + rest, -1),
        )


@dataclass(frozen=True)
class ProbitProduct:
    """p(y | z) = prod_{m != y} Phi((z_y - z_m)/sqrt(v)), K >= 2 classes.

    The z_m, m != y, are independent given z_y = z, so with s_m^2 = v + V_m and t_m = (z - w_m)/s_m
        Z = int N(z; w_y, V_y) prod_{m != y} Phi(t_m) dz = int exp f(z) dz,
    one dimension whatever K is. f is concave; its slope -(z - w_y)/V_y + sum hazard(t_m)/s_m is
    convex and starts positive at z = w_y, so Newton's steps from there rise to the mode without
    overshooting. The trapezoidal rule on z_q = z* + h x_q, h = (-f'')^(-1/2), follows the mass
    wherever it is (nodes fixed on N(w_y, V_y) miss it once the class is unlikely) and, its nodes
    being dense, stands a skewed integrand better than as many Gauss-Hermite nodes: 10 times where
    V is near v. Exponents are taken relative to the mode as products of node offsets, because f
    itself reaches -1e4 and more.

    With E, Var over the nodes' weights, derivatives by partial integration (l_m = hazard(t_m)):
        g_m = -E[l_m]/s_m,   Gam_m = (E[l_m (t_m + l_m)] - Var[l_m])/s_m^2       (m != y)
        g_y = E[S],  S = sum_m l_m/s_m,  Gam_y = E[sum_m l_m (t_m + l_m)/s_m^2] - Var[S].
    Noise: z_y - z_m + eps_m > 0 with eps_m ~ N(0, v): given z, d = z - z_m + eps_m is N(t_m s_m,
    s_m^2) cut at 0, so E[eps_m^2] = v (1 - (v/s_m^2) E[t_m l_m]).
    The product is the paper's, and not normalised over y: at equal certain outputs its K values sum
    to K 2^(1-K), 1 for two classes and .0195 for ten. So exp(log Z) is no probability for K > 2 and
    rewards outputs that are apart; a v learnt from it is that of the unnormalised model.
    `log_probabilities` normalises.

    `nodes`: odd, the middle one is the mode; 17 give log Z, g and Gam v to 1e-4 while V is up to
    about v, and to 5e-4 at 3 v (9: 1e-3 and 1e-2); `newton`: 5 steps come close enough to the
    mode from any start.
    """

    nodes: int = 17
    newton: int = 5

    def __post_init__(self) -> None:
        if self.nodes < 3 or self.nodes % 2 == 0 or self.newton < 0:
            raise UsageError(
                f"nodes={self.nodes}, newton={self.newton}: nodes must be odd, 3 or more, and "
                "newton 0 or more"
            )

    def __call__(self, w: tf.Tensor, var: tf.Tensor, y: tf.Tensor, noise: tf.Tensor) -> Output:
        # Samples run along the last axis, the contiguous one: classes (K, B), nodes (Q, K, B).
        # Sums over classes or nodes then add whole rows.
        w, var = tf.transpose(w), tf.transpose(var)
        own = tf.one_hot(y, w.shape[0], axis=0, dtype=w.dtype)
        other = 1.0 - own
        w_y = tf.reduce_sum(own * w, 0)
        var_y = tf.reduce_sum(own * var, 0)
        sharp_y = 1.0 / var_y
        # s_m^-1 is 0 at m = y: there t = 0 at all nodes, and nothing is added to any sum below
        s_inverse = other * tf.math.rsqrt(noise + var)

        def climb(i: tf.Tensor, z: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
            at = cut((z - w) * s_inverse)
            pull = at.hazard * s_inverse
            slope = (w_y - z) * sharp_y + tf.reduce_sum(pull, 0)
            bend = sharp_y + tf.reduce_sum(pull * at.mean * s_inverse, 0)
            return i + 1, z + slope / bend, bend

        _, z, bend = tf.while_loop(
            lambda i, *_: i < self.newton, climb, (tf.constant(0), w_y, sharp_y)
        )
        width = tf.math.rsqrt(bend)

        x, log_weight = _trapezoid(self.nodes)
        offset = width * tf.constant(x[:, None], w.dtype)  # (Q, B)
        t_mode = (z - w) * s_inverse
        shift = offset[:, None] * s_inverse  # t - t_mode
        t = t_mode + shift
        at = cut(t)
        # log Phi(t) without -min(t_mode, 0)^2/2, the squares of the left tail multiplied out
        below, below_mode = tf.minimum(t, 0.0), tf.minimum(t_mode, 0.0)
        rise = tf.where(tf.maximum(t, t_mode) < 0, shift, below - below_mode)
        log_phi = tf.math.log(at.scale) - 0.5 * rise * (below + below_mode)
        away = z - w_y
        log_prior = -offset * (away + 0.5 * offset) * sharp_y
        log_term = log_prior + _total(log_phi, 1)  # (Q, B)
        top = tf.reduce_max(log_term, 0)
        weight = tf.exp(log_term - top)
        total = tf.reduce_sum(weight, 0)
        weight = weight / total
        # of the mode; y's own Phi(0) = 1/2 is in every log_term
        squares = tf.square(away) * sharp_y + _total(tf.square(below_mode), 0)
        log_partition = (
            top + tf.math.log(2.0 * total * width * tf.sqrt(sharp_y)) + log_weight - 0.5 * squares
        )

        slope_q = _total(at.hazard * s_inverse, 1)  # S, (Q, B)
        bend_q = _total(at.hazard * at.mean * tf.square(s_inverse), 1)
        drag_q = _total(at.hazard * t * tf.square(s_inverse), 1)
        drag = _total(weight * drag_q, 0)  # sum_m E[l_m t_m]/s_m^2
        g_y = _total(weight * slope_q, 0)
        gam_y = _total(weight * (bend_q - tf.square(slope_q - g_y)), 0)
        mean_m = _total(weight[:, None] * at.hazard, 0)  # (K, B)
        bend_m = at.hazard * at.mean - tf.square(at.hazard - mean_m)
        gam_m = _total(weight[:, None] * bend_m, 0) * tf.square(s_inverse)
        slope_m = mean_m * s_inverse
        eps = noise * (1.0 - noise * drag / (w.shape[0] - 1))
        return Output(
            log_partition=log_partition,
            gradient=tf.transpose(own * g_y - slope_m),
            curvature=tf.transpose(own * gam_y + gam_m),
            noise=eps,
            noise_learnt=eps,  # differs by O(V/v), V is far below v where classes have many rows
        )

    def log_probabilities(self, w: tf.Tensor, var: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """(B, K) log p(class) of the predictive distribution: log Z of each class, normalised."""
        size, classes = tf.shape(w)[0], w.shape[-1]
        each = tf.tile(tf.range(classes), [size])
        w, var = (tf.repeat(a, classes, axis=0) for a in (w, var))
        log_z = self(w, var, each, noise).log_partition
        return tf.nn.log_softmax(tf.reshape(log_z, [size, classes]))


def _total(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Sum over an axis before the last, by halves.

    XLA vectorises each sum of halves along the last axis; a reduction whose terms are computed in
    its loop it does not, which is ten times slower.
    """
    while x.shape[axis] > 1:
        size = x.shape[axis]
        odd = size % 2
        parts = tf.split(x, [size // 2, size // 2, odd] if odd else 2, axis)
        x = tf.concat([parts[0] + parts[1], parts[2]], axis) if odd else parts[0] + parts[1]
    return tf.squeeze(x, axis)


def _trapezoid(nodes: int) -> tuple[np.ndarray, float]:
    """Nodes x and log(step/sqrt(2 pi)): sum_q exp(lw) F(x_q) = int F(x) dx/sqrt(2 pi).

    The range grows as sqrt(nodes), which balances what is cut off against the spacing.
    """
    x, step = np.linspace(-1.375 * nodes**0.5, 1.375 * nodes**0.5, nodes, retstep=True)
    return x, float(np.log(step)) - LOG_SQRT_2PI


def maximise_noise(
    likelihood: Likelihood,
    w: tf.Tensor,
    var: tf.Tensor,
    y: tf.Tensor,
    bounds: tuple[float, float] = (1e-6, 1e6),
    iterations: int = 60,
) -> tf.Tensor:
    """The v in `bounds` with the highest total log-partition, by golden section on log v.

    The numerical counterpart of EM's update v <- mean of `Output.noise`, which climbs to the same
    stationary point. Assumes one maximum inside the bounds; 60 iterations end at rounding.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = (tf.constant(np.log(b), w.dtype) for b in bounds)

    def evidence(log_v: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(likelihood(w, var, y, tf.exp(log_v)).log_partition)

    def halve(i: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, ...]:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        rises = evidence(left) < evidence(right)
        return i + 1, tf.where(rises, left, low), tf.where(rises, high, right)

    _, low, high = tf.while_loop(lambda i, *_: i < iterations, halve, (tf.constant(0), low, high))
    return tf.exp(0.5 * (low + high))
