"""The settings that were tried for the baselines, and how well each did on rows held out.

    python -m emtdamp.baselines.choose

writes settings.csv beside this file, in about ten minutes. A row is a method's settings on a data
set: `score` is its mean over `runs` runs, the lower the better; the best row of each method has
the settings that are the method's defaults (MNIST), or `BOSTON`'s.

MNIST: networks 784-128-10, trained on the first 10,000 images for 10 epochs, pruned to 64, 32 and
13 neurons (Adam: left dense), two seeds; score: negative log-likelihood in nats of training images
50,000 to 59,999. Boston: 13-50-1, pruned to 25 and 15 neurons, on the training rows of the
first 5 of the 20 splits; score: mean squared error over the variance of y, of rows held out by the
five folds that measure the noise variance.
"""

import csv
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from emtdamp import datasets, metrics
from emtdamp.baselines.estimators import BaselineClassifier, BaselineRegressor
from emtdamp.baselines.methods import Adam, Gradual, GroupLasso, GroupSNIP

TABLE = Path(__file__).with_name("settings.csv")
RATES = (1e-3, 2e-3, 5e-3, 1e-2)
# The best on Boston's training rows; `epochs` belongs to the estimator.
BOSTON: dict[str, tuple[Adam, int]] = {}


def candidates() -> Iterator[Adam]:
    """The settings tried, of all methods."""
    for rate, schedule in product(RATES, ("constant", "cosine")):
        yield Adam(rate, schedule)
    for rate, begin, end in product(RATES[1:], (0.0, 0.1, 0.2), (0.5, 0.7, 0.9)):
        yield Gradual(rate, begin_at=begin, end_at=end)
    for rate, penalty, share in product(RATES[1:], (1e-3, 3e-3, 1e-2, 3e-2), (0.2, 0.4, 0.6)):
        yield GroupLasso(rate, penalty=penalty, fine_tune=share)
    for rate, batches in product(RATES[1:], (1, 10, 100)):
        yield GroupSNIP(rate, batches=batches)


def mnist(method: Adam, levels: tuple[float, ...] = (0.5, 0.75, 0.9)) -> list[float]:
    """Scores of the runs on MNIST."""
    data = datasets.load_mnist()
    x = datasets.scale_images(data.x_train)
    y = data.y_train.astype(int)
    scores = []
    for sparsity, seed in product((0.0,) if type(method) is Adam else levels, (0, 1)):
        model = BaselineClassifier(
            method, (128,), sparsity=sparsity, epochs=10, batch_size=100, random_state=seed
        ).fit(x[:10_000], y[:10_000])
        p = model.predict_proba(x[50_000:])
        scores.append(metrics.negative_log_likelihood(y[50_000:], p))
    return scores


def boston(method: Adam, epochs: int) -> list[float]:
    """Scores of the runs on Boston housing."""
    data = datasets.load_boston()
    scores = []
    for sparsity, number in product((0.0,) if type(method) is Adam else (0.5, 0.7), range(5)):
        rows = datasets.boston_splits()[number].train
        model = BaselineRegressor(
            method, (50,), sparsity=sparsity, epochs=epochs, batch_size=50, random_state=number
        ).fit(data.data[rows], data.target[rows])
        scores.append(model.noise_variance_ / data.target[rows].var())
    return scores


if __name__ == "__main__":
    only = sys.argv[1:]
    with TABLE.open("a", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        for method in candidates():
            if only and type(method).__name__ not in only[1:]:
                continue
            if only[0] == "mnist":
                tried = [("mnist", 10, mnist(method))]
            else:
                tried = [("boston", epochs, boston(method, epochs)) for epochs in (55, 110, 220)]
            for name, epochs, scores in tried:
                table.writerow([name, repr(method), epochs, len(scores), f"{np.mean(scores):.4f}"])
                file.flush()
