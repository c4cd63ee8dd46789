"""Where a fit starts: anew, at a posterior, or in the middle; at rest NumPy, else tensors."""

from itertools import pairwise

import numpy as np
import tensorflow as tf

from emtdamp.messages.damp import Layer, State
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.prior import GIVEN, PriorState
from emtdamp.training.em import Progress
from emtdamp.training.recipe import Recipe


def start(recipe: Recipe, inputs: int, seed: int) -> Progress:
    """The state that a fit starts from, at rest: messages of precision fan_in/3 and means
    m ~ N(0, 2/fan_in) (He), of biases 0.

    The message to the weights, not their prior N(0, slab/fan_in), carries m: it breaks the symmetry
    between neurons and is forgotten as data come in. Its precision is not the least that would do,
    because the slab's M-step would follow a message that only pulls, without end.
    """
    rng = np.random.default_rng(seed)
    sizes = [inputs, *recipe.hidden, recipe.outputs]
    means = [rng.normal(size=(n + 1, j)) * np.sqrt(2 / n) for n, j in pairwise(sizes)]
    for mean in means:
        mean[-1] = 0.0
    precisions, priors = [n / 3 for n in sizes[:-1]], [n / recipe.slab for n in sizes[:-1]]
    state = recipe.form.init(means, precisions, priors, recipe.noise, recipe.schedule)
    zero, one = np.zeros([]), np.ones([])
    average = tuple(layer.mean for layer in state.layers)
    prior = recipe.module.init(recipe.slabs(inputs), (inputs, *recipe.hidden))
    return Progress(state, average, tf.nest.map_structure(at_rest, prior), zero, one)


def settle(progress: Progress) -> Progress:
    """The posterior as what more data come on top of: width 1, averages the means.

    Its precision width * Lam is that of width * count minibatches, and counted as that:
    were only one of the two multiplied, the next step's width Ne/count would do it again.
    """
    state, width = progress.state, progress.width
    layers = tuple(
        Layer(mean, width * layer.precision, 0 * layer.velocity, layer.prior)
        for layer, mean in zip(state.layers, progress.average, strict=True)
    )
    state = State(layers, state.noise, width * state.count)
    return progress._replace(state=state, width=np.ones_like(width))


def restart(progress: Progress) -> Progress:
    """The posterior as the start of another fit: steps from 0, all groups there to choose from.

    Rates and slabs that EM has learnt are kept.
    """
    settled = settle(progress)
    return settled._replace(k=0 * settled.k, prior=settled.prior._replace(left=()))


def hidden(progress: Progress) -> tuple[int, ...]:
    """Neurons of each hidden layer."""
    return tuple(layer.mean.shape[1] for layer in progress.state.layers[:-1])


def at_rest(tensor: tf.Tensor) -> np.ndarray:
    return tensor.numpy()


def take_up(progress: Progress, recipe: Recipe, inputs: int, width: int, dtype: type) -> Progress:
    """The tensors of a progress at rest, for data of `width` columns of which `inputs` are real.

    What was padded otherwise is padded anew, which no real weight notices; module B has the
    recipe's slabs where it does not learn them, and starts where its rules are others, or more
    groups are to stay than are left.
    """
    state = progress.state
    if state.layers[0].mean.shape[0] != width + 1:

        def padded(rows: np.ndarray, fill: float = 0.0) -> np.ndarray:
            more = [-1] * (width - inputs)
            return np.insert(without_padding(rows, inputs), more, fill, axis=0)

        mean, precision, velocity, (sharp, shift) = state.layers[0]
        prior = Gaussian(padded(sharp, float(sharp[-1, 0])), padded(shift))
        layer = Layer(padded(mean), padded(precision), padded(velocity), prior)
        state = state._replace(layers=(layer, *state.layers[1:]))
        progress = progress._replace(average=(padded(progress.average[0]), *progress.average[1:]))
    fresh = recipe.module.init(recipe.slabs(inputs), (width, *recipe.hidden))
    old = tf.nest.map_structure(tf.constant, progress.prior)
    left = fresh.left
    if len(old.left) == len(fresh.left):
        left = tuple(
            _like(old.left[u], everyone, inputs)
            if recipe.rules[u] in GIVEN and old.left[u].numpy().sum() >= recipe.keep[u]
            else everyone
            for u, everyone in enumerate(fresh.left)
        )
    prior = PriorState(
        old.slab if recipe.learn_slab else fresh.slab,
        tuple(_like(*pair, inputs) for pair in zip(old.logit_rho, fresh.logit_rho, strict=True)),
        left,
    )
    state, average, k, kap = tf.nest.map_structure(
        lambda value: tf.constant(value, dtype),
        (state, progress.average, progress.k, progress.width),
    )
    return Progress(state, average, prior, k, kap)


def _like(old: tf.Tensor, fresh: tf.Tensor, inputs: int) -> tf.Tensor:
    """What is said of each group, padded as `fresh` is; `fresh` itself where groups had no own."""
    if old.shape == fresh.shape:
        return old
    if not (len(old.shape) == len(fresh.shape) == 1):
        return fresh
    return tf.concat([old[:inputs], fresh[inputs:]], 0)


def without_padding(value: np.ndarray, rows: int) -> np.ndarray:
    return np.concatenate([value[:rows], value[-1:]])
