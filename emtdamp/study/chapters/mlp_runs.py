"""Trainings of the page `mlp-from-scratch`: the assignment's images and networks, a row each."""

import time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from emtdamp import datasets, metrics
from emtdamp.baselines.mlp_numpy import MLP, History, Settings
from emtdamp.errors import UsageError
from emtdamp.study import pages

HIDDEN = "500 250 100"
EPOCHS = 15
NETWORKS = ("sigmoid", "tanh", "relu", "keras")  # the last: a copy of the first in Keras
PARTS = ("train", "val", "test")


class Images(NamedTuple):
    """Rows of 784 float32 and their labels, of each part of the assignment's split."""

    x: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def images(train_size: int = 50_000, standardise: bool = True) -> Images:
    """As the assignment prepares them: from 0 to 1, standardised, flat.

    One mean and one standard deviation of all pixels of the training images serve all parts.
    """
    split = datasets.assignment_split(datasets.load_mnist())
    if not 1 <= train_size <= len(split.x_train):
        raise UsageError(f"train_size {train_size}; give 1 to {len(split.x_train)}")
    x = {part: datasets.scale_images(getattr(split, f"x_{part}")) for part in PARTS}
    labels = {part: getattr(split, f"y_{part}") for part in PARTS}
    x["train"], labels["train"] = x["train"][:train_size], labels["train"][:train_size]
    if standardise:
        mean, sd = x["train"].mean(dtype=float), x["train"].std(dtype=float)
        x = {part: (rows - np.float32(mean)) / np.float32(sd) for part, rows in x.items()}
    return Images(x, labels)


def settings(
    network: str, step: float = 0.01, alpha: float = 0.0, hidden: str = HIDDEN, seed: int = 0
) -> Settings:
    """What is stated: gradient descent, batches of 64, Glorot's start; alpha above 0 is of L2."""
    if network not in NETWORKS:
        raise UsageError(f"network {network!r}; give one of {', '.join(NETWORKS)}")
    return Settings(
        hidden=tuple(int(text) for text in hidden.split()),
        activation="sigmoid" if network == "keras" else network,
        penalty="l2" if alpha else "none",
        alpha=alpha,
        rate=step,
        seed=seed,
    )


def keras_copy(given: Settings) -> Any:
    """The same network and step in Keras, trained by its `fit` as it comes."""
    import keras

    keras.utils.set_random_seed(given.seed)
    sizes = [*zip(given.hidden, [given.activation] * len(given.hidden), strict=True)]
    layers = [keras.layers.Dense(size, name) for size, name in [*sizes, (10, "softmax")]]
    model = keras.Sequential([keras.Input((784,)), *layers])
    optimizer = keras.optimizers.SGD(given.rate)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    return model


def train(given: Settings, data: Images, epochs: int) -> tuple[MLP, History, float]:
    """The network in NumPy, its history with validation, and its seconds."""
    targets = {part: datasets.one_hot(data.labels[part]) for part in ("train", "val")}
    network = MLP(given, 784, 10)
    began = time.perf_counter()
    history = network.train(
        data.x["train"], targets["train"], epochs, (data.x["val"], targets["val"])
    )
    return network, history, time.perf_counter() - began


def train_keras(
    given: Settings, data: Images, epochs: int, since: int = 0
) -> tuple[Any, History, float]:
    """As `train`, by Keras: an entry an epoch, and the seconds from epoch `since` on."""
    import keras

    targets = {part: datasets.one_hot(data.labels[part]) for part in ("train", "val")}
    model, ends = keras_copy(given), [time.perf_counter()]
    clock = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
    )
    watched = (data.x["val"], targets["val"])
    fitted = model.fit(
        data.x["train"], targets["train"], given.batch_size, epochs, validation_data=watched,
        verbose=0, callbacks=[clock],
    )  # fmt: skip
    per_epoch = -(-len(targets["train"]) // given.batch_size)
    losses = (np.array(fitted.history[name]) for name in ("loss", "val_loss"))
    steps = per_epoch * np.arange(1, epochs + 1)
    return model, History(steps, *losses), ends[-1] - ends[since]


def row(network: str, given: Settings, data: Images, epochs: int) -> dict[str, Any]:
    """A row of the study: losses, accuracies, confusion matrices and curves of one training."""
    found: dict[str, Any] = {}
    if network == "keras":
        model, history, seconds = train_keras(given, data, epochs)
        outputs = {part: model.predict(x, batch_size=1000, verbose=0) for part, x in data.x.items()}
    else:
        model, history, seconds = train(given, data, epochs)
        outputs = {part: model.evaluate(x) for part, x in data.x.items()}
        for part in ("train", "val"):  # the penalty counts, as in what is reported
            found[f"loss_{part}"] = model.loss(data.x[part], datasets.one_hot(data.labels[part]))
    for part, probabilities in outputs.items():
        scores = metrics.classification_scores(data.labels[part], probabilities)
        found |= {f"{name}_{part}": scores[name] for name in ("accuracy", "nll")}
        if part != "val":
            counts = confusion_matrix(
                data.labels[part], probabilities.argmax(axis=1), labels=range(10)
            )
            found[f"confusion_{part}"] = " ".join(map(str, counts.ravel()))
    if network == "keras":
        found |= {f"loss_{part}": found[f"nll_{part}"] for part in ("train", "val")}
    for name, values in history._asdict().items():
        found[f"curve_{name}"] = " ".join(f"{value:.5g}" for value in values)
    return found | {"train_seconds": seconds}


def study() -> pd.DataFrame:
    """The committed trainings."""
    return pages.study("mlp-from-scratch")


def curve(trained: Any) -> pd.DataFrame:
    """Loss and validation loss by step of a row."""
    names = ("step", "loss", "validation")
    columns = {name: [float(v) for v in trained[f"curve_{name}"].split()] for name in names}
    return pd.DataFrame(columns).set_index("step")
