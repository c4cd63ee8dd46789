"""Gaussian messages in natural parameters, and the normal distribution cut at zero.

A message over a scalar u is exp(-precision u^2/2 + shift u): products add, quotients subtract, and
precision 0 (nothing known) or below 0 (no density, but a valid factor) need no special case.

The cut normal N(z; t, 1) restricted to z > 0 gives every truncated moment of this package. With
x = |t| and the hazard phi(x)/Phi(-x) = x + e(x), the excess e(x) = E[z | z > 0] at t = -x and the
variance v(x) there are smooth, positive, and decay as 1/x and 1/x^2. Chebyshev interpolation in
u = (4 - x)/(4 + x) represents (x + 4) e and (x + 4)^2 v over the whole half line to rounding, so
nothing cancels or underflows in the tail and no special function is called: for t < 0
    Phi(t) = phi(t)/(x + e),  mean e,  variance v,
and for t > 0 the same e gives Phi(t) = 1 - phi(t)/(x + e).
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.polynomial import chebyshev

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_SCALE = 4.0  # where the map u(x) is centred; 2 to 4 need the fewest terms
_DEGREE = {tf.float32: 14, tf.float64: 32}  # interpolation error 3e-9 and 2e-14


class Gaussian(NamedTuple):
    """exp(-precision u^2/2 + shift u), elementwise; precision may be 0 or negative in a message."""

    precision: tf.Tensor
    shift: tf.Tensor


class Cut(NamedTuple):
    """N(z; t, 1) cut to z > 0: what is left of it, elementwise in t.

    mass: Phi(t). scale: Phi(t) exp(min(t, 0)^2/2), the mass without its quadratic tail, so that it
    never underflows. log_scale: its logarithm, to relative accuracy where the mass is near 1.
    hazard: phi(t)/Phi(t), the density at the cut, also the derivative of log Phi.
    mean, var: of z given z > 0; mean = t + hazard, var = 1 - hazard mean.
    """

    mass: tf.Tensor
    scale: tf.Tensor
    log_scale: tf.Tensor
    hazard: tf.Tensor
    mean: tf.Tensor
    var: tf.Tensor


@cache
def _coefficients(degree: int) -> tuple[list[float], list[float]]:
    """Coefficients in powers of u = (4 - x)/(4 + x) of (x + 4) e(x) and (x + 4)^2 v(x)."""

    def excess_and_var(x: float) -> tuple[float, float]:
        # Laplace's continued fraction e = 1/(x + r), r = 2/(x + 3/(x + 4/(x + ...))); then
        # v = 1 - (x + e) e = e (r - e), whose cancellation is mild. Below x = 2 it converges
        # slowly and the definitions lose nothing.
        if x < 2:
            density = math.exp(-x * x / 2 - LOG_SQRT_2PI)
            e = density / (0.5 * math.erfc(x / math.sqrt(2))) - x
            return e, 1 - (x + e) * e
        r = 0.0
        for n in range(400, 1, -1):
            r = n / (x + r)
        e = 1 / (x + r)
        return e, e * (r - e)

    def sampled(power: int):
        def at(nodes: np.ndarray) -> np.ndarray:
            xs = _SCALE * (1 - nodes) / (1 + nodes)
            return np.array([excess_and_var(x)[power - 1] * (x + _SCALE) ** power for x in xs])

        return at

    # NumPy's stubs want a scalar function; chebinterpolate calls it with all nodes
    e, v = (chebyshev.chebinterpolate(sampled(power), degree) for power in (1, 2))  # pyright: ignore
    return chebyshev.cheb2poly(e).tolist(), chebyshev.cheb2poly(v).tolist()


def _polynomial(coefficients: list[float], u: tf.Tensor) -> tf.Tensor:
    """sum_n c_n u^n by Horner's rule; |u| <= 1 and the c_n alternate little, so it is stable."""
    total = tf.fill(tf.shape(u), tf.constant(coefficients[-1], u.dtype))
    for c in coefficients[-2::-1]:
        total = total * u + c
    return total


def cuts(t: tf.Tensor) -> tuple[Cut, Cut]:
    """N(z; t, 1) cut to z > 0 and N(z; -t, 1) cut to z > 0: both sides of 0 at the price of one."""
    found = _cuts(t.dtype)(t)
    for part in tf.nest.flatten(found):
        part.set_shape(t.shape)
    return found


@cache
def _cuts(dtype: tf.DType):
    """`cuts` of one float type: a graph that stands once for all its places in another.

    Its some 240 operations would stand five times in a step of one hidden layer.
    """
    return tf.function(_both_sides, [tf.TensorSpec(None, dtype)], autograph=False)


def _both_sides(t: tf.Tensor) -> tuple[Cut, Cut]:
    x = tf.abs(t)
    inverse = 1.0 / (x + _SCALE)
    u = (_SCALE - x) * inverse
    excess_terms, var_terms = _coefficients(_DEGREE[t.dtype])
    e = _polynomial(excess_terms, u) * inverse
    v = _polynomial(var_terms, u) * inverse * inverse
    ratio = x + e
    inverse_ratio = 1.0 / ratio
    density = tf.exp(-0.5 * x * x - LOG_SQRT_2PI)
    rest = density * inverse_ratio  # Phi(-x), at most 1/2
    mass = 1.0 - rest
    hazard = density / mass
    mean = x + hazard
    small = Cut(
        rest,
        math.exp(-LOG_SQRT_2PI) * inverse_ratio,
        -tf.math.log(ratio) - LOG_SQRT_2PI,
        ratio,
        e,
        v,
    )
    large = Cut(mass, mass, tf.math.log1p(-rest), hazard, mean, 1.0 - hazard * mean)
    negative = t < 0
    one = Cut(*(tf.where(negative, a, b) for a, b in zip(small, large, strict=True)))
    other = Cut(*(tf.where(negative, b, a) for a, b in zip(small, large, strict=True)))
    return one, other


def cut(t: tf.Tensor) -> Cut:
    """Mass, hazard, mean and variance of N(z; t, 1) cut to z > 0; any finite float32/64 t.

    >>> bool(abs(cut(tf.constant(0.0)).mean - (2 / math.pi) ** 0.5) < 1e-6)
    True
    """
    return cuts(t)[0]
