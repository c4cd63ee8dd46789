"""The settings that were tried for the baselines, and how well each did on rows held out.

    python -m emtdamp.baselines.choose

writes settings.csv beside this file, in hours; what is in it already is not run again.
A row is a method's settings on a data set, for some epochs, with the inputs standardized or as they
are: `score` is the mean over `runs` fits, the lower the better. The best on 10,000 images, inputs
standardized, are a method's defaults.

mnist-10000, mnist-50000: networks 784-128-10, trained on that many images from the first on, pruned
to 64, 32 and 13 neurons (Adam and IVON: left dense; all for 30 epochs, and -half: 64 only;
-inputs: to the same shares of the inputs too); score: negative log-likelihood in nats of training
images 50,000 to 59,999. boston: 13-50-1, pruned to 25 neurons (Adam and IVON: left dense), the
training rows of the first 5 of the 20 splits; score: mean squared error over the variance of y, of
the rows held out by the five folds that measure the noise variance.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emtdamp import datasets, metrics
from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.ivon_network import IVON
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, GroupSNIP, Magnitude, Method
from emtdamp.baselines.variational import BayesByBackprop
from emtdamp.errors import UsageError

TABLE = Path(__file__).with_name("settings.csv")
COLUMNS = ("data", "method", "standardize", "epochs", "runs", "score")
SEEDS = {10_000: (0, 1), 50_000: (0,)}
RATES = {10_000: (2e-3, 3e-3, 5e-3, 1e-2), 50_000: (1e-3, 2e-3, 3e-3, 5e-3)}
HELD_OUT = 50_000  # MNIST's training images from here on
DENSE = (Adam, IVON)  # prune at the end if at all, so are scored with all their neurons


class Setting(NamedTuple):
    """A method, and whether its inputs are standardized or taken as they are."""

    method: Method
    standardize: bool


class Candidate(NamedTuple):
    """What is tried: a setting, on which data and for how many epochs."""

    data: str
    setting: Setting
    epochs: int

    def key(self) -> tuple[str, ...]:
        """As in the table."""
        return (self.data, *map(repr, self.setting), str(self.epochs))


def _methods() -> Iterator[tuple[str, Adam, int]]:
    """Data, method and epochs of all that is tried."""
    for images, rates in RATES.items():
        data = f"mnist-{images}"
        for rate, schedule in product((1e-3, 2e-3, 3e-3, 5e-3, 7e-3), ("constant", "cosine")):
            yield data, Adam(rate, schedule), 10
        for rate, begin, end in product(rates, (0.1, 0.2), (0.4, 0.6)):
            yield data, Gradual(rate, begin_at=begin, end_at=end), 10
        for rate, share in product(rates, (0.4, 0.6, 0.8)):
            yield data, Magnitude(rate, fine_tune=share), 10
        for rate, penalty, share in product(rates, (0.03, 0.1, 0.3), (0.4, 0.6)):
            yield data, GroupLasso(rate, penalty=penalty, fine_tune=share), 10
        for rate in rates:
            yield data, GroupSNIP(rate), 10
    for rate in (2e-3, 5e-3, 1e-2):
        for share in (0.6, 0.8):
            yield "mnist-50000-inputs", Magnitude(rate, fine_tune=share), 10
        for penalty, share in product((0.01, 0.03, 0.1, 0.3), (0.6, 0.8)):
            method = GroupLasso(rate, penalty=penalty, fine_tune=share)
            yield "mnist-50000-inputs", method, 10
        yield "mnist-50000-inputs", GroupSNIP(rate), 10
        for end in (0.4, 0.6):
            yield "mnist-50000-inputs", Gradual(rate, end_at=end), 10
    for rate in (2e-3, 3e-3, 5e-3):
        for share in (0.6, 0.8):
            yield "mnist-50000-inputs-half", Magnitude(rate, fine_tune=share), 10
        for penalty in (0.03, 0.1, 0.3):
            yield "mnist-50000-inputs-half", GroupLasso(rate, penalty=penalty), 10
        yield "mnist-50000-inputs-half", GroupSNIP(rate), 10
        for end in (0.4, 0.6):
            yield "mnist-50000-inputs-half", Gradual(rate, end_at=end), 10
    for rate in (2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3):
        for method in (Adam(rate), Adam(rate, "constant"), Magnitude(rate), GroupSNIP(rate)):
            yield "mnist-50000", method, 30
        for penalty in (0.03, 0.1, 0.3, 1.0):
            yield "mnist-50000", GroupLasso(rate, penalty=penalty), 30
        yield "mnist-50000", Gradual(rate), 30
    for rate, epochs in product((3e-3, 5e-3, 1e-2, 2e-2), (110, 220)):
        for kind in (Adam, Magnitude, Gradual, GroupSNIP):
            yield "boston", kind(rate), epochs
        for penalty in (0.03, 0.1, 0.3):
            yield "boston", GroupLasso(rate, penalty=penalty), epochs
    yield from _variational()


def _variational() -> Iterator[tuple[str, Adam, int]]:
    """Gaussians for weights. Bayes by Backprop takes three times as long: the rate gains most."""
    for rate in (5e-3, 1e-2):
        yield "mnist-10000", BayesByBackprop(rate), 10
        yield "mnist-50000", BayesByBackprop(rate), 10
        yield "mnist-50000", BayesByBackprop(rate), 30
    for rate in (5e-3, 1e-2):
        yield "boston", BayesByBackprop(rate), 220
    for rate in (5e-3, 1e-2):
        yield "mnist-50000-inputs", BayesByBackprop(rate), 10
        yield "mnist-50000-inputs-half", BayesByBackprop(rate), 10
    for rate, curvature in product((0.02, 0.05, 0.1, 0.2), (0.1, 1.0)):
        for images in RATES:
            yield f"mnist-{images}", IVON(rate, first_curvature=curvature), 10
    for rate in (0.3, 0.5):
        yield "mnist-50000", IVON(rate, first_curvature=1.0), 10
    for rate, precision in product((0.02, 0.05, 0.1, 0.2, 0.4), (0.1, 1.0, 10.0)):
        yield "boston", IVON(rate, first_curvature=1.0, precision=precision), 220
    for rate, precision in product((0.4, 0.8), (0.01, 0.03)):
        yield "boston", IVON(rate, first_curvature=1.0, precision=precision), 220


def candidates() -> Iterator[Candidate]:
    """All that is tried: pixels both ways, Boston's columns of many units standardized only."""
    for data, method, epochs in _methods():
        for standardize in (True,) if data == "boston" else (True, False):
            yield Candidate(data, Setting(method, standardize), epochs)


