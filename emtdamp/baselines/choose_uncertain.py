"""The settings tried for MC dropout, Gaussian and convolutional networks, on rows held out.

    python -m emtdamp.baselines.choose_uncertain

writes uncertain.csv beside this file in a few minutes, as `choose` does settings.csv: a row is a
setting and its score, the lower the better; the best ones are the defaults.

mnist-10000: networks 784-128-10 trained on the first 10,000 images for 10 epochs; score: negative
log-likelihood in nats of training images 50,000 to 59,999, by 20 samples, mean of two seeds.
mnist-10000-convolutional: the same for `convolutional`, one seed.
boston: ensembles of five 13-50-2 networks, trained on four fifths of the training rows of the first
5 of the 20 splits; score: negative log density of the fifth held out, mean of the splits.
"""

import csv
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from emtdamp import datasets, metrics
from emtdamp.baselines import choose, convolutional
from emtdamp.baselines.convolutional import ConvolutionalSettings
from emtdamp.baselines.gaussian_networks import GaussianSettings, predictive, train_gaussians
from emtdamp.baselines.mc_dropout import DropoutSettings, sampled, train_dropout

TABLE = Path(__file__).with_name("uncertain.csv")
HELD_OUT = 50_000  # MNIST's training images from here on
TRAINED = 10_000
DROPOUT = ("learning_rate", "dropout", "input_dropout")
GAUSSIAN = ("heteroscedastic", "learning_rate", "epochs")
CONVOLUTIONAL = ("bayesian", "learning_rate", "kl_weight")


def candidates() -> Iterator[tuple[str, dict[str, Any]]]:
    """All that is tried: the data and the settings that differ from the defaults' others."""
    for values in product((2e-3, 5e-3, 1e-2), (0.05, 0.1, 0.2, 0.3), (0.0, 0.1, 0.2)):
        yield "mnist-10000", dict(zip(DROPOUT, values, strict=True))
    for values in product((True, False), (3e-3, 1e-2), (15, 30, 60, 120, 240)):
        yield "boston", dict(zip(GAUSSIAN, values, strict=True))
    for values in [
        *product((False,), (2e-3, 5e-3, 1e-2), (0.1,)),
        *product((True,), (5e-3, 1e-2), (0.1, 1.0)),
    ]:
        yield "mnist-10000-convolutional", dict(zip(CONVOLUTIONAL, values, strict=True))


def score(data: str, settings: dict[str, Any]) -> float:
    """The lower, the better the rows held out were predicted."""
    scores = {"mnist-10000": _mnist, "mnist-10000-convolutional": _convolutional, "boston": _boston}
    return scores[data](settings)


def _mnist(settings: dict[str, Any]) -> float:
    mnist = datasets.load_mnist()
    x, y = datasets.scale_images(mnist.x_train), mnist.y_train.astype(int)
    found = []
    for seed in (0, 1):
        model = train_dropout(DropoutSettings(**settings, seed=seed), x[:TRAINED], y[:TRAINED])
        p = np.exp(sampled(model, x[HELD_OUT:], 20)).mean(axis=0)
        found.append(metrics.negative_log_likelihood(y[HELD_OUT:], p))
    return float(np.mean(found))


def _convolutional(settings: dict[str, Any]) -> float:
    mnist = datasets.load_mnist()
    x = datasets.scale_images(mnist.x_train).reshape(-1, 28, 28)
    y = mnist.y_train.astype(int)
    model = convolutional.train(ConvolutionalSettings(**settings), x[:TRAINED], y[:TRAINED])
    p = np.exp(convolutional.sampled(model, x[HELD_OUT:], 20)).mean(axis=0)
    return metrics.negative_log_likelihood(y[HELD_OUT:], p)


def _boston(settings: dict[str, Any]) -> float:
    data, found = datasets.load_boston(), []
    for number, fold in enumerate(datasets.boston_splits()[:5]):
        left, out = train_test_split(fold.train, test_size=0.2, random_state=number)
        given = GaussianSettings(**settings, seed=number)
        models = train_gaussians(given, data.data[left], data.target[left])
        p = predictive(models, data.data[out])
        scores = metrics.regression_scores(data.target[out], p.mean, p.std)
        found.append(-scores["log_likelihood"])
    return float(np.mean(found))


def table() -> list[dict[str, str]]:
    """The rows of uncertain.csv: data, settings, score; none where there is no such file."""
    if not TABLE.exists():
        return []
    with TABLE.open() as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Run what uncertain.csv does not have."""

    def run(data: str, settings: dict[str, Any]) -> list[str]:
        return [f"{score(data, settings):.4f}"]

    choose.complete(
        TABLE,
        ("data", "settings", "score"),
        (
            ((data, ", ".join(f"{k}={v}" for k, v in given.items())), partial(run, data, given))
            for data, given in candidates()
        ),
    )


if __name__ == "__main__":
    main()
