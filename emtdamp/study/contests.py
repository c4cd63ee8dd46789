"""EM-TDAMP and the baselines side by side: the same rows, network, minibatches and rounds.

    task = runs.mnist(60_000)
    curve(model("gradual", task, rounds=30, kept=50), task)["error"]

A round is a pass over the training rows. `kept` is the percentage of groups that are left, as on
the axes of the paper's figures: of the hidden neurons, or of these and the inputs that vary.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from emtdamp import baselines
from emtdamp.baselines import BaselineClassifier, BaselineRegressor, choose
from emtdamp.errors import UsageError
from emtdamp.estimators.classifier import EMTDAMPClassifier
from emtdamp.estimators.regressor import EMTDAMPRegressor
from emtdamp.network import GaussianNetwork, Predictor
from emtdamp.study import claims, runs
from emtdamp.study.methods import METHODS, OWN, rivals

Groups = Literal["hidden", "inputs and hidden"]
Baseline = BaselineClassifier | BaselineRegressor
Model = EMTDAMPClassifier | EMTDAMPRegressor | Baseline

NETWORKS = {True: (128, 100), False: (50, 50)}  # hidden neurons and batch size, of classes or not


def against(
    runs_: pd.DataFrame, column: str, ours: str, others: Iterable[str], by: str = "method"
) -> claims.Standing:
    """How `ours` stands against all `others` in a score of which less is better.

    `runs_`: a row a run, the method in the column `by`. Two methods share no more than the number
    of a seed, so that their runs are no pairs (`claims.compare`).
    """
    scores = {name: group[column] for name, group in runs_.groupby(by)}
    return claims.overall(
        claims.compare(scores[ours], scores[other], paired=False).standing for other in others
    )


def against_all(
    study: pd.DataFrame, score: str, percentages: Iterable[int], gradients: bool = False
) -> dict[int, claims.Standing]:
    """How EM-TDAMP stands against all rivals of a study of groups kept, by percentage.

    `study`: rows of one kind of groups; `score`: error or nll. With all groups kept AMP is the same
    fit as EM-TDAMP, and no rival.
    """
    found = {}
    for k in percentages:
        others = [m for m in rivals(study["method"], gradients) if k < 100 or m != "amp"]
        found[k] = against(study, f"{score}_at_{k}", "em-tdamp", others)
    return found


def with_cases(study: pd.DataFrame) -> pd.DataFrame:
    """A study of rounds with a column `case`: the method, and 50 or 100, what it keeps."""
    kept = np.where(study["followed"] < 100, " 50", " 100")
    return study.assign(case=study["method"] + kept)


def pooled(sums: np.ndarray, worst: np.ndarray) -> tuple[float, float]:
    """Sums of squared errors over those of the mean, pooled over splits, and its standard error.

    A ratio of sums: its error is that of what the denominator does not explain.

    >>> pooled(np.array([1.0, 2.0]), np.array([10.0, 20.0]))
    (0.1, 0.0)
    """
    ratio = sums.sum() / worst.sum()
    around = sums - ratio * worst
    return float(ratio), float(np.sqrt(len(worst) * around.var(ddof=1)) / worst.sum())


def squares(ends: pd.DataFrame, method: str, kept: int) -> np.ndarray:
    """Sums of squared errors of a study of Boston, a number a split; `ends`: a row a method."""
    count = int(ends.loc[method, "splits"])  # pyright: ignore[reportArgumentType]
    names = [f"squares_at_{kept}_split_{split}" for split in range(count)]
    return ends.loc[method, names].to_numpy(np.float64)


def pooled_gap(ends: pd.DataFrame, other: str, kept: int, worst: np.ndarray) -> claims.Comparison:
    """EM-TDAMP beside another method on Boston: difference of the pooled NMSEs over the splits."""
    gap, error = pooled(squares(ends, other, kept) - squares(ends, "em-tdamp", kept), worst)
    return claims.Comparison(gap, error)


def boston_against_all(
    ends: pd.DataFrame, percentages: Iterable[int], worst: np.ndarray
) -> dict[int, claims.Standing]:
    """As `against_all`, for Boston: pooled NMSEs, paired over the splits."""
    found = {}
    for kept in percentages:
        others = [m for m in rivals(ends.index) if kept < 100 or m != "amp"]
        gaps = [pooled_gap(ends, other, kept, worst) for other in others]
        found[kept] = claims.overall(gap.standing for gap in gaps)
    return found


def by_fold(study: pd.DataFrame, model: str, score: str = "loss") -> pd.DataFrame:
    """A score of the study of small tables: a row a table, a column a fold.

    `model`: ours, mlp (scikit-learn's network), chosen (it, its penalty cross-validated); `score`:
    loss (log loss, nats) or accuracy.
    """
    names = [f"{model}_{score}_{fold}" for fold in range(int(study["folds"].iloc[0]))]
    return study.set_index("table").reindex(columns=names)


def on_tables(study: pd.DataFrame, other: str) -> dict[str, claims.Standing]:
    """How the defaults' log loss stands against another model's, paired over folds, by table."""
    ours, theirs = by_fold(study, "ours"), by_fold(study, other)
    return {
        name: claims.compare(ours.loc[name], theirs.loc[name], paired=True).standing
        for name in ours.index
    }


def counted(standings: Iterable[claims.Standing]) -> str:
    """How often each standing occurs, in words.

    >>> counted(["level", "ahead", "ahead"])
    'ahead on 2, level on 1'
    """
    found = list(standings)
    order: tuple[claims.Standing, ...] = ("ahead", "level", "behind", "undecided")
    return ", ".join(f"{word} on {found.count(word)}" for word in order if word in found)


def worst_squares(splits: int = 20) -> np.ndarray:
    """Sums of squared errors of the training mean on the test folds of Boston, one a split."""
    tasks = [runs.boston(split) for split in range(splits)]
    return np.array([((task.y_test - task.y.mean()) ** 2).sum() for task in tasks])


def known() -> pd.DataFrame:
    """Pruned networks 784-128-10 that other programs gave before this one was written.

    Columns: images, neurons (left of 128), method, accuracy, nll; means of three seeds with the
    digits that were noted, without errors. The three methods that were strongest somewhere.
    """
    return pd.read_csv(str(files("emtdamp.baselines") / "known.csv"))


def spelled(standings: Mapping[int, claims.Standing], unit: str = "%") -> str:
    """Standings by percentage, or by another number, in words.

    >>> spelled({10: "behind", 20: "ahead", 50: "ahead"})
    'ahead at 20 and 50 % and behind at 10 %'
    >>> spelled({13: "level", 32: "level", 64: "level", 128: "ahead"}, "neurons")
    'ahead at 128 neurons and level at 13 to 64 neurons'
    """
    parts = []
    for word in ("ahead", "level", "behind", "undecided"):
        runs_: list[list[int]] = [[]]
        for k, found in standings.items():
            if found == word:
                runs_[-1].append(k)
            elif runs_[-1]:
                runs_.append([])
        spans: list[str] = []
        for run in runs_:
            whole = [f"{run[0]:g} to {run[-1]:g}"] if len(run) > 2 else [f"{k:g}" for k in run]
            spans += whole
        if spans:
            parts.append(f"{word} at {listed(spans)} {unit}")
    return listed(parts)


def listed(parts: Sequence[str]) -> str:
    """At least one part, the last joined by "and".

    >>> listed(["one"]), listed(["one", "two", "three"])
    ('one', 'one, two and three')
    """
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def reported(figure: str) -> pd.DataFrame:
    """Points read off a figure of the paper: method (our names), x, y.

    `figure`: train_mnist_error, train_boston_nmse (x: rounds), sparsity_mnist_error,
    sparsity_boston_nmse (x: percentage of groups kept), and of its federations fed_mnist_error,
    fed_boston_nmse, fed_sparsity_mnist_error, fed_sparsity_boston_nmse; y is a fraction of errors
    or an NMSE, two digits to be trusted.

    >>> reported("train_mnist_error").query("method == 'em-tdamp'").iloc[0].to_dict()
    {'method': 'em-tdamp', 'x': 1, 'y': 0.0584}
    """
    names = {method.in_paper: name for name, method in METHODS.items() if method.in_paper}
    points = pd.read_csv(str(files("emtdamp.baselines") / "paper.csv"))
    points = points.loc[points["figure"] == figure]
    if points.empty:
        raise UsageError(f"figure={figure!r}; the docstring lists those that were read")
    return points.drop(columns="figure").replace({"method": names}).reset_index(drop=True)


def tuned() -> dict[str, type]:
    """The methods whose setting is the best on held-out rows, and the kind that it is of."""
    found = {
        name: method.baseline(baselines) for name, method in METHODS.items() if method.baseline
    }
    return {name: kind for name, kind in found.items() if isinstance(kind, type)}


def baseline(
    name: str, task: runs.Task, rounds: int, kept: float = 100, groups: Groups = "hidden"
) -> choose.Setting:
    """A baseline as it did best on held-out rows of this data (`choose`), or as `METHODS` has it.

    Raises UsageError for a name that is not in `METHODS`, or one of EM-TDAMP.
    """
    method = METHODS.get(name)
    if method is None or method.baseline is None:
        known = [each for each, method in METHODS.items() if method.baseline]
        raise UsageError(f"method {name!r}; give one of {', '.join(known)}")
    wanted = method.baseline(baselines)
    if isinstance(wanted, choose.Setting):
        return wanted
    if not (isinstance(wanted, type) or task.classes):
        return choose.Setting(wanted, standardize=True)
    if not task.classes:
        return choose.best("boston", wanted, 220)
    if len(task.x) <= 10_000:
        return choose.best("mnist-10000", wanted, 10)
    if groups != "hidden" and not method.at_the_end:
        return choose.best("mnist-50000-inputs" + ("-half" if kept >= 50 else ""), wanted, 10)
    return choose.best("mnist-50000", wanted, 30 if rounds > 10 else 10)


def model(
    name: str,
    task: runs.Task,
    rounds: int,
    kept: float = 100,
    groups: Groups = "hidden",
    seed: int = 0,
    inflation: float | str = 1.0,
) -> Model:
    """The estimator of a method, not yet fitted: 784-128-10 on MNIST, 13-50-1 on Boston.

    `name`: one of `METHODS`. `kept`: percent, in (0, 100]; in the paper's form EM finds how
    many neurons are left if it is 100; below, the form is steered there. `inflation`: EM-TDAMP's;
    of many rows of classes 1 is the default, and squared errors ask for the mean alone.
    """
    hidden, batch = NETWORKS[bool(task.classes)]
    if not 0 < kept <= 100:
        raise UsageError(f"kept={kept!r}; give a percentage above 0, at most 100")
    sparsity = round(1 - kept / 100, 6)
    given: dict[str, Any] = {
        "hidden_layer_sizes": (hidden,),
        "sparsity": sparsity,
        "input_sparsity": 0.0 if groups == "hidden" else sparsity,
        "batch_size": batch,
        "random_state": seed,
    }
    if name in OWN:
        kind = EMTDAMPClassifier if task.classes else EMTDAMPRegressor
        given |= {"em_iters": rounds, "inflation": inflation}
        form = METHODS[name].form
        if form == "paper":
            return kind.paper(**given | ({"sparsity": "auto"} if kept == 100 else {}))
        return kind(update=str(form), **given)
    kind = BaselineClassifier if task.classes else BaselineRegressor
    setting = baseline(name, task, rounds, kept, groups)
    return kind(setting.method, standardize=setting.standardize, epochs=rounds, **given)


def scores(task: runs.Task, predictor: Predictor) -> dict[str, float]:
    """Of the test rows. Classes: error and nll; targets: squares, the sum of squared errors."""
    predicted = runs.predict(task, predictor)
    if not task.classes:
        return {"squares": float(np.sum((predicted[:, 0] - task.y_test) ** 2))}
    found = runs.score(task, predicted)
    return {"error": 1 - found["accuracy"], "nll": found["nll"]}


def curve(model: Model, task: runs.Task) -> pd.DataFrame:
    """Fit, and return a row a round: `scores` of the network so far, and the round's seconds."""
    rows: list[dict[str, float]] = []

    def watch(row: dict[str, float], network: GaussianNetwork) -> None:
        rows.append(scores(task, network.prune()) | {"seconds": row["seconds"]})

    model.fit(task.x, task.y, monitor=watch)
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="round"))