def score(candidate: Candidate) -> list[float]:
    """The score of each run."""
    data, setting, epochs = candidate
    if data == "boston":
        return _boston(setting, epochs)
    images = int(data.split("-")[1])
    half = epochs > 10 or data.endswith("half")
    return _mnist(setting, epochs, images, (0.5,) if half else (0.5, 0.75, 0.9), "inputs" in data)


def _mnist(
    setting: Setting, epochs: int, images: int, sparsities: tuple[float, ...], inputs: bool
) -> list[float]:
    method, standardize = setting
    data = datasets.load_mnist()
    x = datasets.scale_images(data.x_train)
    y = data.y_train.astype(int)
    found = []
    for sparsity, seed in product((0.0,) if type(method) in DENSE else sparsities, SEEDS[images]):
        model = BaselineClassifier(
            method,
            (128,),
            sparsity=sparsity,
            input_sparsity=sparsity if inputs else 0.0,
            standardize=standardize,
            epochs=epochs,
            batch_size=100,
            random_state=seed,
        ).fit(x[:images], y[:images])
        p = model.predict_proba(x[HELD_OUT:])
        found.append(metrics.negative_log_likelihood(y[HELD_OUT:], p))
    return found


def _boston(setting: Setting, epochs: int) -> list[float]:
    method, standardize = setting
    data = datasets.load_boston()
    found = []
    for number in range(5):
        rows = datasets.boston_splits()[number].train
        model = BaselineRegressor(
            method,
            (50,),
            sparsity=0.0 if type(method) in DENSE else 0.5,
            standardize=standardize,
            epochs=epochs,
            batch_size=50,
            random_state=number,
        ).fit(data.data[rows], data.target[rows])
        away = [fold.network.propagate(fold.x)[0] - fold.y for fold in model.folds_]
        found.append(float(np.mean(np.concatenate(away) ** 2)))  # y has variance 1 there
    return found


def table() -> list[dict[str, str]]:
    """The rows of settings.csv; none where there is no such file."""
    if not TABLE.exists():
        return []
    with TABLE.open() as file:
        return list(csv.DictReader(file))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in COLUMNS[:4])


def best(data: str, wanted: type[Adam] | Adam, epochs: int) -> Setting:
    """The setting with the lowest score on "mnist-10000", say.

    `wanted`: a kind of method; or a method, of which only the inputs are chosen.

    >>> best("mnist-50000", Adam, 10)
    Setting(method=Adam(rate=0.003, schedule='cosine'), standardize=False)
    """
    tried = [
        c
        for c in candidates()
        if (c.data, c.epochs) == (data, epochs)
        and wanted in (type(c.setting.method), c.setting.method)
    ]
    if not tried:
        name = wanted.__name__ if isinstance(wanted, type) else wanted
        raise UsageError(f"no {name} was tried on {data!r} for {epochs} epochs")
    scores = {_key(row): float(row["score"]) for row in table()}
    return min(tried, key=lambda candidate: scores[candidate.key()]).setting


def complete(
    path: Path,
    columns: Sequence[str],
    tried: Iterable[tuple[tuple[str, ...], Callable[[], Iterable[object]]]],
) -> None:
    """Run what a table of settings lacks, and append it, a line each as soon as it is known.

    `tried`: the first columns of a line, which tell it from the others, and what runs to give the
    rest. A table that is not there begins with `columns`.
    """
    lines = list(csv.reader(path.read_text("utf-8").splitlines())) if path.exists() else []
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not lines:
            writer.writerow(columns)
        for key, run in tried:
            if list(key) not in [line[: len(key)] for line in lines]:
                writer.writerow([*key, *run()])
                file.flush()


def main() -> None:
    """Run what settings.csv does not have."""

    def run(candidate: Candidate) -> tuple[int, str]:
        found = score(candidate)
        return len(found), f"{np.mean(found):.4f}"

    complete(TABLE, COLUMNS, ((each.key(), partial(run, each)) for each in candidates()))


if __name__ == "__main__":
    main()
