"""Trained networks of the baselines: one value a weight, or a Gaussian a weight and samples."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.special import log_softmax, logsumexp

from emtdamp.errors import UsageError
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.network import GaussianNetwork, Softmax

N = TypeVar("N", bound=GaussianNetwork)


@dataclass(frozen=True)
class PointNetwork(GaussianNetwork):
    """A network whose weights have no variance; classes by a softmax."""

    @classmethod
    def of(
        cls,
        weights: Sequence[np.ndarray],
        active: tuple[np.ndarray, ...],
        activation: str,
        classes: bool,
    ) -> "PointNetwork":
        """From weights (N+1, J) of each layer, the bias last, zero where groups are inactive."""
        var = [np.zeros_like(w) for w in weights]
        return _made(cls, weights, var, active, activation, classes)

    def propagate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Output (B, J) at inputs x (B, inputs), in y's units, and zeros."""
        z = self.forward(self.scaled(x), self.mean) * self.y_units.scale + self.y_units.center
        return z, np.zeros_like(z)

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(B, K) log p(class | x). Raises UsageError for a regression."""
        _need_classes(self)
        return log_softmax(self.propagate(x)[0], axis=1)


@dataclass(frozen=True)
class SampledNetwork(GaussianNetwork):
    """A network with a mean and a variance of every weight, which predicts by drawing networks.

    The same networks serve all rows, so that a prediction is that of an ensemble; the seed makes it
    the same at each call, before and after `prune`.

    Parameters
    ----------
    samples : int of at least 1
        Networks that a prediction averages: its probabilities are (1/S) sum_s softmax(z_s), S of
        these (Blundell et al. 2015), and its mean and variance those of the S outputs.
    seed : int
        Of these networks' weights.

    The other fields are those of `emtdamp.Posterior`; log_odds and noise say nothing of classes.
    """

    _: KW_ONLY
    samples: int = 20
    seed: int = 0

    @classmethod
    def of(
        cls,
        mean: Sequence[np.ndarray],
        var: Sequence[np.ndarray],
        active: tuple[np.ndarray, ...],
        activation: str,
        classes: bool,
        samples: int = 20,
        seed: int = 0,
    ) -> "SampledNetwork":
        """From means and variances (N+1, J) of each layer, the bias last.

        What belongs to inactive groups counts for nothing, whatever its values: `active` has for
        the inputs and each hidden layer a boolean array (N,). Of a regression the noise is 1 (set
        it by `dataclasses.replace`).
        """
        on = [
            np.outer(np.append(rows, True), columns)
            for rows, columns in zip(active, [*active[1:], [True] * mean[-1].shape[1]], strict=True)
        ]
        mean, var = ([*map(np.where, on, part, [0.0] * len(on))] for part in (mean, var))
        made = _made(cls, mean, var, active, activation, classes)
        return replace(made, samples=samples, seed=seed)

    def propagate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (B, J) over the networks drawn, in y's units, noise not included."""
        z = self.drawn(x)
        return z.mean(axis=0), z.var(axis=0)

    def log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """(B, K) log of the mean over the networks drawn. Raises UsageError for a regression."""
        _need_classes(self)
        return logsumexp(log_softmax(self.drawn(x), axis=2), axis=0) - np.log(self.samples)

    def drawn(self, x: np.ndarray) -> np.ndarray:
        """Outputs (samples, B, J) of the networks that predictions are made of."""
        return self.prune().sample(x, self.samples, self.seed)

    @staticmethod
    def strength(mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        """(N,) by which the groups (N, J) of a layer are ranked: `signal_to_noise`."""
        return signal_to_noise(mean, var)


def signal_to_noise(mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """(N,) of the rows of (N, J): the root of sum mean^2 / sum var; 0 where there is no signal.

    For J = 1 that is the |mean| / sd by which Graves (2011) and Blundell et al. (2015) rank single
    weights. For a group it compares the expected squared length of its signal with its noise's.

    >>> signal_to_noise(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]))
    array([5., 0.])
    """
    signal, noise = (mean**2).sum(axis=1), var.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(signal > 0, np.sqrt(signal / noise), 0.0)


def _made(
    kind: type[N],
    mean: Sequence[np.ndarray],
    var: Sequence[np.ndarray],
    active: tuple[np.ndarray, ...],
    activation: str,
    classes: bool,
) -> N:
    """A network in units of its own."""
    return kind(
        tuple(mean),
        tuple(var),
        active,
        tuple(np.where(a, np.inf, -np.inf) for a in active),
        noise=1.0,
        activation=activation,
        likelihood=Softmax() if classes else GaussianNoise(),
        inputs=len(active[0]),
        kept_inputs=np.arange(len(active[0])),
    )


def _need_classes(network: GaussianNetwork) -> None:
    if not network.classes:
        raise UsageError("log_probabilities needs classes; this network is a regression's")


def keep_largest(network: N, keep: Sequence[int]) -> N:
    """The same with all but `keep` groups of each layer inactive: those of the largest `strength`.

    That of a group is of its outgoing weights to neurons that stay: the norm of their means, or
    where a prediction draws networks their signal to noise.

    Args:
        network: of L layers.
        keep: L integers, of the inputs and each hidden layer, from 1 to its active groups.

    Raises:
        UsageError: a number is not allowed.
    """
    active = list(network.active)
    mean, var = [m.copy() for m in network.mean], [s.copy() for s in network.var]
    if len(keep) != len(active):
        raise UsageError(f"groups to keep: {keep}; give {len(active)} numbers, inputs first")
    for number in reversed(range(len(active))):
        left = int(active[number].sum())
        if not 1 <= keep[number] <= left:
            raise UsageError(
                f"{keep[number]} groups to keep of layer {number}; give 1 to {left}, those active"
            )
        columns = active[number + 1] if number + 1 < len(active) else slice(None)
        parts = (array[number][:-1][:, columns] for array in (mean, var))
        strength = network.strength(*parts)
        order = np.argsort(-np.where(active[number], strength, -1.0), kind="stable")
        stays = np.zeros_like(active[number])
        stays[order[: keep[number]]] = True
        active[number] = stays
        for array in (mean, var):
            array[number][:-1][~stays] = 0
    odds = tuple(np.where(a, np.inf, -np.inf) for a in active)
    return replace(network, mean=tuple(mean), var=tuple(var), active=tuple(active), log_odds=odds)
