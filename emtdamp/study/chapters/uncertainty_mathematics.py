"""What the post on Bayesian neural networks says of their mathematics, each testable claim."""

from __future__ import annotations

import keras
import numpy as np
from scipy import integrate, stats
from sklearn.linear_model import LassoCV

from emtdamp.baselines import choose
from emtdamp.baselines.bayes_by_backprop import VariationalConv2D
from emtdamp.study import pages, runs
from emtdamp.study.claims import Claim

POST = "post on Bayesian neural networks"
MEAN, SD, Y = 0.3, 0.5, 1.0  # q = N(0.3, 0.5^2), w ~ N(0, 1), one datum y = 1 ~ N(w, 1)


def claims() -> list[Claim]:
    """A row for each."""
    return [*_inference(), *_norms(), *_layers(), _tuning()]


def _inference() -> list[Claim]:
    draws = 1_000
    bound, total = free_energy(draws)
    exact, integral = evidence()
    closed, divergence = kl()
    slope, estimate, error = gradient(100 * draws)
    return [
        pages.statement(
            "The free energy is the sum over n draws of log q - log p(w) - log p(D | w)",
            reported="the sum",
            ours=f"{total:.1f} for {draws:,} draws; the free energy is {bound:.4f}",
            holds=bool(np.isclose(total, bound, rtol=0.1)),
            why="one Gaussian weight, one datum, closed form; the mean of the draws would be right",
            source=POST,
            certain="a sum of n draws is n times their mean: 1/n is missing",
        ),
        pages.statement(
            "The only way to have the evidence is to approximate it",
            reported="the only way",
            ours=f"in closed form {exact:.6f}, by quadrature {integral:.6f}",
            holds=not np.isclose(exact, integral, rtol=1e-6),
            why="one Gaussian weight, one datum; so it is for every linear network, and for none"
            " with a hidden layer of the usual kinds",
            source=POST,
            certain="Gaussians times Gaussians are Gaussian",
        ),
        pages.statement(
            "The KL divergence of q and the prior is intractable, since it has an integral",
            reported="intractable",
            ours=f"in closed form {closed:.6f}, by quadrature {divergence:.6f}",
            holds=not np.isclose(closed, divergence, rtol=1e-6),
            why="q and the prior Gaussian, which are the post's; a mixture as prior needs draws",
            source=POST,
            certain="the KL divergence of two Gaussians is elementary",
        ),
        pages.statement(
            "Monte Carlo estimates of the gradients are unbiased",
            reported="unbiased",
            ours=f"mean of {100 * draws:,} draws {estimate:.4f} ± {error:.4f}; exactly {slope:.4f}",
            holds=bool(abs(estimate - slope) < 4 * error),
            why="of the free energy by the mean of q, reparameterised; four standard errors",
            source=POST,
        ),
    ]


def _norms() -> list[Claim]:
    step = 1e-6
    slopes = [(abs(h) - abs(0.0)) / h for h in (-step, step)]
    middle, ends = (float(np.count_nonzero(w)) for w in (0.5, 0.0))
    halfway = (ends + np.count_nonzero(1.0)) / 2
    zeros, columns = lasso()
    return [
        pages.statement(
            "The L0 norm is non-convex",
            reported="non-convex",
            ours=f"{middle:.0f} halfway between 0 and 1, where the chord has {halfway:g}",
            holds=bool(middle > halfway),
            why="a convex function is nowhere above its chords",
            source=POST,
            certain="it counts",
        ),
        pages.statement(
            "The L1 norm is convex and hence differentiable",
            reported="differentiable",
            ours=f"slopes of |w| at 0: {slopes[0]:+.0f} from below, {slopes[1]:+.0f} from above",
            holds=slopes[0] == slopes[1],
            why="one slope on both sides; that the corner is there is why L1 gives zeros",
            source=POST,
            certain="convex functions may have corners",
        ),
        pages.statement(
            "The L1 norm makes a large number of coefficients zero",
            reported="a large number",
            ours=f"{zeros} of {columns} coefficients",
            holds=zeros >= columns / 2,
            why="half of them or more; linear regression of house prices, first split, the"
            " penalty chosen by cross-validation",
            source=POST,
        ),
    ]


