"""Settings of the report's simplified algorithm, one field for each defect that can be repaired."""

from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np

from emtdamp.errors import UsageError


@dataclass(frozen=True)
class ReportSettings:
    """Settings of the report's algorithm; the defaults are the run that the report shows.

    Args:
        hidden: neurons of the hidden layer, at least 1.
        batch_size: images a step, at least 1.
        em_iters: passes over the training images, at least 1. The report shows 10 (its program's
            own default is 50).
        sparsity: the report's target, in [0, 1). What it means is `target_direction`.
        seed: of initial weights, order of the images and weight noise; 0 is a seed.
        patience: stop after this many iterations without a gain of `min_delta` in accuracy;
            0 never stops, as in the ten iterations that the report shows. Its program has 3.
        min_delta: the least gain in accuracy that counts.
        learning_rate: the program's step size.
        persistent_adam_moments: keep Adam's moments from step to step. The program gives Adam a new
            variable each time, so both moments start from zero at each step.
        apply_pruning: use the network without its inactive neurons. The program thresholds rho,
            counts it and plots it, but every weight stays in use.
        target_direction: the program keeps the fraction `sparsity` of the neurons ("kept"), so 0.1
            leaves 13 of 128; "removed" removes that fraction, so 0.1 leaves 115.
        permanent_pruning: a neuron once inactive stays so. The program computes rho afresh at the
            next minibatch, which forgets what was pruned.
        stable_likelihood: take log Phi itself. The program takes log(Phi + 1e-10), whose gradient
            is zero for badly misclassified images.
        training_loss_weights: the program's average loss uses the weights of the "previous"
            iteration (in the first: the initial ones); "current" uses those being trained.
        stopping_data: what decides early stopping and the best iteration: the "test" images as in
            the program, or the last tenth of the training images, "held-out" of training.
        confusion_matrix_of: the program's confusion matrix is of the "best" iteration on
            `stopping_data` while its table is of the last; "last" takes both from the last.
        probabilities: entropy, likelihood and calibration from a "softmax" of the logits as in the
            program, or from the "probit" product that it trains with.

    Raises:
        UsageError: a value is outside the range given here.
    """

    hidden: int = 128
    batch_size: int = 100
    em_iters: int = 10
    sparsity: float = 0.5
    seed: int = 0
    patience: int = 0
    min_delta: float = 0.001
    learning_rate: float = 0.01
    # defects
    persistent_adam_moments: bool = False
    apply_pruning: bool = False
    target_direction: Literal["kept", "removed"] = "kept"
    permanent_pruning: bool = False
    stable_likelihood: bool = False
    training_loss_weights: Literal["previous", "current"] = "previous"
    stopping_data: Literal["test", "held-out"] = "test"
    confusion_matrix_of: Literal["best", "last"] = "best"
    probabilities: Literal["softmax", "probit"] = "softmax"

    def __post_init__(self):
        least = {"hidden": 1, "batch_size": 1, "em_iters": 1, "seed": 0, "patience": 0}
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if get_origin(hint) is Literal:
                allowed = value in get_args(hint)
                wanted = "one of " + ", ".join(get_args(hint))
            elif hint is bool:
                allowed, wanted = isinstance(value, bool), "True or False"
            elif hint is int:
                whole = isinstance(value, int) and not isinstance(value, bool)
                allowed = whole and value >= least[name]
                wanted = f"a whole number from {least[name]} on"
            elif name == "sparsity":
                allowed, wanted = 0 <= value < 1, "a number from 0 up to, not including, 1"
            else:
                allowed, wanted = 0 <= value < np.inf, "a number from 0 on"
            if not allowed:
                raise UsageError(f"{name}: {value!r} is not allowed; {wanted} is")
