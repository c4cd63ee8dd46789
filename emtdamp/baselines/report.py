"""The report's simplified algorithm: what the course report's program computes, defects included.

The program is called EM-TDAMP there, yet no message is passed and no posterior inferred: each step
draws weights around their means with a variance that shrinks on a fixed schedule, and moves the
means by a rule that comes out of re-creating Adam's variables at every step. Every known defect is
reproduced by default; `ReportSettings` has a field to repair each.

Shapes: B minibatch, I inputs (784), J hidden neurons, K classes (10).
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from emtdamp import datasets, metrics
from emtdamp.baselines.report_settings import ReportSettings
from emtdamp.errors import EmtdampError, UsageError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Adam's constants in the program's Keras version
CLASSES = 10


class Data(NamedTuple):
    """A pipeline of minibatches to train on, and two labelled sets of images to look at."""

    train: tf.data.Dataset  # of images (B, I) in [0, 1] and one-hot labels (B, K)
    test: tuple[np.ndarray, np.ndarray]  # (10000, I), (10000,)
    stopping: tuple[np.ndarray, np.ndarray]


def load_data(train_size: int, settings: ReportSettings) -> "Data":
    """First `train_size` training images and all test images, scaled to [0, 1] and flattened.

    Args:
        train_size: 1 to 60,000; the report takes 10,000.
        settings: `batch_size`, `seed` and `stopping_data` matter here.

    Returns:
        Data; `train` is shuffled anew at each pass and batched.

    Raises:
        UsageError: `train_size` is out of range.
        DataError: the data file is missing or altered.
    """
    x, y, test = _scaled_mnist(train_size)
    stopping = test
    if settings.stopping_data == "held-out":
        kept = train_size - max(1, train_size // 10)
        if kept == 0:
            raise UsageError(
                f"train_size: {train_size} leaves none to train on when a tenth is held out; 2 does"
            )
        x, y, stopping = x[:kept], y[:kept], (x[kept:], y[kept:])
    train = datasets.batches(x, datasets.one_hot(y), settings.batch_size, seed=settings.seed)
    return Data(train, test, stopping)


@functools.lru_cache(maxsize=1)  # reading and checking the file takes a tenth of a run's time
def _scaled_mnist(train_size: int):
    mnist = datasets.report_split(datasets.load_mnist(), train_size)
    test = datasets.scale_images(mnist.x_test), mnist.y_test
    arrays = datasets.scale_images(mnist.x_train), mnist.y_train.copy(), test
    for array in (*arrays[:2], *test):
        array.flags.writeable = False
    return arrays


def build_model(hidden: int, seed: int = 0) -> keras.Model:
    """The report's network: I inputs, `hidden` ReLU neurons, K linear outputs; Glorot weights."""
    seeds = np.random.SeedSequence(seed).generate_state(2).tolist()
    inputs = keras.Input((784,))
    first, second = (keras.initializers.GlorotUniform(seed=s) for s in seeds)
    x = keras.layers.Dense(hidden, "relu", name="hidden", kernel_initializer=first)(inputs)
    outputs = keras.layers.Dense(CLASSES, name="outputs", kernel_initializer=second)(x)
    return keras.Model(inputs, outputs)


def log_likelihood(
    logits: tf.Tensor, labels: tf.Tensor, noise_variance: Any, stable: bool = False
) -> tf.Tensor:
    """Log of the probit product, sum over m != y of log Phi((z_y - z_m) / sqrt v), an image each.

    Args:
        logits: z, (B, K).
        labels: one-hot, (B, K).
        noise_variance: v > 0.
        stable: log Phi itself instead of the program's log(Phi + 1e-10).

    Returns:
        (B,), at most 0.
    """
    own = tf.reduce_sum(logits * labels, axis=1, keepdims=True)
    margin = (own - logits) / tf.sqrt(tf.cast(noise_variance, logits.dtype))
    if stable:
        logs = log_ndtr(margin)
    else:
        logs = tf.math.log(0.5 * tf.math.erfc(-margin / np.sqrt(2)) + 1e-10)
    return tf.reduce_sum(tf.where(labels > 0, 0.0, logs), axis=1)


