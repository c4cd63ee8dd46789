"""Every method that the study compares: one table, with what figures call it and how it is made.

Nothing here imports TensorFlow; `contests.model` does, and makes the estimator.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import seaborn as sns

PALETTE = sns.color_palette("colorblind").as_hex()


@dataclass(frozen=True)
class Method:
    """A row of `METHODS`.

    label, colour: in every figure and table. source: whose method it is. form: EM-TDAMP's, or None
    of what it is compared with. baseline: of the module `emtdamp.baselines` what is trained: a kind
    (the setting that was best on held-out rows), a method (of which only the inputs were chosen
    there) or a whole setting. at_the_end: groups are dropped after the training, so that one
    serves all percentages. gradients: whether it follows them. in_paper: its name in the paper's
    figures.
    """

    label: str
    colour: str
    source: str
    form: Literal["decoupled", "window", "paper"] | None = None
    baseline: Callable[[Any], Any] | None = None
    at_the_end: bool = False
    gradients: bool = True
    in_paper: str | None = None


ADAM = "Kingma and Ba 2015"
METHODS = {
    "em-tdamp": Method(
        "EM-TDAMP",
        PALETTE[1],
        "this book, after Xu et al. 2024",
        form="decoupled",
        gradients=False,
        in_paper="EM-TDAMP",
    ),
    "em-tdamp, window": Method(
        "EM-TDAMP, window form",
        "#7a3e00",
        "this book, after Xu et al. 2024",
        form="window",
        gradients=False,
    ),
    "paper": Method(
        "EM-TDAMP, the paper's form", "#6a3d9a", "Xu et al. 2024", form="paper", gradients=False
    ),
    "adam": Method(
        "Adam, Keras default",
        PALETTE[2],
        ADAM,
        baseline=lambda b: b.Adam(1e-3, "constant"),
        at_the_end=True,
        in_paper="Adam",
    ),
    "adam, standardised": Method(
        "Adam, Keras default, standardised",
        PALETTE[2],
        ADAM,
        baseline=lambda b: b.choose.Setting(b.Adam(1e-3, "constant"), standardize=True),
        at_the_end=True,
    ),
    "adam, best": Method(
        "Adam, best likelihood held out",
        PALETTE[4],
        ADAM,
        baseline=lambda b: b.Adam,
        at_the_end=True,
    ),
    "adam, 0.002": Method(
        "Adam, 0.002 cosine", "#8fd0b5", ADAM, baseline=lambda b: b.Adam(2e-3), at_the_end=True
    ),
    "adam, 0.002 standardised": Method(
        "Adam, 0.002 cosine, standardised",
        "#8fd0b5",
        ADAM,
        baseline=lambda b: b.choose.Setting(b.Adam(2e-3), standardize=True),
        at_the_end=True,
    ),
    "adam, 0.005": Method(
        "Adam, 0.005 cosine", "#7f8c3c", ADAM, baseline=lambda b: b.Adam(5e-3), at_the_end=True
    ),
    "magnitude": Method(
        "magnitude pruning", "#b0589a", "Han et al. 2015", baseline=lambda b: b.Magnitude
    ),
    "group lasso": Method(
        "group lasso",
        PALETTE[3],
        "Yuan and Lin 2006",
        baseline=lambda b: b.GroupLasso,
        in_paper="Group regularizer",
    ),
    "group lasso, 0.03": Method(
        "group lasso, penalty 0.03",
        "#e3a68f",
        "Yuan and Lin 2006",
        baseline=lambda b: b.choose.Setting(b.GroupLasso(3e-3, penalty=0.03), standardize=True),
    ),
    "group snip": Method(
        "group SNIP",
        "#a39100",
        "Lee et al. 2019",
        baseline=lambda b: b.GroupSNIP,
        in_paper="Group SNIP",
    ),
    "gradual": Method(
        "gradual pruning", "#1f3f8f", "Zhu and Gupta 2017", baseline=lambda b: b.Gradual
    ),
    "bayes by backprop": Method(
        "Bayes by Backprop", "#007d8c", "Blundell et al. 2015", baseline=lambda b: b.BayesByBackprop
    ),
    "ivon": Method(
        "IVON",
        "#8c2d8c",
        "Shen et al. 2024",
        baseline=lambda b: b.IVON,
        at_the_end=True,
    ),
    "amp": Method(
        "AMP without groups",
        PALETTE[9],
        "Lucibello et al. 2022",
        baseline=lambda b: b.choose.Setting(b.AMP(), standardize=True),
        at_the_end=True,
        gradients=False,
        in_paper="AMP",
    ),
}
# Compared in what they know of their own uncertainty only; made by `predictors.train`.
UNCERTAIN = {
    "deep ensemble": Method("deep ensemble of 5", "#5b62c9", "Lakshminarayanan et al. 2017"),
    "mc dropout": Method("MC dropout", "#4f7a28", "Gal and Ghahramani 2016"),
    "convolutional": Method("convolutional network", "#8c564b", "LeCun et al. 1998"),
    "bayesian convolutional": Method(
        "Bayesian convolutional network", "#b0308f", "Shridhar et al. 2019"
    ),
}
# EM-TDAMP in its forms; all others are what it is compared with.
OWN = tuple(name for name, method in METHODS.items() if method.form)


def label(method: str, kept: float = 100) -> str:
    """What a figure calls a method of which `kept` percent of the groups are left.

    >>> label("adam"), label("gradual", 50)
    ('Adam, Keras default', 'gradual pruning, 50 % kept')
    """
    return (METHODS | UNCERTAIN)[method].label + ("" if kept == 100 else f", {kept:g} % kept")


def rivals(names: Iterable[str], gradients: bool = False) -> list[str]:
    """Those of the methods that are not EM-TDAMP; `gradients`: that follow gradients.

    >>> rivals(["em-tdamp", "amp", "gradual", "gradual"], gradients=True)
    ['gradual']
    """
    found = [(name, METHODS[name]) for name in dict.fromkeys(names)]
    return [name for name, m in found if not m.form and (m.gradients or not gradients)]
