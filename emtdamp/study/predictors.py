"""Methods that say how sure they are, trained and brought to one form: draws of probabilities.

    found = predictors.train("deep ensemble", runs.mnist(10_000), seed=0)
    found.sampled(images)                       # (S, B, K) log probabilities

The tests of `uncertainty` ask for no more than that.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import log_softmax

from emtdamp.baselines import convolutional, mc_dropout
from emtdamp.errors import UsageError
from emtdamp.estimators.classifier import EMTDAMPClassifier
from emtdamp.study import contests, runs, uncertainty
from emtdamp.study.methods import METHODS, UNCERTAIN
from emtdamp.study.uncertainty import Entropies, Sampled

MEMBERS = 5  # of a deep ensemble
MEMBER = "adam, best"  # which method its members are trained by
CHUNK = 1_000  # rows at a time: of 50 draws all pairs of ten classes fill 20 MB


@dataclass(frozen=True)
class Predictor:
    """A trained method.

    sampled: the protocol. moments: its own prediction (B, K), where that is more than the mean of
    the draws. numbers: stored for a prediction. seconds: of training.
    """

    sampled: Sampled
    numbers: int
    seconds: float
    moments: Sampled | None = None

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, Entropies]:
        """The prediction (B, K) of rows x (B, I), and the entropies of the draws."""
        found = []
        for rows in np.array_split(x, max(1, len(x) // CHUNK)):
            log_p = self.sampled(rows)
            found.append((uncertainty.probabilities(log_p), *uncertainty.entropies(log_p)))
        p, *parts = (np.concatenate(part) for part in zip(*found, strict=True))
        return p if self.moments is None else self.moments(x), Entropies(*parts)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """The prediction (B, K) alone."""
        return self.predict(x)[0] if self.moments is None else self.moments(x)


def train(
    method: str,
    task: runs.Task,
    epochs: int = 10,
    kept: float = 100,
    samples: int = 50,
    seed: int = 0,
) -> Predictor:
    """Train a method on images and labels: a network 784-128-10, or a small convolutional one.

    Args:
        method: one of `METHODS` or `UNCERTAIN`.
        task: `runs.mnist`.
        epochs: passes over the images.
        kept: percentage of hidden neurons to leave; other than 100 for methods of `METHODS` only.
        samples: draws of a posterior's weights, or of dropout; an ensemble has `MEMBERS`, a single
            network is its own and only one.
        seed: of all that is random.

    Raises:
        UsageError: the method is unknown, or does not prune.
    """
    if method not in METHODS | UNCERTAIN:
        raise UsageError(f"method={method!r}; give one of {', '.join(METHODS | UNCERTAIN)}")
    if method in UNCERTAIN and kept != 100:
        raise UsageError(f"kept={kept!r}: {method} prunes nothing; give 100")
    began = time.perf_counter()
    if method == "mc dropout":
        settings = mc_dropout.DropoutSettings(epochs=epochs, seed=seed)
        model = mc_dropout.train_dropout(settings, task.x, task.y)
        return Predictor(
            lambda x: mc_dropout.sampled(model, x, samples, seed),
            model.count_params(),
            time.perf_counter() - began,
        )
    if method == "deep ensemble":
        members = [train(MEMBER, task, epochs, seed=seed + 1000 * k) for k in range(MEMBERS)]
        return Predictor(
            lambda x: np.concatenate([member.sampled(x) for member in members]),
            sum(member.numbers for member in members),
            time.perf_counter() - began,
        )
    if method.endswith("convolutional"):
        return _convolutional(method.startswith("bayesian"), task, epochs, samples, seed)
    return _of(contests.model(method, task, epochs, kept, seed=seed), task, samples, seed)


def _convolutional(
    bayesian: bool, task: runs.Task, epochs: int, samples: int, seed: int
) -> Predictor:
    began = time.perf_counter()
    best = convolutional.BAYESIAN if bayesian else convolutional.POINT
    settings = replace(best, epochs=epochs, seed=seed)
    model = convolutional.train(settings, _pictures(task.x), task.y)
    return Predictor(
        lambda x: convolutional.sampled(model, _pictures(x), samples, seed),
        sum(int(np.prod(weights.shape)) for weights in model.trainable_variables),
        time.perf_counter() - began,
    )


def _pictures(x: np.ndarray) -> np.ndarray:
    """Rows (B, 784) as images (B, 28, 28)."""
    return x.reshape(-1, 28, 28)


def _of(model: contests.Model, task: runs.Task, samples: int, seed: int) -> Predictor:
    """Of an estimator: a posterior is drawn from, a network without variances is itself."""
    began = time.perf_counter()
    model.fit(task.x, task.y)
    seconds = time.perf_counter() - began
    if isinstance(model, EMTDAMPClassifier):
        posterior = model.posterior_.prune()
        return Predictor(
            lambda x: probit(posterior.sample(x, samples, seed), posterior.noise),
            2 * posterior.parameters,
            seconds,
            lambda x: np.exp(posterior.log_probabilities(x)),
        )
    network = model.network_.prune()  # pyright: ignore[reportAttributeAccessIssue]
    wide = any(var.any() for var in network.var)
    draws = samples if wide else 1
    return Predictor(
        lambda x: log_softmax(network.sample(x, draws, seed), axis=-1),
        (1 + wide) * network.parameters,
        seconds,
    )


def probit(z: np.ndarray, noise: float) -> np.ndarray:
    """(..., K) log p(class | z) of EM-TDAMP's output factor where the outputs z (..., K) are known.

    p(k | z) ∝ prod_{m != k} Phi((z_k - z_m)/sqrt(v)), without the quadrature that uncertain
    outputs need.
    """
    return _probit(tf.constant(z), tf.constant(noise, z.dtype)).numpy()


@tf.function(jit_compile=True)
def _probit(z: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    apart = (z[..., :, None] - z[..., None, :]) / tf.sqrt(noise)
    normal = tfp.distributions.Normal(tf.constant(0.0, z.dtype), tf.constant(1.0, z.dtype))
    log_p = tf.reduce_sum(normal.log_cdf(apart), axis=-1)  # Phi(0) of k = m is in all alike
    return log_p - tf.reduce_logsumexp(log_p, axis=-1, keepdims=True)