def log_ndtr(x: tf.Tensor) -> tf.Tensor:
    """Log of the standard normal distribution function."""
    import tensorflow_probability as tfp  # slow to import, and only repaired forms come here

    return tfp.distributions.Normal(np.float32(0), np.float32(1)).log_cdf(x)


class State(NamedTuple):
    """What the next step needs. The four weights: kernel (I, J), bias (J,), (J, K), (K,)."""

    means: tuple[tf.Tensor, ...]
    previous_means: tuple[tf.Tensor, ...]  # at the end of the last iteration
    variance: tf.Tensor  # one number: it is the same for all weights and all data
    noise_variance: tf.Tensor  # v of the likelihood
    rho: tf.Tensor  # (J,), 0 where inactive
    steps: tf.Tensor  # done so far
    moments: tuple[tuple[tf.Tensor, tf.Tensor], ...]  # Adam's; used only when they persist


def init(model: keras.Model) -> State:
    """Before the first step: the network's initial weights, variance 0.1, v = 1, rho = 0.5."""
    means = tuple(tf.convert_to_tensor(w) for w in model.get_weights())
    return State(
        means=means,
        previous_means=means,
        variance=tf.constant(0.1),
        noise_variance=tf.constant(1.0),
        rho=tf.fill((means[0].shape[1],), 0.5),
        steps=tf.constant(0),
        moments=tuple((tf.zeros_like(w), tf.zeros_like(w)) for w in means),
    )


def fresh_adam_step(gradient: tf.Tensor, count: tf.Tensor, learning_rate: float) -> tf.Tensor:
    """What Adam subtracts from a variable it has never seen, when its step counter is at `count`.

    With both moments at zero before the step, m = (1 - b1) g and s = (1 - b2) g^2, so the step
    r sqrt(1 - b2^t)/(1 - b1^t) * m / (sqrt(s) + epsilon) keeps only the sign of g unless |g| is
    below about epsilon / sqrt(1 - b2) = 3e-6: sign descent, with no momentum, at a rate that goes
    from r at t = 1 down to 0.48 r at t = 12 and then up towards 3.16 r.

    Args:
        gradient: g, any shape.
        count: t >= 1. The program's counter advances at each of the four weights of a step.
        learning_rate: r.

    Returns:
        The amount to subtract, shaped as the gradient.
    """
    t = tf.cast(count, tf.float32)
    rate = learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    return rate * (1 - BETA_1) * gradient / (tf.sqrt(1 - BETA_2) * tf.abs(gradient) + EPSILON)


def adam_step(gradient, moments, count, learning_rate):
    """Adam as it is meant: (amount to subtract, moments), the moments kept, one count a step."""
    t = tf.cast(count, tf.float32)
    first = BETA_1 * moments[0] + (1 - BETA_1) * gradient
    second = BETA_2 * moments[1] + (1 - BETA_2) * gradient**2
    rate = learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
    return rate * first / (tf.sqrt(second) + EPSILON), (first, second)


def prune(weights, active):
    """The four weights with everything into and out of inactive neurons zero."""
    mask = tf.cast(active, tf.float32)
    kernel, bias, outputs, outputs_bias = weights
    return kernel * mask, bias * mask, outputs * mask[:, None], outputs_bias


def module_a(state: State, x, y, model: keras.Model, settings: ReportSettings):
    """The program's "DAMP": one step of its rule from the gradient at randomly drawn weights.

    The drawn weights are means + sqrt(variance) * noise. The variance shrinks by 0.95 a step
    whatever the data say; nothing else becomes of it.

    Returns:
        (state after the step, loss at the drawn weights).
    """
    seeds = [(settings.seed, 4 * state.steps + i) for i in range(4)]
    drawn = [
        mean + tf.sqrt(state.variance) * tf.random.stateless_normal(mean.shape, seed)
        for mean, seed in zip(state.means, seeds, strict=True)
    ]
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        used = prune(drawn, state.rho > 0) if settings.apply_pruning else drawn
        logits = model.stateless_call(used, [], x)[0]
        fit = log_likelihood(logits, y, state.noise_variance, settings.stable_likelihood)
        loss = -tf.reduce_mean(fit)
    gradients = tape.gradient(loss, drawn)
    means, moments = [], []
    for i, (mean, gradient) in enumerate(zip(state.means, gradients, strict=True)):
        if settings.persistent_adam_moments:
            step, kept = adam_step(
                gradient, state.moments[i], state.steps + 1, settings.learning_rate
            )
        else:
            count = 4 * state.steps + i + 1
            step, kept = fresh_adam_step(gradient, count, settings.learning_rate), state.moments[i]
        means.append(mean - step)
        moments.append(kept)
    state = state._replace(
        means=tuple(means),
        moments=tuple(moments),
        variance=0.95 * state.variance,
        steps=state.steps + 1,
    )
    return state, loss


