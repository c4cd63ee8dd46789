"""The page `comparison-run`: one method trained, timed and scored at every size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from emtdamp import metrics
from emtdamp.baselines import mc_dropout
from emtdamp.errors import UsageError
from emtdamp.network import GaussianNetwork
from emtdamp.study import contests, methods, predictors, runs, uncertainty
from emtdamp.study.chapters.uncertainty_run import fashion

DRAWS = 20  # of dropout, as many as Bayes by Backprop and IVON draw networks
BATCH = 1_000  # rows of a prediction that is timed
REPEATS = 5
ROUNDS = {"digits": 10, "prices": 220}  # passes over the training rows


class Trained(NamedTuple):
    """A method at a size.

    predict: rows (B, I) to (B, K) probabilities, or to (B, 2) mean and sd of y. parameters: weights
    and biases that can differ from 0. bytes: of the arrays that a prediction needs of them, the
    variances too where it uses them. seconds: of the processor, for training.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    parameters: int
    bytes: int
    seconds: float


def task_of(case: str, seed: int) -> runs.Task:
    """The rows of a case: "10000 digits", any number of them, or "prices", whose split is `seed`.

    Raises UsageError for another text.
    """
    number, _, kind = case.rpartition(" ")
    if kind == "prices" and not number:
        return runs.boston(seed)
    if kind != "digits" or not number.isdigit():
        raise UsageError(f"case={case!r}; give prices, or as in '10000 digits'")
    return _digits(int(number))


@cache
def _digits(images: int) -> runs.Task:
    return runs.mnist(images)


def measure(
    method: str, case: str, neurons: Sequence[int], seeds: Sequence[int], rounds: int = 0
) -> dict[str, float]:
    """Every score at each size and seed, as "error_at_64_seed_0".

    Digits: error, nll, ece, auroc (clothes told from digits by the prediction's entropy). Prices:
    rmse, nll. Both: parameters, bytes, seconds (of the processor, compiled before), microseconds
    (of the processor, a row of a prediction).

    Args:
        method: of `methods.METHODS`; or of `methods.UNCERTAIN`, for digits and the whole network.
        case: as `task_of` takes it.
        neurons: hidden neurons to keep.
        seeds: of start and order; of prices also the numbers of the splits.
        rounds: passes over the training rows; 0: those of `ROUNDS`.

    Raises:
        UsageError: a value is none of these.
    """
    known = methods.METHODS | methods.UNCERTAIN
    if method not in known:
        raise UsageError(f"method={method!r}; give one of {', '.join(known)}")
    found: dict[str, float] = {}
    for number, seed in enumerate(seeds):
        task = task_of(case, seed)
        rounds = rounds or ROUNDS["digits" if task.classes else "prices"]
        hidden = contests.NETWORKS[bool(task.classes)][0]
        if wrong := [n for n in neurons if not 1 <= n <= hidden]:
            raise UsageError(f"neurons={wrong[0]}; give 1 to {hidden}")
        if method in methods.UNCERTAIN and (not task.classes or [*neurons] != [hidden]):
            raise UsageError(f"{method} is measured on digits, and with all {hidden} neurons")
        train = _ensembles if method in methods.UNCERTAIN else _networks
        if number == 0:  # what is compiled first is not in the seconds
            # only where neurons leave the arithmetic are there shapes that come late
            late = method in methods.OWN
            for _ in train(method, task, neurons, rounds if late else 1, seed):
                pass
        for left, trained in zip(neurons, train(method, task, neurons, rounds, seed), strict=True):
            scores = _scores(trained, task)
            found |= {f"{name}_at_{left}_seed_{seed}": value for name, value in scores.items()}
    return found


def _networks(
    method: str, task: runs.Task, neurons: Sequence[int], rounds: int, seed: int
) -> Iterator[Trained]:
    hidden = contests.NETWORKS[bool(task.classes)][0]
    kept = [100 * n / hidden for n in neurons]
    # likelihoods of few rows ask for the variances that held-out rows confirm
    inflation = 1.0 if task.classes else "auto"
    for network, seconds in contests.ends(
        method, task, rounds, kept, seed=seed, inflation=inflation
    ):
        yield Trained(_predict(network), network.parameters, size(network), seconds)


def _predict(network: GaussianNetwork) -> Callable[[np.ndarray], np.ndarray]:
    if network.classes:
        return lambda x: np.exp(network.log_probabilities(x))

    def price(x: np.ndarray) -> np.ndarray:
        mean, var = network.propagate(x)
        return np.hstack([mean, np.sqrt(var + network.noise_variance)])

    return price


