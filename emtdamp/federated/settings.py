"""What server and clients agree on beforehand."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np

from emtdamp.errors import UsageError
from emtdamp.estimators.classifier import EMTDAMPClassifier
from emtdamp.estimators.regressor import EMTDAMPRegressor
from emtdamp.training import recipes
from emtdamp.training.forms import Schedule
from emtdamp.training.recipe import Data, Recipe

Rule = Literal["counted", "plain"]


class Tuned(NamedTuple):
    """What was chosen on held-out rows (`study.federated_settings` has what was tried).

    Steps are few, so a client's gain is high from the start, and its momentum low. The average of
    several clients has less noise than each of them: in the first rounds it may move further, later
    less far in a round, but on over rounds. A client's rows are few and stand for all clients':
    were they counted as those of a fit of all rows are, the first rounds would be too sure. Targets
    ask for the opposite: a wide posterior would raise a v that is learnt, and that the posterior.
    """

    warmup: float = 5.0  # minibatches
    momentum: float = 0.6
    clip: float = 0.1
    prior_count: float = 100.0  # minibatches that the starting precision stands for
    early_width: float = 0.25  # of classes, times `recipes.make`'s, at the start
    target_width: float = 2.0  # of targets, times `recipes.make`'s, throughout
    # of many clients, times `recipes.make`'s in round 1; falls as 1/round
    first_gain: float = 3.2
    least_gain: float = 0.4
    server_momentum: float = 0.9


@dataclass(frozen=True)
class Federation:
    """Settings of a federated fit of a network with hidden layers of ReLUs.

    Parameters
    ----------
    hidden : tuple of int
        Neurons of each hidden layer.
    outputs : int
        Classes, or targets.
    classes : bool
        Whether y is a class number 0..outputs-1, (B,) int, or targets (B, outputs).
    rounds, passes : int
        Rounds, and passes of a client over its rows in each.
    batch_size : int
        Rows of a client's minibatch.
    rule : "counted" or "plain"
        The geometric average of the clients' posteriors, with rows counted n/n_k times by client k,
        or once (`aggregation`).
    sparsity : float in [0, 1), or one for each hidden layer
        Share of the neurons that is dropped on the way, by the server.
    half : bool
        Whether means and log-precisions travel as float16, else as float32.
    seed : int
        Of the starting weights and of the order of minibatches.

    Raises UsageError for values outside these.
    """

    hidden: tuple[int, ...] = (128,)
    outputs: int = 10
    classes: bool = True
    rounds: int = 10
    passes: int = 1
    batch_size: int = 100
    rule: Rule = "counted"
    sparsity: float | tuple[float, ...] = 0.0
    half: bool = True
    seed: int = 0
    tuned: ClassVar[Tuned] = Tuned()

    def __post_init__(self) -> None:
        for name in ("classes", "half"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise UsageError(f"{name}={getattr(self, name)!r}; give True or False")
            object.__setattr__(self, name, bool(getattr(self, name)))
        least_of = {"rounds": 1, "passes": 1, "batch_size": 1, "seed": 0}
        for name, least in (least_of | {"outputs": 1 + self.classes}).items():
            value = getattr(self, name)
            if not isinstance(value, recipes.INTEGER) or isinstance(value, bool) or value < least:
                raise UsageError(f"{name}={value!r}; give a whole number of at least {least}")
            object.__setattr__(self, name, int(value))  # JSON has no NumPy numbers
        if self.rule not in get_args(Rule):
            raise UsageError(f"rule={self.rule!r}; use one of {', '.join(get_args(Rule))}")
        recipes.check(self._parameters())
        object.__setattr__(self, "hidden", recipes.hidden(self._parameters()))
        if not self.hidden:
            raise UsageError("hidden=(); give one hidden layer at least")
        shares = recipes.sparsity(self._parameters())
        if "auto" in shares:
            raise UsageError(f"sparsity={self.sparsity!r}; the server needs numbers in [0, 1)")
        same = len({*shares}) == 1
        found = float(shares[0]) if same else tuple(float(share) for share in shares)
        object.__setattr__(self, "sparsity", found)

    def _parameters(self) -> dict[str, Any]:
        kind = EMTDAMPClassifier if self.classes else EMTDAMPRegressor
        return kind().get_params() | {
            "hidden_layer_sizes": self.hidden,
            "sparsity": self.sparsity,
            "batch_size": self.batch_size,
            "em_iters": self.rounds * self.passes,
            "random_state": self.seed,
        }

    def recipe(self, rows: int, clients: int, inputs: int) -> Recipe:
        """How a client of rows/clients rows trains, so as to end where all rows would."""
        each = max(-(-rows // clients), 1)
        y = np.zeros(each, int) if self.classes else np.zeros((each, self.outputs))
        like = Data(np.broadcast_to(0.0, (each, inputs)), y, np.full(each, rows / each))
        made = recipes.make(self._parameters(), like, self.outputs, 1.0 if self.classes else None)
        total, tuned = self.rounds * self.passes * -(-each // self.batch_size), self.tuned
        late = 1.0 if self.classes else tuned.target_width
        early = tuned.early_width if self.classes else late
        schedule = made.schedule._replace(
            warmup=min(tuned.warmup, 0.2 * total),
            momentum=tuned.momentum,
            clip=tuned.clip,
            prior_count=tuned.prior_count,
            width_start=early * made.schedule.width_start,
            width_end=late * made.schedule.width_end,
        )
        return made._replace(schedule=schedule, batch_size=self.batch_size)

    def minibatches(self, rows: int) -> float:
        """Of all clients together, a pass."""
        return rows / self.batch_size

    def effective_minibatches(self, recipe: Recipe, rows: int, clients: int, done: float) -> float:
        """Ne, minibatches behind the posterior after `done` rounds: what was seen, in a window."""
        schedule, steps = recipe.schedule, self.minibatches(rows)
        width = schedule.width_start * (schedule.width_end / schedule.width_start) ** (
            done / self.rounds
        )
        seen = min(schedule.prior_count + done * self.passes * steps, width * steps)
        return seen if self.rule == "counted" else seen / clients

    def gain(self, clients: int, done: int) -> float:
        """Of the round after `done`, times the recipe's; 1 for a client alone: its noise stays."""
        tuned = self.tuned
        times = max(tuned.first_gain / (done + 1), tuned.least_gain)
        return 1 + (1 - 1 / clients) * (times - 1)

    def momentum(self, clients: int, shares: np.ndarray, done: int) -> float:
        """Share of the last round's step that the server goes again, in the round after `done`.

        `shares`: of the rows, of those of the clients that were heard. Their average has the noise
        of one of them times sum a_k^2. The step is scaled to this round's gain, with its 1 - f.
        """
        if done == 0:
            return 0.0
        now, then = (self.gain(clients, n) * (self.rounds - n - 0.5) for n in (done, done - 1))
        return float(self.tuned.server_momentum * (1 - np.sum(shares**2)) * now / then)

    def schedule(self, recipe: Recipe, rows: int, clients: int, own: int, done: int) -> Schedule:
        """Of a client with `own` rows, in the round after `done`.

        The epoch counts in the client's own passes: windows are longer by n/n_k, and what
        all clients have seen before this round is there at its start.
        """
        steps = -(-own // self.batch_size)
        others = 1.0 if self.rule == "counted" else 1 / clients
        more, seen = others * self.minibatches(rows) / steps, done * self.passes
        given = recipe.schedule
        return given._replace(
            lr=self.gain(clients, done) * given.lr,
            total=float(self.rounds * self.passes * steps),
            memory=max(given.memory, recipes.MIN_MEMORY / steps),
            width_start=given.width_start * more,
            width_end=given.width_end * more,
            prior_count=others * given.prior_count + (more - 1.0) * seen * steps,
            learn_noise=0.0,  # the server's
            new_until=float(steps),
        )