def module_b(state: State, settings: ReportSettings) -> State:
    """The program's "SPMP": rho = sigmoid(10 mean |w|) over a neuron's incoming weights.

    It is at least 0.5, since the mean of absolute values is not negative. The program also scales
    the means and variances by 0.99 into "extrinsic messages", which nothing ever reads.
    """
    rho = tf.sigmoid(10 * tf.reduce_mean(tf.abs(state.means[0]), axis=0))
    if settings.permanent_pruning:
        rho = tf.where(state.rho > 0, rho, 0.0)
    return state._replace(rho=rho)


def end_of_iteration(state: State, settings: ReportSettings) -> State:
    """The program's "M-step": rho below its percentile becomes 0, and v shrinks by one per cent."""
    keep = settings.sparsity if settings.target_direction == "kept" else 1 - settings.sparsity
    threshold = np.percentile(state.rho.numpy(), 100 * (1 - keep))
    rho = tf.where(state.rho > tf.cast(threshold, tf.float32), state.rho, 0.0)
    return state._replace(
        rho=rho,
        noise_variance=tf.maximum(0.99 * state.noise_variance, 1e-6),
        previous_means=state.means,
    )


def probabilities(logits: tf.Tensor, noise_variance: Any, kind: str) -> np.ndarray:
    """Class probabilities (N, K): a "softmax" of the logits, or the normalised "probit" product."""
    if kind == "probit":
        labels = tf.eye(CLASSES)
        scores = [log_likelihood(logits, row[None], noise_variance, True) for row in labels]
        logits = tf.stack(scores, axis=1)
    return tf.nn.softmax(tf.cast(logits, tf.float64)).numpy()


def accuracy(model: keras.Model, weights, images: np.ndarray, labels: np.ndarray) -> float:
    """Fraction of images whose largest logit under these four weights is that of the label."""
    logits = model.stateless_call(list(weights), [], images)[0]
    return float((tf.argmax(logits, axis=1).numpy() == labels).mean())


def evaluate(state: State, model: keras.Model, data: Data, settings: ReportSettings) -> dict:
    """Every score on the test images, with the posterior means as weights.

    Returns:
        The scores of :func:`emtdamp.metrics.classification_scores`, `pruned_accuracy` (inactive
        neurons really zero), `stopping_accuracy`, `probabilities` and `confusion_matrix`.
    """
    images, labels = data.test
    pruned = prune(state.means, state.rho > 0)
    used = pruned if settings.apply_pruning else state.means
    logits = model.stateless_call(list(used), [], images)[0]
    p = probabilities(logits, state.noise_variance, settings.probabilities)
    scores = metrics.classification_scores(labels, p)
    stopping = scores["accuracy"]
    if settings.stopping_data != "test":
        stopping = accuracy(model, used, *data.stopping)
    return scores | {
        "pruned_accuracy": accuracy(model, pruned, images, labels),
        "stopping_accuracy": stopping,
        "probabilities": p,
        "confusion_matrix": confusion_matrix(labels, p.argmax(axis=1), labels=range(CLASSES)),
    }


class Result(NamedTuple):
    """A finished run."""

    settings: ReportSettings
    history: pd.DataFrame  # a row an EM iteration: the report's columns, then ours
    metrics: dict[str, Any]  # of the last iteration
    confusion_matrix: np.ndarray  # (K, K), rows are labels; see `confusion_matrix_of`
    probabilities: np.ndarray  # (10000, K) of the test images, last iteration
    model: keras.Model  # with the last means; inactive neurons zero only under `apply_pruning`
    rho: np.ndarray  # (J,)