class End(NamedTuple):
    """A network after its training, pruned; and the processor's seconds of `fit`."""

    network: GaussianNetwork
    seconds: float


def ends(
    name: str,
    task: runs.Task,
    rounds: int,
    percentages: Sequence[float],
    groups: Groups = "hidden",
    seed: int = 0,
    inflation: float | str = 1.0,
) -> Iterator[End]:
    """The end of the training for each percentage of groups kept.

    Methods that prune at the end are trained once, the others once for each percentage.
    """
    whole, seconds = None, 0.0
    for kept in percentages:
        if whole is None or not METHODS[name].at_the_end:
            trained = 100 if METHODS[name].at_the_end else kept
            whole = model(name, task, rounds, trained, groups, seed, inflation)
            began = time.process_time()
            whole.fit(task.x, task.y)
            seconds = time.process_time() - began
        now = whole
        if METHODS[name].at_the_end:
            assert isinstance(whole, Baseline)
            live, neurons = (int(a.sum()) for a in whole.active_groups_)
            now = whole.prune(left(neurons, kept), live if groups == "hidden" else left(live, kept))
        network = now.network_ if isinstance(now, Baseline) else now.posterior_
        yield End(network.prune(), seconds)


def levels(
    name: str,
    task: runs.Task,
    rounds: int,
    percentages: Sequence[float],
    groups: Groups = "hidden",
    seed: int = 0,
) -> pd.DataFrame:
    """`scores` at the end of the training for each percentage of groups kept (`ends`)."""
    rows = [
        {"neurons": int(network.active[1].sum())}
        | {"inputs": len(network.kept_inputs), "parameters": network.parameters}
        | scores(task, network)
        for network, _ in ends(name, task, rounds, percentages, groups, seed)
    ]
    return pd.DataFrame(rows, index=pd.Index(percentages, name="kept"))


def left(groups: int, kept: float) -> int:
    """How many of `groups` a percentage is, one at least.

    >>> left(128, 10), left(3, 1)
    (13, 1)
    """
    return max(1, round(groups * kept / 100))
