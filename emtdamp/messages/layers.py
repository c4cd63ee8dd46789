"""One dense layer z = sum_n x_n W_n with random weights and random inputs: its three messages.

Shapes: B samples, N inputs (the bias is the last, x = 1), J outputs. Weights have mean m and
variance s, (N, J); inputs have mean x and variance D, (B, N), D = None where they are known. All
products are elementwise unless @. The sum over n is Gaussian by the central limit theorem, so a
layer sees its outputs only through g = d log Z/dw and Gam = -d^2 log Z/dw^2, (B, J).

Derivation. For one sample and output write delta = x_n W_n - x_n' m_n' for what edge n adds to
the sum when its own mean is taken out (a prime marks cavity means), and expand the log factor:
    log Z(w + delta) = log Z(w) + g delta - Gam delta^2/2.
With x_n = x' + xi, xi ~ N(0, D), averaging the exponential over xi to second order gives
    exponent in W:  g x' W + Gam x'^2 m' W - [x'^2 Gam + D (Gam - g^2)] W^2/2,
the message to a weight; exchanging x and W gives that to an input. Sums over samples, or over
outputs, make products of messages. Cavity means differ from the posterior's by what this edge
said in the pass before: m' = m - s x_old g_old, x' = x - D m_old g_old. In w = sum x' m' these
add up (to O(1)), which is Onsager's term; in the messages they correct the variance of the
other end. There is no pass before the first one, and then the terms are absent (old = None).
"""

from typing import NamedTuple

import tensorflow as tf

from emtdamp.messages.gaussian import Gaussian

MIN_VAR = 1e-8  # keeps V > 0 for an all-zero input without a bias


class Trace(NamedTuple):
    """What a pass leaves for the next one's cavities: x (B, N), m (N, J), g (B, J)."""

    x: tf.Tensor
    m: tf.Tensor
    g: tf.Tensor


class WeightMessage(NamedTuple):
    """The minibatch's message to the weights, expanded at their mean m, (N, J).

    gradient: H - m G, what the data say about moving m; precision: G >= 0. The message itself is
    exp(-G W^2/2 + H W) with H = gradient + m G.
    """

    gradient: tf.Tensor
    precision: tf.Tensor


def forward(
    x: tf.Tensor, d: tf.Tensor | None, m: tf.Tensor, s: tf.Tensor, old: Trace | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean w and variance V of z, (B, J).

    V = (x*x)@s + D@(m*m + s);  w = x@m - g_old*((x*x_old)@s + D@(m*m_old)).
    """
    var = tf.square(x) @ s
    if d is not None:
        var += d @ (tf.square(m) + s)
    w = x @ m
    if old is not None:
        reaction = (x * old.x) @ s
        if d is not None:
            reaction += d @ (m * old.m)
        w -= old.g * reaction
    return w, var + MIN_VAR


def to_inputs(
    x: tf.Tensor,
    m: tf.Tensor,
    s: tf.Tensor,
    g: tf.Tensor,
    gam: tf.Tensor,
    old: Trace | None,
) -> Gaussian:
    """Message to the inputs, bias dropped, (B, N-1).

    A = Gam@(m*m)^T + (Gam - g*g)@s^T;  B = g@m^T + x*(Gam@(m*m)^T) - x_old*((g*g_old)@s^T).
    A negative A is set to 0 and the message's slope at x, B - x A, kept.
    """
    known = tf.matmul(gam, tf.square(m), transpose_b=True)
    precision = known + tf.matmul(gam - tf.square(g), s, transpose_b=True)
    shift = tf.matmul(g, m, transpose_b=True) + x * known
    if old is not None:
        shift -= old.x * tf.matmul(g * old.g, s, transpose_b=True)
    clipped = tf.nn.relu(precision)
    shift += x * (clipped - precision)
    return Gaussian(clipped[:, :-1], shift[:, :-1])


def to_weights(
    x: tf.Tensor,
    d: tf.Tensor | None,
    m: tf.Tensor,
    g: tf.Tensor,
    gam: tf.Tensor,
    weight: tf.Tensor,
    old: Trace | None,
) -> WeightMessage:
    """Message to the weights; sample b counts `weight`_b times, (B, 1).

    G = (x*x)^T@Gam + D^T@(Gam - g*g);  H = x^T@g + m*((x*x)^T@Gam) - m_old*(D^T@(g*g_old)).
    A negative G (the factor is not concave where g^2 > Gam) is set to 0 and H - m G kept: the
    message then still moves the mean the way the data say.
    """
    gradient = tf.matmul(x, weight * g, transpose_a=True)
    precision = tf.matmul(tf.square(x), weight * gam, transpose_a=True)
    if d is not None:
        excess = tf.matmul(d, weight * (gam - tf.square(g)), transpose_a=True)
        precision += excess
        gradient -= m * excess
        if old is not None:
            gradient -= old.m * tf.matmul(d, weight * g * old.g, transpose_a=True)
    return WeightMessage(gradient, tf.nn.relu(precision))
