"""The settings that were tried for the baselines, and how well each did on rows held out.

    python -m emtdamp.baselines.choose

writes settings.csv beside this file in half an hour; what is in it already is not run again. A row
is a method's settings on a data set, for some epochs: `score` is the mean over `runs` fits, the
lower the better. The best on 10,000 images are a method's defaults.

mnist-10000, mnist-50000: networks 784-128-10, trained on that many images from the first on, pruned
to 64, 32 and 13 neurons (Adam: left dense; all for 30 epochs: 64 only); score: negative
log-likelihood in nats of training images 50,000 to 59,999. boston: 13-50-1, pruned to 25 neurons
(Adam: left dense), the training rows of the first 5 of the 20 splits; score: mean squared error
over the variance of y, of the rows held out by the five folds that measure the noise variance.
"""

import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from emtdamp import datasets, metrics
from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, GroupSNIP, Magnitude
from emtdamp.errors import UsageError

TABLE = Path(__file__).with_name("settings.csv")
COLUMNS = ("data", "method", "epochs", "runs", "score")
SEEDS = {10_000: (0, 1), 50_000: (0,)}
RATES = {10_000: (2e-3, 3e-3, 5e-3, 1e-2), 50_000: (1e-3, 2e-3, 3e-3, 5e-3)}
HELD_OUT = 50_000  # MNIST's training images from here on


def candidates() -> Iterator[tuple[str, Adam, int]]:
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
    for rate in (5e-4, 1e-3, 2e-3, 3e-3, 5e-3):
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


def mnist(method: Adam, epochs: int, images: int) -> list[float]:
    """Scores of the runs on MNIST."""
    data = datasets.load_mnist()
    x = datasets.scale_images(data.x_train)
    y = data.y_train.astype(int)
    sparsities = (0.5,) if epochs > 10 else (0.5, 0.75, 0.9)
    scores = []
    for sparsity, seed in product((0.0,) if type(method) is Adam else sparsities, SEEDS[images]):
        model = BaselineClassifier(
            method, (128,), sparsity=sparsity, epochs=epochs, batch_size=100, random_state=seed
        ).fit(x[:images], y[:images])
        p = model.predict_proba(x[HELD_OUT:])
        scores.append(metrics.negative_log_likelihood(y[HELD_OUT:], p))
    return scores


def boston(method: Adam, epochs: int) -> list[float]:
    """Scores of the runs on Boston housing."""
    data = datasets.load_boston()
    scores = []
    for number in range(5):
        rows = datasets.boston_splits()[number].train
        model = BaselineRegressor(
            method,
            (50,),
            sparsity=0.0 if type(method) is Adam else 0.5,
            epochs=epochs,
            batch_size=50,
            random_state=number,
        ).fit(data.data[rows], data.target[rows])
        scores.append(model.noise_variance_ / data.target[rows].var())
    return scores


def table() -> list[dict[str, str]]:
    """The rows of settings.csv; none where there is no such file."""
    if not TABLE.exists():
        return []
    with TABLE.open() as file:
        return list(csv.DictReader(file))


def best(data: str, kind: type[Adam], epochs: int) -> Adam:
    """The settings of a kind of method with the lowest score on "mnist-10000", say.

    >>> best("mnist-10000", Gradual, 10) == Gradual()
    True
    """
    scores = {(row["data"], row["method"], row["epochs"]): float(row["score"]) for row in table()}
    tried = [m for d, m, n in candidates() if d == data and type(m) is kind and n == epochs]
    if not tried:
        raise UsageError(f"no {kind.__name__} was tried on {data!r} for {epochs} epochs")
    return min(tried, key=lambda method: scores[data, repr(method), str(epochs)])


def main() -> None:
    """Run what settings.csv does not have, a line each."""
    done = {(row["data"], row["method"], row["epochs"]) for row in table()}
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        for data, method, epochs in candidates():
            if (data, repr(method), str(epochs)) in done:
                continue
            if data == "boston":
                scores = boston(method, epochs)
            else:
                scores = mnist(method, epochs, int(data.removeprefix("mnist-")))
            writer.writerow([data, repr(method), epochs, len(scores), f"{np.mean(scores):.4f}"])
            file.flush()


if __name__ == "__main__":
    main()
