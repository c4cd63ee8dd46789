"""The settings that were tried for the baselines, and how well each did on rows held out.

    python -m emtdamp.baselines.choose

writes settings.csv beside this file in a quarter of an hour; what is in it already is not run
again. A row is a method's settings on a data set: `score` is the mean over `runs` fits, the lower
the better. The best of a method on MNIST are its defaults.

MNIST: networks 784-128-10, trained on the first 10,000 images for 10 epochs, pruned to 64, 32 and
13 neurons (Adam: left dense), two seeds; score: negative log-likelihood in nats of training images
50,000 to 59,999. Boston: 13-50-1, pruned to 25 neurons (Adam: left dense), the training rows of the
first 5 of the 20 splits; score: mean squared error over the variance of y, of the rows held out by
the five folds that measure the noise variance.
"""

import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from emtdamp import datasets, metrics
from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, GroupSNIP, Magnitude

TABLE = Path(__file__).with_name("settings.csv")
COLUMNS = ("data", "method", "epochs", "runs", "score")
RATES = (1e-3, 2e-3, 3e-3, 5e-3, 1e-2)


def candidates() -> Iterator[tuple[str, Adam, int]]:
    """Data, method and epochs of all that is tried."""
    for rate, schedule in product(RATES, ("constant", "cosine")):
        yield "mnist", Adam(rate, schedule), 10
    for rate, begin, end in product((2e-3, 3e-3, 5e-3, 1e-2), (0.1, 0.2), (0.3, 0.4, 0.5)):
        if end != 0.4 or rate in (3e-3, 5e-3):
            yield "mnist", Gradual(rate, begin_at=begin, end_at=end), 10
    for share in (0.2, 0.4, 0.6):
        yield "mnist", Magnitude(5e-3, fine_tune=share), 10
    for rate, penalty, share in product((5e-3, 1e-2), (3e-3, 1e-2, 3e-2, 0.1, 0.3), (0.4, 0.6)):
        yield "mnist", GroupLasso(rate, penalty=penalty, fine_tune=share), 10
    for rate, batches in product((2e-3, 5e-3, 1e-2), (1, 10)):
        yield "mnist", GroupSNIP(rate, batches=batches), 10
    for method, rate, epochs in product(
        (Adam, Gradual, GroupLasso, GroupSNIP), (3e-3, 5e-3, 1e-2), (110, 220)
    ):
        yield "boston", method(rate), epochs


def mnist(method: Adam, epochs: int) -> list[float]:
    """Scores of the runs on MNIST."""
    data = datasets.load_mnist()
    x = datasets.scale_images(data.x_train)
    y = data.y_train.astype(int)
    scores = []
    for sparsity, seed in product((0.0,) if type(method) is Adam else (0.5, 0.75, 0.9), (0, 1)):
        model = BaselineClassifier(
            method, (128,), sparsity=sparsity, epochs=epochs, batch_size=100, random_state=seed
        ).fit(x[:10_000], y[:10_000])
        p = model.predict_proba(x[50_000:])
        scores.append(metrics.negative_log_likelihood(y[50_000:], p))
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


def best(data: str, kind: type[Adam]) -> tuple[Adam, int]:
    """The settings of a class of methods with the lowest score on "mnist" or "boston", and epochs.

    >>> best("mnist", Gradual)
    (Gradual(rate=0.005, schedule='cosine', begin_at=0.2, end_at=0.4), 10)
    """
    scores = {(row["data"], row["method"], row["epochs"]): float(row["score"]) for row in table()}
    tried = [c for c in candidates() if c[0] == data and type(c[1]) is kind]
    _, method, epochs = min(tried, key=lambda c: scores[c[0], repr(c[1]), str(c[2])])
    return method, epochs


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
            scores = (mnist if data == "mnist" else boston)(method, epochs)
            writer.writerow([data, repr(method), epochs, len(scores), f"{np.mean(scores):.4f}"])
            file.flush()


if __name__ == "__main__":
    main()
