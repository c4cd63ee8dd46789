"""One epoch of fitting, four ways: EM-TDAMP, Keras Adam, Adam in one XLA loop, products alone.

Each function takes (rows, inputs) data, sets a network of ReLU layers up and returns a `Run` of one
more epoch.
"""

import time
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

from benchmarks.timing import Run, clocked
from emtdamp import EMTDAMPClassifier, datasets
from emtdamp.training import fitting, recipes, starts
from emtdamp.training.em import Progress, shuffled

CLASSES = 10
EPOCHS = 100  # of the fit whose first epochs are timed


class Images:
    """The first `rows` of MNIST's training images, in [0, 1]."""

    def __init__(self, rows: int = 10_000):
        mnist = datasets.load_mnist()
        self.x = datasets.scale_images(mnist.x_train[:rows]).reshape(rows, -1)
        self.y = mnist.y_train[:rows].astype(np.int32)


def em_epochs(
    data: Images, hidden: tuple[int, ...], batch: int, **settings
) -> tuple[fitting.Epochs, Progress]:
    """The compiled epochs as `fitting.train` calls them, and where they start; half is pruned."""
    model = EMTDAMPClassifier(hidden, batch_size=batch, em_iters=EPOCHS, sparsity=0.5, **settings)
    rows, inputs = data.x.shape
    given = fitting.Data(data.x - data.x.mean(0), data.y, np.ones(rows))
    recipe = recipes.make(model.get_params(), given, CLASSES, 1.0)
    return fitting.prepare(given, recipe, starts.start(recipe, inputs, seed=0))


def em(data: Images, hidden: tuple[int, ...], batch: int, **settings) -> Run:
    """An EM iteration: shuffle, module A on all minibatches, exchanges with module B, M-steps."""
    return repeated(*em_epochs(data, hidden, batch, **settings))


def repeated(epochs: fitting.Epochs, progress: Progress) -> Run:
    """Each run is the next epoch."""

    def run() -> None:
        nonlocal progress
        progress, *_ = epochs(progress, [(0, int(progress.k))])

    return clocked(run)


class _Epochs(keras.callbacks.Callback):
    """Seconds of each epoch of a fit."""

    def on_train_begin(self, logs=None):
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.began)


def keras_model(inputs: int, hidden: tuple[int, ...], rate) -> keras.Model:
    """The same network with a softmax, compiled for Adam on the cross entropy, by XLA."""
    model = keras.Sequential([keras.Input((inputs,))])
    for neurons in hidden:
        model.add(keras.layers.Dense(neurons, "relu"))
    model.add(keras.layers.Dense(CLASSES, "softmax"))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=True)
    return model


def keras_adam(data: Images, hidden: tuple[int, ...], batch: int) -> Run:
    """An epoch of `model.fit`, the second of two: the first pays for setting the data up."""
    model = keras_model(data.x.shape[1], hidden, 0.001)
    clock = _Epochs()

    def epoch() -> float:
        model.fit(data.x, data.y, batch, epochs=2, verbose=0, callbacks=[clock])
        return clock.seconds[-1]

    return epoch


def _layers(inputs: int, hidden: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(n + 1, j) for n, j in pairwise((inputs, *hidden, CLASSES))]


def _with_bias(x: np.ndarray) -> tf.Tensor:
    return tf.constant(np.pad(x, [(0, 0), (0, 1)], constant_values=1.0))


def xla_adam(data: Images, hidden: tuple[int, ...], batch: int) -> Run:
    """Adam's arithmetic alone: a compiled call an epoch, shuffled as EM-TDAMP shuffles.

    Forward, backward and updates are written out, so that no tape is in the way.
    """
    rng = np.random.default_rng(0)
    shapes = _layers(data.x.shape[1], hidden)
    start = [tf.constant(rng.normal(size=s) * (2 / s[0]) ** 0.5, tf.float32) for s in shapes]
    zeros = [tf.zeros(s) for s in shapes]
    x, y = _with_bias(data.x), tf.constant(data.y)
    rows, every = len(data.x), np.ones(len(data.x))

    def gradients(weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        xs = [x]
        for w in weights[:-1]:
            xs.append(tf.pad(tf.nn.relu(xs[-1] @ w), [[0, 0], [0, 1]], constant_values=1.0))
        g = (tf.nn.softmax(xs[-1] @ weights[-1]) - tf.one_hot(y, CLASSES)) / batch
        found = []
        for number in reversed(range(len(weights))):
            found.append(tf.matmul(xs[number], g, transpose_a=True))
            if number > 0:
                back = tf.matmul(g, weights[number][:-1], transpose_b=True)
                g = tf.where(xs[number][:, :-1] > 0, back, tf.zeros_like(back))
        return found[::-1]

    @tf.function(jit_compile=True)
    def epoch(state, x, y, order):
        weights, first, second, k = state
        for i in tf.range(rows // batch):
            index = order[i]
            found = gradients(weights, tf.gather(x, index), tf.gather(y, index))
            k += 1.0
            first = [0.9 * a + 0.1 * g for a, g in zip(first, found, strict=True)]
            second = [0.999 * b + 0.001 * g * g for b, g in zip(second, found, strict=True)]
            rate = 0.001 * tf.sqrt(1.0 - 0.999**k) / (1.0 - 0.9**k)
            weights = [
                w - rate * a / (tf.sqrt(b) + 1e-7)
                for w, a, b in zip(weights, first, second, strict=True)
            ]
        return weights, first, second, k

    state = start, zeros, zeros, tf.zeros([])

    def work() -> None:
        nonlocal state
        order = shuffled(every, batch, (0, int(state[-1])))
        state = epoch(state, x, y, tf.constant(order))
        state[-1].numpy()

    return clocked(work)


def products(data: Images, hidden: tuple[int, ...], batch: int) -> Run:
    """The matrix products of an EM iteration and nothing else, at their shapes, in one XLA loop.

    4 for the first layer, whose inputs are known (2 forward, 2 for its weights' messages), 9 for
    each other (3 forward, 3 for the weights', 3 for the inputs'), see `emtdamp.messages.layers`.
    Each goes into the next minibatch's arrays, so that none is left out; all values are 0, which
    takes as long.
    """
    rows = len(data.x)
    x = tf.reshape(tf.zeros([rows, data.x.shape[1] + 1]), [rows // batch, batch, -1])
    shapes = _layers(data.x.shape[1], hidden)

    def three(*shape: int) -> tuple[tf.Tensor, ...]:
        return tuple(tf.zeros(shape) for _ in range(3))

    def each(product, ones, others) -> list[tuple[tf.Tensor, ...]]:
        """`product` of every layer's pairs: two in the first layer, three in the others."""
        return [
            tuple(product(a, b) for a, b in zip(one, other, strict=True))
            for one, other in zip(ones, others, strict=True)
        ]

    @tf.function(jit_compile=True)
    def epoch(x, weights, above):
        for i in tf.range(rows // batch):
            inputs = [(x[i], x[i]), *above]
            outputs = each(tf.matmul, inputs, weights)
            above = each(lambda g, w: tf.matmul(g, w, transpose_b=True), outputs[1:], weights[1:])
            weights = each(lambda a, g: tf.matmul(a, g, transpose_a=True), inputs, outputs)
        return weights, above

    weights = [three(*shape) for shape in shapes]
    weights[0] = weights[0][:2]
    above = [three(batch, n) for n, _ in shapes[1:]]
    return clocked(lambda: epoch(x, weights, above)[0][0][0].numpy())
