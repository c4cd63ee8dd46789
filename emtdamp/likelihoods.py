"""The output factor: log evidence of a sample, its derivatives, and the M-step of the noise v.

z ~ N(w, V), independent over the K outputs, meets p(y | z). Both factors return
    log Z = log int p(y | z) N(z; w, V) dz,   g = d log Z/dw,   Gam = -d^2 log Z/dw^2  (diagonal)
and E[eps^2], the mean square of the noise given y: EM sets v to its average. Classes hold settings
only; v comes as a tensor because the M-step changes it inside a compiled loop.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.gaussian import LOG_SQRT_2PI, cut


class Output(NamedTuple):
    """log_evidence (B,); gradient and curvature (B, K); noise (B,), the mean of E[eps^2]."""

    log_evidence: tf.Tensor
    gradient: tf.Tensor
    curvature: tf.Tensor
    noise: tf.Tensor


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
        square = noise * (noise * gradient * gradient + var * curvature)
        return Output(
            tf.reduce_sum(log_density, -1), gradient, curvature, tf.reduce_mean(square, -1)
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
    The product is not normalised over y: `log_probabilities` normalises it.

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
        own = tf.one_hot(y, w.shape[-1], dtype=w.dtype)
        other = 1.0 - own
        w_y = tf.reduce_sum(own * w, -1, keepdims=True)
        var_y = tf.reduce_sum(own * var, -1, keepdims=True)
        # (B, K); at the entry of y itself every sum below is masked
        s_inverse = other * tf.math.rsqrt(noise + var)

        def slopes(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            at = cut((z - w) * s_inverse)
            slope = -(z - w_y) / var_y + tf.reduce_sum(at.hazard * s_inverse, -1, keepdims=True)
            bend = at.hazard * at.mean * s_inverse * s_inverse
            return slope, 1.0 / var_y + tf.reduce_sum(bend, -1, keepdims=True)

        z, bend = w_y, 1.0 / var_y
        for _ in tf.range(self.newton):
            slope, bend = slopes(z)
            z = z + slope / bend
        width = tf.math.rsqrt(bend)

        x, log_weight = _trapezoid(self.nodes)
        offset = width[..., None] * tf.constant(x, w.dtype)  # (B, 1, Q)
        t_mode = ((z - w) * s_inverse)[..., None]
        shift = offset * s_inverse[..., None]  # t - t_mode, (B, K, Q)
        t = t_mode + shift
        at = cut(t)
        middle = at.log_scale[..., self.nodes // 2]  # of the mode itself
        # log Phi(t) - log Phi(t_mode), the squares of the left tail multiplied out
        rise = tf.where(
            tf.maximum(t, t_mode) < 0, shift, tf.minimum(t, 0.0) - tf.minimum(t_mode, 0.0)
        )
        tail = 0.5 * rise * (tf.minimum(t, 0.0) + tf.minimum(t_mode, 0.0))
        log_phi = other[..., None] * (at.log_scale - middle[..., None] - tail)
        away = (z - w_y)[..., None]
        log_prior = -offset * (away + 0.5 * offset) / var_y[..., None]
        log_term = log_weight + tf.reduce_sum(log_phi, -2) + tf.squeeze(log_prior, -2)  # (B, Q)
        weight = tf.nn.softmax(log_term)[:, None, :]  # (B, 1, Q)
        mode_phi = middle - 0.5 * tf.square(tf.minimum(t_mode[..., 0], 0.0))
        base = -0.5 * away[:, 0, 0] ** 2 / var_y[:, 0] + tf.reduce_sum(other * mode_phi, -1)
        log_evidence = (
            base + tf.reduce_logsumexp(log_term, -1) + tf.math.log(width / tf.sqrt(var_y))[:, 0]
        )

        mean_m = tf.reduce_sum(weight * at.hazard, -1, keepdims=True)
        bend_m = at.hazard * at.mean - tf.square(at.hazard - mean_m)
        gam_m = tf.reduce_sum(weight * bend_m, -1) * s_inverse * s_inverse
        slope_m = mean_m[..., 0] * s_inverse
        drag = gam_m - slope_m * slope_m  # E[l_m t_m]/s_m^2
        slope_q = tf.reduce_sum(at.hazard * s_inverse[..., None], -2, keepdims=True)  # S, (B, 1, Q)
        bend_q = tf.reduce_sum(at.hazard * at.mean * s_inverse[..., None] ** 2, -2, keepdims=True)
        g_y = tf.reduce_sum(weight * slope_q, -1)  # (B, 1)
        spread = tf.reduce_sum(weight * tf.square(slope_q - g_y[..., None]), -1)
        gam_y = tf.reduce_sum(weight * bend_q, -1) - spread
        square = noise * (1.0 - noise * tf.reduce_sum(drag, -1) / (w.shape[-1] - 1))
        return Output(
            log_evidence=log_evidence,
            gradient=own * g_y - slope_m,
            curvature=own * gam_y + gam_m,
            noise=square,
        )

    def log_probabilities(self, w: tf.Tensor, var: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """(B, K) log p(class) of the predictive distribution: log Z of each class, normalised."""
        size, classes = tf.shape(w)[0], w.shape[-1]
        each = tf.tile(tf.range(classes), [size])
        w, var = (tf.repeat(a, classes, axis=0) for a in (w, var))
        log_z = self(w, var, each, noise).log_evidence
        return tf.nn.log_softmax(tf.reshape(log_z, [size, classes]))


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
    """The v in `bounds` with the highest total log evidence, by golden section on log v.

    The numerical counterpart of EM's update v <- mean of `Output.noise`, which climbs to the same
    stationary point. Assumes one maximum inside the bounds; 60 iterations end at rounding.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = (tf.constant(np.log(b), w.dtype) for b in bounds)

    def evidence(log_v: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(likelihood(w, var, y, tf.exp(log_v)).log_evidence)

    for _ in tf.range(iterations):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        rises = evidence(left) < evidence(right)
        low, high = tf.where(rises, left, low), tf.where(rises, high, right)
    return tf.exp(0.5 * (low + high))
