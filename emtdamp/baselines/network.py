"""A trained network of the baselines: one value a weight, with the methods of a `Posterior`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy.special import log_softmax

from emtdamp.errors import UsageError
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.posterior import CURVES, Posterior

P = TypeVar("P", bound=Posterior)


class PointNetwork(Posterior):
    """A `Posterior` whose weights have no variance; classes by a softmax instead of the probit."""

    @classmethod
    def of(
        cls,
        weights: Sequence[np.ndarray],
        active: tuple[np.ndarray, ...],
        activation: str,
        classes: bool,
    ) -> "PointNetwork":
        """From weights (N+1, J) of each layer, the bias last, zero where groups are inactive."""
        return cls(
            mean=tuple(weights),
            var=tuple(np.zeros_like(w) for w in weights),
            active=active,
            log_odds=tuple(np.where(a, np.inf, -np.inf) for a in active),
            noise=1.0,
            activation=activation,
            likelihood=ProbitProduct() if classes else GaussianNoise(),
            inputs=len(active[0]),
            kept_inputs=np.arange(len(active[0])),
        )

    def save(self, path: str | Path) -> Path:
        """Not available: `to_keras().save(path)` keeps all there is."""
        raise UsageError(f"cannot save to {path}: use to_keras().save(...)")

    def _moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = x @ self.mean[0]
        for w in self.mean[1:]:
            x = np.pad(CURVES[self.activation](z), [(0, 0), (0, 1)], constant_values=1.0)
            z = x @ w
        return z, np.zeros_like(z)

    def normalised(self, w: np.ndarray, var: np.ndarray) -> np.ndarray:
        if not isinstance(self.likelihood, ProbitProduct):
            raise UsageError("log_probabilities needs classes; this network is a regression's")
        return log_softmax(w, axis=1)

    @property
    def _slope(self) -> float:
        return 1.0


def keep_largest(posterior: P, keep: Sequence[int]) -> P:
    """The same with all but `keep` groups of each layer inactive: those of the largest norms.

    The norm of a group is that of the means of its outgoing weights to neurons that stay.

    Args:
        posterior: of L layers.
        keep: L integers, of the inputs and each hidden layer, from 1 to its active groups.

    Raises:
        UsageError: a number is not allowed.
    """
    active = list(posterior.active)
    mean, var = [m.copy() for m in posterior.mean], [s.copy() for s in posterior.var]
    if len(keep) != len(active):
        raise UsageError(f"groups to keep: {keep}; give {len(active)} numbers, inputs first")
    for number in reversed(range(len(active))):
        left = int(active[number].sum())
        if not 1 <= keep[number] <= left:
            raise UsageError(
                f"{keep[number]} groups to keep of layer {number}; give 1 to {left}, those active"
            )
        columns = active[number + 1] if number + 1 < len(active) else slice(None)
        norms = np.linalg.norm(mean[number][:-1][:, columns], axis=1)
        order = np.argsort(-np.where(active[number], norms, -1.0), kind="stable")
        stays = np.zeros_like(active[number])
        stays[order[: keep[number]]] = True
        active[number] = stays
        for array in (mean, var):
            array[number][:-1][~stays] = 0
    odds = tuple(np.where(a, np.inf, -np.inf) for a in active)
    return replace(posterior, mean=tuple(mean), var=tuple(var), active=tuple(active), log_odds=odds)
