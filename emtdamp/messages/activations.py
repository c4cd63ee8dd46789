"""What a nonlinearity does to a Gaussian: moments forward, messages backward, log-partition.

A hidden unit u = f(z) joins two messages: z ~ N(w, V) from below, exp(-A u^2/2 + B u) from above.
Its factor is
    Z(w, V; A, B) = int N(z; w, V) exp(-A f(z)^2/2 + B f(z)) dz,
its forward moments are mean and variance of u under the integrand, and what it tells the layer
below is g = d log Z/dw and Gam = -d^2 log Z/dw^2: to second order log Z is a Gaussian in w.
All functions take tensors of one shape, elementwise; A is clipped at 0, so Z always exists. `above`
is None where nothing has come from above yet: A = B = 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.messages.gaussian import Gaussian, cuts


class Response(NamedTuple):
    """Mean and variance of u; g, Gam and log Z of its factor. What is not used is not computed."""

    mean: tf.Tensor
    var: tf.Tensor
    gradient: tf.Tensor
    curvature: tf.Tensor
    log_partition: tf.Tensor


Activation = Callable[[tf.Tensor, tf.Tensor, Gaussian | None], Response]


def relu(w: tf.Tensor, var: tf.Tensor, above: Gaussian | None) -> Response:
    """ReLU, exact: a mixture of two Gaussians cut at zero.

    With c = 1 + A V the branch z > 0 is N(z; w2, V2), V2 = V/c, w2 = (w + B V)/c, and its log mass
        lp = (t2^2 - t^2)/2 - log(c)/2 + log Phi(t2),   t = w/sqrt(V), t2 = w2/sqrt(V2);
    the branch z < 0 has log mass ln = log Phi(-t). Writing log Phi(t) = l(t) - min(t, 0)^2/2,
        lp - ln = (max(t2, 0)^2 - max(-t, 0)^2)/2 + l(t2) - l(-t) - log(c)/2:
    squares survive only where both branches' bulk is on their own side (t2 > 0 > t), and there
    (t2^2 - t^2)/2 = (B w2 + w r/c)/2 with r = B - A w, whose terms do not grow as t^2.
    With q = sigmoid(lp - ln), the density of z at 0 is d0 = (1 - q) hazard(-t)/sqrt(V) (also
    q hazard(t2)/sqrt(V2)), and the derivatives follow without a division by V:
        d(lp)/dw = r/c + hazard(t2)/(c sqrt(V2)),  d(ln)/dw = -hazard(-t)/sqrt(V)
        g   = q (r/c) + d0/c - d0 = (q r - d0 A V)/c
        q'  = (q r + d0)/c - q g,  d0' = -d0 (w/V + g),  r' = -A
        Gam = -g' = (q A - q' r + d0' A V)/c = (q A + q g r - r (q r + d0)/c - d0 A (w + V g))/c.
    """
    inverse_std = tf.math.rsqrt(var)
    std = var * inverse_std
    t = w * inverse_std
    upper, off = cuts(t)
    if above is None:
        positive, zero = std * upper.mean, tf.zeros_like(w)
        spread = upper.mass * (var * upper.var + off.mass * positive * positive)
        return Response(upper.mass * positive, spread, zero, zero, zero)
    precision, shift = tf.nn.relu(above.precision), above.shift
    c = 1.0 + precision * var
    inverse_root = tf.math.rsqrt(c)
    inverse = 1.0 / c
    w2 = (w + shift * var) * inverse
    std2 = std * inverse_root
    t2 = w2 * (c * inverse_root) * inverse_std
    on, _ = cuts(t2)
    r = shift - precision * w
    half_squares = 0.5 * tf.where(
        (t2 > 0) & (t < 0),
        shift * w2 + w * r * inverse,
        tf.square(tf.nn.relu(t2)) - tf.square(tf.nn.relu(-t)),
    )
    odds = half_squares + tf.math.log(on.scale * inverse_root / off.scale)
    # sigmoid of +-odds from one exponential
    decay = tf.exp(-tf.abs(odds))
    likely = 1.0 / (1.0 + decay)
    unlikely = decay * likely
    q, rest = tf.where(odds > 0, likely, unlikely), tf.where(odds > 0, unlikely, likely)
    positive = std2 * on.mean
    d0 = rest * off.hazard * inverse_std
    g = (q * r - d0 * precision * var) * inverse
    curvature = (
        q * precision + q * g * r - r * (q * r + d0) * inverse - d0 * precision * (w + var * g)
    ) * inverse
    return Response(
        mean=q * positive,
        var=q * (std2 * std2 * on.var + rest * positive * positive),
        gradient=g,
        curvature=curvature,
        log_partition=off.log_scale - 0.5 * tf.square(tf.nn.relu(t)) + tf.math.softplus(odds),
    )


def identity(w: tf.Tensor, var: tf.Tensor, above: Gaussian | None) -> Response:
    """f(z) = z: a product of Gaussians. log Z = (B mean + w r/c)/2 - log(c)/2, r = B - A w."""
    if above is None:
        zero = tf.zeros_like(w)
        return Response(w, var, zero, zero, zero)
    precision, shift = tf.nn.relu(above.precision), above.shift
    c = 1.0 + precision * var
    mean = (w + shift * var) / c
    r = (shift - precision * w) / c
    return Response(mean, var / c, r, precision / c, 0.5 * (shift * mean + w * r - tf.math.log(c)))


_TANH_NODES = np.linspace(-7.0, 7.0, 141)  # the rule is accurate while the integrand's
# width is above the spacing: sqrt(V) up to 10 and 1/sqrt(A + 1/V) down to 0.1 sqrt(V)


def tanh(w: tf.Tensor, var: tf.Tensor, above: Gaussian | None) -> Response:
    """tanh by the trapezoidal rule on w + sqrt(V) xi, xi in [-7, 7].

    By partial integration derivatives in w are expectations of those of F(z) = -A u^2/2 + B u:
    g = E F', Gam = -E F'' - Var F', which needs no division by V.
    """
    if above is None:
        above = Gaussian(tf.zeros_like(w), tf.zeros_like(w))
    nodes = tf.constant(_TANH_NODES, w.dtype)
    precision, shift = tf.nn.relu(above.precision)[..., None], above.shift[..., None]
    u = tf.tanh(w[..., None] + tf.sqrt(var)[..., None] * nodes)
    log_weight = -0.5 * nodes * nodes - float(np.log(np.exp(-0.5 * _TANH_NODES**2).sum()))
    log_term = log_weight + u * (shift - 0.5 * precision * u)
    weight = tf.nn.softmax(log_term)
    slope = 1.0 - u * u
    r = shift - precision * u
    first = r * slope
    second = -(precision * slope + 2.0 * u * r) * slope

    def average(values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(weight * values, -1)

    mean, g = average(u), average(first)
    return Response(
        mean=mean,
        var=average(tf.square(u - mean[..., None])),
        gradient=g,
        curvature=-average(second) - average(tf.square(first - g[..., None])),
        log_partition=tf.reduce_logsumexp(log_term, -1),
    )


ACTIVATIONS: dict[str, Activation] = {"relu": relu, "identity": identity, "tanh": tanh}