def size(network: GaussianNetwork) -> int:
    """Bytes of a pruned network's weights, their variances too where there are some."""
    arrays = [*network.mean]
    if any(var.any() for var in network.var):
        arrays += network.var
    return sum(array.nbytes for array in arrays)


def _ensembles(
    method: str, task: runs.Task, neurons: Sequence[int], rounds: int, seed: int
) -> Iterator[Trained]:
    if method == "deep ensemble":
        seeds = [seed + 1000 * k for k in range(predictors.MEMBERS)]
        members = [
            next(_networks(predictors.MEMBER, task, neurons, rounds, each)) for each in seeds
        ]
        yield Trained(
            lambda x: np.mean([member.predict(x) for member in members], axis=0),
            *(sum(part) for part in zip(*(member[1:] for member in members), strict=True)),
        )
        return
    settings = mc_dropout.DropoutSettings(epochs=rounds, seed=seed)
    began = time.process_time()
    model = mc_dropout.train_dropout(settings, task.x, task.y)
    seconds = time.process_time() - began
    weights = [np.asarray(weight) for weight in model.trainable_variables]
    yield Trained(
        lambda x: np.exp(
            logsumexp(mc_dropout.sampled(model, x, DRAWS, seed), axis=0) - np.log(DRAWS)
        ),
        sum(weight.size for weight in weights),
        sum(weight.nbytes for weight in weights),
        seconds,
    )


def _scores(trained: Trained, task: runs.Task) -> dict[str, float]:
    predicted = _in_batches(trained, task.x_test)
    found = runs.score(task, predicted)
    if task.classes:
        clothes = metrics.entropy(_in_batches(trained, fashion()))
        row = {"error": 1 - found["accuracy"], "nll": found["nll"], "ece": found["ece"]}
        row["auroc"] = uncertainty.detection(metrics.entropy(predicted), clothes)
    else:
        row = {"rmse": found["rmse"], "nll": -found["log_likelihood"]}
    row |= {"parameters": trained.parameters, "bytes": trained.bytes, "seconds": trained.seconds}
    return row | {"microseconds": microseconds(trained.predict, task.x[:BATCH])}


def _in_batches(trained: Trained, x: np.ndarray) -> np.ndarray:
    parts = [trained.predict(x[k : k + BATCH]) for k in range(0, len(x), BATCH)]
    return np.concatenate(parts)


def microseconds(predict: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> float:
    """The processor's, a row of x (B, I): the least of several predictions."""
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        predict(x)
        taken.append(time.process_time() - began)
    return 1e6 * min(taken) / len(x)


def long(study: Any) -> Any:
    """A row a case, method, size and seed; a column a score.

    `study`: a row a run of the page, columns as `measure` names them.
    """
    rows = []
    for row in study.to_dict("records"):
        found: dict[tuple[int, int], dict[str, float]] = {}
        for name, value in row.items():
            score, _, rest = str(name).partition("_at_")
            if rest and not pd.isna(value):
                left, seed = (int(text) for text in rest.split("_seed_"))
                found.setdefault((left, seed), {})[score] = value
        about = {"case": row["case"], "method": row["method"]}
        rows += [about | {"neurons": n, "seed": s} | found[n, s] for n, s in sorted(found)]
    return pd.DataFrame(rows)


def table(frame: Any) -> pd.DataFrame:
    """The scores of a run: rows of `long`."""
    heads = {
        "error": ("Test error, %", 100, 2), "rmse": ("RMSE, 1000 dollars", 1, 3),
        "nll": ("NLL, nats", 1, 3), "ece": ("ECE", 1, 3), "auroc": ("AUROC", 1, 3),
        "parameters": ("Parameters", 1, 0), "bytes": ("Bytes", 1, 0),
        "seconds": ("Seconds", 1, 2), "microseconds": ("Microseconds a row", 1, 1),
    }  # fmt: skip
    shown = {"Score": [head for name, (head, _, _) in heads.items() if name in frame]}
    for row in frame.to_dict("records"):
        shown[f"{row['neurons']} neurons, seed {row['seed']}"] = [
            f"{factor * row[name]:,.{digits}f}"
            for name, (_, factor, digits) in heads.items()
            if name in frame
        ]
    return pd.DataFrame(shown)
