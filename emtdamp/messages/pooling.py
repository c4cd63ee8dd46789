"""tanh neurons pooled over bags: moments of mean and maximum forward, messages backward.

A neuron of instance c has z_c ~ N(w_c, V_c), u_c = tanh(z_c). A bag passes on the mean of its u_c
and their maximum, which is tanh(max z_c). Both get a message exp(-A y^2/2 + B y) from above, and
tell the layer below g = d log Z/dw_c and Gam = -d^2 log Z/dw_c^2, as `activations` do.

Two assumptions. The z_c of a bag are independent: in truth they share their layer's weights, and
would be correlated were these uncertain in earnest. And mean and maximum are two factors whose g
and Gam add up, right to first order in V.

Mean of n. Edge c sees y = u_c/n + the rest, whose variance is S = Var y - Var u_c/n^2. So
    A_c = A/(1 + A S)/n^2,  B_c = (B - A E y)/(1 + A S)/n + A_c E u_c
reaches u_c (exact for Gaussian u), and the neuron's own factor turns it into g and Gam.

Maximum. C(t) = prod_c Phi((t - w_c)/sqrt(V_c)) is its distribution function and C a its density,
a = sum_c a_c with a_c = phi/(Phi sqrt(V_c)) at (t - w_c)/sqrt(V_c): given the maximum t, instance c
is where it is attained with probability a_c/a. With F(t) = -A tanh(t)^2/2 + B tanh(t),
Z = int exp(F) dC, and by parts, as d(a_c C)/dw_c differentiates phi alone,
    g   = E[(a_c/a) F'],
    Gam = g^2 - E[(a_c/a) (F'' + F'^2 + F' (a - a_c))],
means under exp(F) C a / Z. For one instance this is tanh's factor; without variance, g is F' at the
largest instance and 0 at the others: the gradient that pooling by the maximum has. No Gaussian
stands for the maximum, as in Clark (1961): integrals over t are sums.

Shapes: B bags, C instances of all bags, H neurons, Q nodes. member (B, C): 1 where instance c is of
bag b, else 0; an instance of no bag is padding.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from emtdamp.messages.activations import tanh
from emtdamp.messages.gaussian import Gaussian, cut

# 1e-5 and better while sqrt(V) is up to 2 and no other of the bag's is ten times smaller
_NODES = np.linspace(0.0, 1.0, 65)
_REACH = 6.5  # deviations that the nodes go beyond every instance


class Pooled(NamedTuple):
    """mean, var (B, 2H): of the mean, then the maximum, 0 for an empty bag."""

    mean: tf.Tensor
    var: tf.Tensor


class Response(NamedTuple):
    """g and Gam of each instance, (C, H), 0 for padding; log Z (B, 2H)."""

    gradient: tf.Tensor
    curvature: tf.Tensor
    log_partition: tf.Tensor


class _Maximum(NamedTuple):
    """The largest z on nodes: tanh (B, H, Q), log of its weight, a; a_c (C, H, Q)."""

    u: tf.Tensor
    log_weight: tf.Tensor
    total: tf.Tensor
    each: tf.Tensor


def forward(w: tf.Tensor, var: tf.Tensor, member: tf.Tensor) -> Pooled:
    """Moments of mean and maximum from those of z, (C, H) both."""
    alone, share = tanh(w, var, None), _share(member)
    top = _maximum(w, var, member)
    weight = tf.exp(top.log_weight)
    largest = tf.reduce_sum(weight * top.u, -1)
    spread = tf.reduce_sum(weight * tf.square(top.u - largest[..., None]), -1)
    some = tf.reduce_max(member, 1)[:, None]
    return Pooled(
        tf.concat([share @ alone.mean, some * largest], 1),
        tf.concat([tf.square(share) @ alone.var, some * spread], 1),
    )


def backward(w: tf.Tensor, var: tf.Tensor, member: tf.Tensor, above: Gaussian) -> Response:
    """Messages to z where `above` (B, 2H) came to mean and maximum; its precision >= 0."""
    (sharp, top_sharp), (shift, top_shift) = (tf.split(part, 2, 1) for part in above)
    mean = _to_mean(w, var, member, Gaussian(sharp, shift))
    top = _to_maximum(w, var, member, Gaussian(top_sharp, top_shift))
    real = tf.reduce_max(member, 0)[:, None]
    return Response(
        real * (mean.gradient + top.gradient),
        real * (mean.curvature + top.curvature),
        tf.concat([mean.log_partition, top.log_partition], 1),
    )


def _share(member: tf.Tensor) -> tf.Tensor:
    """(B, C) 1/n where an instance is one of n."""
    return member / tf.maximum(tf.reduce_sum(member, 1, keepdims=True), 1.0)


def _to_mean(w: tf.Tensor, var: tf.Tensor, member: tf.Tensor, above: Gaussian) -> Response:
    alone, share = tanh(w, var, None), _share(member)
    part = tf.reduce_sum(share, 0)[:, None]  # 1/n of its bag, (C, 1)
    y, spread = share @ alone.mean, tf.square(share) @ alone.var
    sharp, slope, rest = (
        tf.matmul(member, bag, transpose_a=True)
        for bag in (above.precision, above.shift - above.precision * y, spread)
    )
    rest = tf.nn.relu(rest - tf.square(part) * alone.var)
    damped = part / (1.0 + sharp * rest)
    precision = part * damped * sharp
    unit = tanh(w, var, Gaussian(precision, damped * slope + precision * alone.mean))
    c = 1.0 + above.precision * spread
    log_z = 0.5 * (
        (2.0 * above.shift * y + above.shift**2 * spread - above.precision * y**2) / c
        - tf.math.log(c)
    )
    return Response(unit.gradient, unit.curvature, log_z)


def _maximum(w: tf.Tensor, var: tf.Tensor, member: tf.Tensor) -> _Maximum:
    std = tf.sqrt(var)
    some, inside = tf.reduce_max(member, 1)[:, None], member[:, :, None] > 0
    least = tf.constant(-1e30, w.dtype)
    low, high = (
        some * tf.reduce_max(tf.where(inside, end, least), 1)
        for end in (w - _REACH * std, w + _REACH * std)
    )
    t = low[..., None] + (high - low)[..., None] * tf.constant(_NODES, w.dtype)
    own = _gather(member, t)
    at = cut((own - w[..., None]) / std[..., None])
    below = tf.minimum((own - w[..., None]) / std[..., None], 0.0)
    each = at.hazard / std[..., None]
    log_phi = at.log_scale - 0.5 * tf.square(below)
    total = _sum(member, each)
    total = tf.where(some[..., None] > 0, total, tf.ones_like(total))
    log_weight = tf.nn.log_softmax(_sum(member, log_phi) + tf.math.log(total))
    return _Maximum(tf.tanh(t), log_weight, total, each)


def _to_maximum(w: tf.Tensor, var: tf.Tensor, member: tf.Tensor, above: Gaussian) -> Response:
    top = _maximum(w, var, member)
    precision, shift = above.precision[..., None], above.shift[..., None]
    log_term = top.log_weight + top.u * (shift - 0.5 * precision * top.u)
    slope = 1.0 - tf.square(top.u)
    r = shift - precision * top.u
    first = r * slope
    second = -(precision * slope + 2.0 * top.u * r) * slope
    weight = tf.nn.softmax(log_term) / top.total
    push = _gather(member, weight * first)
    bend = _gather(member, weight * (second + first * (first + top.total)))
    g = tf.reduce_sum(top.each * push, -1)
    bent = tf.reduce_sum(top.each * (bend - top.each * push), -1)
    return Response(g, tf.square(g) - bent, tf.reduce_logsumexp(log_term, -1))


def _gather(member: tf.Tensor, bag: tf.Tensor) -> tf.Tensor:
    """(C, H, Q) of each instance's bag; 0 for padding."""
    flat = tf.matmul(member, tf.reshape(bag, [bag.shape[0], -1]), transpose_a=True)
    return tf.reshape(flat, [member.shape[1], *bag.shape[1:]])


def _sum(member: tf.Tensor, each: tf.Tensor) -> tf.Tensor:
    """(B, H, Q) over the instances of each bag."""
    flat = member @ tf.reshape(each, [each.shape[0], -1])
    return tf.reshape(flat, [member.shape[0], *each.shape[1:]])
