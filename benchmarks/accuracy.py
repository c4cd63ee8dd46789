"""Seconds to a given test accuracy on all of MNIST: the default estimator against Keras Adam.

How long to train is chosen where it may be: on the last 10,000 training images, training on the
others. Each method's fastest setting that reaches the accuracy there is then trained on all 60,000
and meets the test images once a seed.
"""

import time
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

import keras
import numpy as np

from benchmarks.epochs import keras_model
from emtdamp import EMTDAMPClassifier, datasets

TARGET = 0.975
HELD_OUT = 10_000
MOST = 8  # epochs that are tried
SEEDS = 2  # of the search
HIDDEN = (128,)


class Setting(NamedTuple):
    """Of a training; rate: Adam's at the start, falling to 0 by half a cosine, NaN for EM-TDAMP."""

    method: str
    epochs: int
    batch: int
    rate: float


class Outcome(NamedTuple):
    """seconds: of training once all is compiled; compiling: what the first training takes more."""

    seconds: float
    compiling: float
    accuracy: float


class Split(NamedTuple):
    """Images to train on and to score, in [0, 1], and their labels."""

    x: np.ndarray
    y: np.ndarray
    scored_x: np.ndarray
    scored_y: np.ndarray


def train(setting: Setting, data: Split, seed: int) -> Outcome:
    """One training from a fresh start."""
    run = train_em if setting.method == "em-tdamp" else train_adam
    return run(setting, data, seed)


def train_em(setting: Setting, data: Split, seed: int) -> Outcome:
    """`EMTDAMPClassifier` with its defaults; trained twice where that is what shows compiling."""
    spent = []
    model = EMTDAMPClassifier(
        HIDDEN, em_iters=setting.epochs, batch_size=setting.batch, random_state=seed
    )
    for _ in range(2 if seed == 0 else 1):
        began = time.perf_counter()
        model.fit(data.x, data.y)
        spent.append(time.perf_counter() - began)
    accuracy = float((model.predict(data.scored_x) == data.scored_y).mean())
    return Outcome(spent[-1], spent[0] - spent[-1] if seed == 0 else float("nan"), accuracy)


def train_adam(setting: Setting, data: Split, seed: int) -> Outcome:
    """`model.fit`; compiled by a minibatch after which all variables are as before."""
    keras.utils.set_random_seed(seed)
    steps = setting.epochs * -(-len(data.x) // setting.batch)
    rate = keras.optimizers.schedules.CosineDecay(setting.rate, steps)
    model = keras_model(data.x.shape[1], HIDDEN, rate)
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    start = [v.numpy() for v in variables]
    began = time.perf_counter()
    model.fit(data.x[: setting.batch], data.y[: setting.batch], setting.batch, verbose=0)
    compiling = time.perf_counter() - began
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    began = time.perf_counter()
    model.fit(data.x, data.y, setting.batch, setting.epochs, verbose=0)
    seconds = time.perf_counter() - began
    best = model.predict(data.scored_x, batch_size=1000, verbose=0).argmax(1)
    return Outcome(seconds, compiling, float((best == data.scored_y).mean()))


def search(candidates: Iterable[Setting], data: Split, target: float) -> tuple[Setting, float]:
    """The fastest that reaches `target` on the held-out images, and its accuracy there.

    Each candidate is tried with 1, 2, ... epochs until it reaches the target in the mean of
    `SEEDS` seeds or takes longer than one that did. Raises RuntimeError where none does.
    """
    reached: list[tuple[float, Setting, float]] = []
    for candidate in candidates:
        for epochs in range(1, MOST + 1):
            setting = candidate._replace(epochs=epochs)
            outcomes = [train(setting, data, seed) for seed in range(SEEDS)]
            accuracy = float(np.mean([each.accuracy for each in outcomes]))
            seconds = min(each.seconds for each in outcomes)
            if reached and seconds > min(reached)[0]:
                break
            if accuracy >= target:
                reached.append((seconds, setting, accuracy))
                break
    if not reached:
        raise RuntimeError(f"no setting reaches {target:.1%} on held-out images in {MOST} epochs")
    _, setting, accuracy = min(reached)
    return setting, accuracy


def candidates(method: str) -> list[Setting]:
    """EM-TDAMP has its defaults; Adam's best known rates, and batches that suit its speed."""
    if method == "em-tdamp":
        return [Setting(method, 1, 100, float("nan"))]
    return [Setting(method, 1, b, r) for b, r in product((100, 250, 500), (0.002, 0.005))]


def measure(seeds: int = 3, target: float = TARGET) -> list[dict[str, float | int | str]]:
    """A row a method: its setting, held-out accuracy, and medians over the seeds, in turns."""
    mnist = datasets.load_mnist()
    x, test_x = (
        datasets.scale_images(images).reshape(len(images), -1)
        for images in (mnist.x_train, mnist.x_test)
    )
    y = mnist.y_train
    search_on = Split(x[:-HELD_OUT], y[:-HELD_OUT], x[-HELD_OUT:], y[-HELD_OUT:])
    everything = Split(x, y, test_x, mnist.y_test)
    chosen = {m: search(candidates(m), search_on, target) for m in ("em-tdamp", "adam")}
    outcomes = {method: [] for method in chosen}
    for seed in range(seeds):
        for method, (setting, _) in chosen.items():
            outcomes[method].append(train(setting, everything, seed))
    rows = []
    for method, (setting, held_out) in chosen.items():
        seconds, compiling, accuracy = np.array(outcomes[method]).T
        rows.append(
            setting._asdict()
            | {
                "held_out": held_out,
                "accuracy": float(accuracy.mean()),
                "seconds": float(np.median(seconds)),
                "compiling": float(np.nanmedian(compiling)),
            }
        )
    return rows
