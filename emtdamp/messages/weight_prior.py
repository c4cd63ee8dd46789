"""Module B where every weight is a group of its own, biases too: single weights are pruned.

All weights of the network stand in one column, and those of largest `prior.relevance`, half the
squared ratio of posterior mean and standard deviation, stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from emtdamp.errors import UsageError
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GroupPrior, PriorInfo, PriorState

_COLUMN = GroupPrior(("steered",), learn_slab=False)


@dataclass(frozen=True)
class WeightPrior:
    """As `prior.GroupPrior` of the rule "steered", with one count of all P weights to keep.

    shapes: of the layers, (N+1, J) each.
    """

    shapes: tuple[tuple[int, int], ...]

    def init(self, slab: Sequence[float]) -> PriorState:
        """Start from a slab variance above 0 a layer."""
        if len(slab) != len(self.shapes) or min(slab) <= 0:
            raise UsageError(
                f"slab={tuple(slab)}; give a variance above 0 for each of {len(self.shapes)} layers"
            )
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        each = np.repeat([*slab, 1.0], [*sizes, 1])[:, None]  # the bias that `GroupPrior` expects
        return PriorState((tf.constant(each, tf.float64),), (tf.zeros([], tf.float64),))

    @property
    def repeats(self) -> bool:
        """As `GroupPrior.repeats`."""
        return _COLUMN.repeats

    def groups(self, shapes: Sequence[tuple[int, int]]) -> list[int]:
        """As `GroupPrior.groups`: P."""
        return [sum(int(np.prod(shape)) for shape in shapes)]

    def step(
        self,
        state: PriorState,
        messages: Sequence[Gaussian],
        keep: Sequence[tf.Tensor | int],
    ) -> tuple[PriorState, tuple[Gaussian, ...], PriorInfo]:
        """As `GroupPrior.step`; keep: (count,), and the Info has one entry, of all weights."""
        column = Gaussian(
            *(
                tf.pad(
                    tf.concat([tf.reshape(part, [-1, 1]) for part in parts], 0), [[0, 1], [0, 0]]
                )
                for parts in zip(*messages, strict=True)
            )
        )
        state, (back,), info = _COLUMN.step(state, [column], keep)
        answers = [self._cut(part[:-1]) for part in back]
        return state, tuple(Gaussian(*pair) for pair in zip(*answers, strict=True)), info

    def active(self, log_odds: np.ndarray) -> list[np.ndarray]:
        """Which weights of each layer are left, by the Info's log-odds (P,)."""
        return [part.numpy() for part in self._cut(tf.constant(log_odds > 0))]

    def _cut(self, column: tf.Tensor) -> list[tf.Tensor]:
        parts = tf.split(column, [int(np.prod(shape)) for shape in self.shapes])
        return [tf.reshape(part, shape) for part, shape in zip(parts, self.shapes, strict=True)]