def _layers() -> list[Claim]:
    images = keras.Input((28, 28, 1))
    plain, bayesian = keras.layers.Conv2D(8, 5), VariationalConv2D(8, 5)
    numbers = []
    for layer in (plain, bayesian):
        layer(images)
        numbers.append(sum(int(np.prod(w.shape)) for w in layer.trainable_weights))
    full = 28 * 28
    return [
        pages.numeric(
            "The number of parameters doubles for a Bayesian CNN",
            reported=2,
            ours=numbers[1] / numbers[0],
            tolerance=0.0,
            why="8 filters of 5 by 5: what is trained in each layer",
            source=POST,
            certain="a mean and a variance for every weight",
        ),
        pages.statement(
            "A neuron of a convolution has 5 x 5 weights instead of 28 x 28",
            reported="25 instead of 784",
            ours=f"{numbers[0] // 8 - 1} instead of {full}",
            holds=numbers[0] // 8 - 1 == 25,
            why="weights of a filter without its bias, images of one channel",
            source=POST,
            certain="its filter is 5 by 5",
        ),
    ]


def _tuning() -> Claim:
    tried = [
        float(row["score"])
        for row in choose.table()
        if row["data"] == "mnist-10000" and row["method"].startswith("Adam(")
    ]
    return pages.statement(
        "Hyperparameters of backpropagation require specific tuning",
        reported="require",
        ours=f"NLL of Adam on held-out images {min(tried):.3f} to {max(tried):.3f}",
        holds=max(tried) > 1.1 * min(tried),
        why="rates and schedules that were tried, best to worst more than a tenth apart",
        source=POST,
    )


def free_energy(draws: int) -> tuple[float, float]:
    """In closed form, and the post's sum."""
    log_q = -0.5 * np.log(2 * np.pi * np.e * SD**2)
    log_prior = -0.5 * (np.log(2 * np.pi) + MEAN**2 + SD**2)
    log_y = -0.5 * (np.log(2 * np.pi) + (Y - MEAN) ** 2 + SD**2)
    w = MEAN + SD * np.random.default_rng(0).standard_normal(draws)
    terms = stats.norm.logpdf(w, MEAN, SD) - stats.norm.logpdf(w) - stats.norm.logpdf(Y, w)
    return float(log_q - log_prior - log_y), float(terms.sum())


def evidence() -> tuple[float, float]:
    """p(y) in closed form, N(y; 0, 2), and by quadrature."""
    joint = integrate.quad(lambda w: stats.norm.pdf(w) * stats.norm.pdf(Y, w), -12, 12)[0]
    return float(stats.norm.pdf(Y, 0, 2**0.5)), float(joint)


def kl() -> tuple[float, float]:
    """KL(q || prior) in closed form and by quadrature."""
    closed = 0.5 * (SD**2 + MEAN**2 - 1) - np.log(SD)

    def each(w: float) -> float:
        apart = stats.norm.logpdf(w, MEAN, SD) - stats.norm.logpdf(w)
        return float(stats.norm.pdf(w, MEAN, SD) * apart)

    return float(closed), float(integrate.quad(each, -10, 10)[0])


def gradient(draws: int) -> tuple[float, float, float]:
    """Of the free energy by q's mean: exactly, and a mean over draws with its standard error.

    With w = m + s e the derivative of log q - log p(w) - log p(y | w) by m is w - (y - w): log q
    depends on e alone.
    """
    w = MEAN + SD * np.random.default_rng(0).standard_normal(draws)
    each = 2 * w - Y
    return 2 * MEAN - Y, float(each.mean()), float(each.std(ddof=1) / draws**0.5)


def lasso() -> tuple[int, int]:
    """Coefficients that are zero, and all."""
    task = runs.boston(0)
    x = (task.x - task.x.mean(axis=0)) / task.x.std(axis=0)
    found = LassoCV(cv=5, random_state=0).fit(x, task.y).coef_
    return int((found == 0).sum()), len(found)