def train(
    settings: ReportSettings,
    train_size: int = 10_000,
    callback: Callable[[dict[str, float]], None] = lambda row: None,
) -> Result:
    """Run the report's program.

    Args:
        settings: what to run.
        train_size: how many of the 60,000 training images, from the first on.
        callback: called with the history's row after each iteration.

    Returns:
        Result of the last iteration, stopped early or not.

    Raises:
        UsageError: `train_size` is out of range.
        EmtdampError: the loss is no longer finite.

    >>> result = train(ReportSettings(em_iters=1, hidden=8), train_size=200)
    >>> result.metrics["active_neurons"], result.metrics["hidden_neurons"]
    (4, 8)
    """
    data = load_data(train_size, settings)
    model = build_model(settings.hidden, settings.seed)
    state = init(model)

    @tf.function  # one call an iteration; not XLA, whose random normals are eight times slower
    def iterate(state, batches):
        losses = tf.TensorArray(tf.float32, size=0, dynamic_size=True, element_shape=(2,))
        for x, y in batches:
            state, drawn_loss = module_a(state, x, y, model, settings)
            state = module_b(state, settings)
            current = settings.training_loss_weights == "current"
            weights = state.means if current else state.previous_means
            logits = model.stateless_call(weights, [], x)[0]
            fit = log_likelihood(logits, y, state.noise_variance, settings.stable_likelihood)
            losses = losses.write(losses.size(), tf.stack([drawn_loss, -tf.reduce_mean(fit)]))
        return state, losses.stack()

    iterate = iterate.get_concrete_function(state, data.train)
    rows, best, waited, final_matrix, scores = [], -np.inf, 0, np.empty(0), {}
    for iteration in range(1, settings.em_iters + 1):
        start = time.perf_counter()
        state, pairs = iterate(state, data.train)
        drawn_losses, losses = pairs.numpy().T
        state = end_of_iteration(state, settings)
        seconds = time.perf_counter() - start
        if not np.isfinite(losses).all():
            raise EmtdampError(
                f"iteration {iteration}: the loss is {losses[-1]}; try a smaller learning_rate "
                f"than {settings.learning_rate}"
            )
        scores = evaluate(state, model, data, settings)
        active = int((state.rho > 0).numpy().sum())
        rows.append(
            {
                "val_accuracy": scores["accuracy"],
                "val_precision": scores["precision_macro"],
                "val_recall": scores["recall_macro"],
                "val_f1": scores["f1_macro"],
                "sparsity": 1 - active / settings.hidden,
                "active_neurons": active,
                "avg_entropy": scores["predictive_entropy"],
                "loss": float(np.mean(losses)),
                "first_batch_loss": float(drawn_losses[0]),
                "pruned_accuracy": scores["pruned_accuracy"],
                "seconds": seconds,
            }
        )
        callback(rows[-1])
        if scores["stopping_accuracy"] > best + settings.min_delta:
            best, waited, final_matrix = scores["stopping_accuracy"], 0, scores["confusion_matrix"]
        else:
            waited += 1
            if settings.patience and waited >= settings.patience:
                break

    history = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="iteration"))
    model.set_weights(prune(state.means, state.rho > 0) if settings.apply_pruning else state.means)
    if settings.confusion_matrix_of == "last":
        final_matrix = scores["confusion_matrix"]
    last = rows[-1]
    return Result(
        settings=settings,
        history=history,
        metrics={
            "algorithm": "report",
            "seed": settings.seed,
            "train_size": train_size,
            "em_iters_run": len(rows),
            **{f"test_{name}": scores[name] for name in ("accuracy", "nll", "brier", "ece")},
            **{name: scores[name] for name in ("precision_macro", "recall_macro", "f1_macro")},
            "training_loss": last["loss"],
            "predictive_entropy": scores["predictive_entropy"],
            "hidden_neurons": settings.hidden,
            "active_neurons": last["active_neurons"],
            "sparsity": last["sparsity"],
            "pruned_test_accuracy": last["pruned_accuracy"],
            "noise_variance": float(state.noise_variance),
            "seconds": sum(row["seconds"] for row in rows),
        },
        confusion_matrix=final_matrix,
        probabilities=scores["probabilities"],
        model=model,
        rho=state.rho.numpy(),
    )
