"""Fits that lose single weights: how many are left, what is refused, a stack of layers."""

import numpy as np
import pytest

from emtdamp.errors import UsageError
from emtdamp.messages.activations import relu
from emtdamp.messages.damp import Network
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.training import single_weights
from emtdamp.training.single_weights import Settings

NETWORK = Network(relu, ProbitProduct())
SHAPES = ((5, 4), (5, 2))


def rows():
    """Of four inputs, the first decides."""
    x = np.pad(np.random.default_rng(0).normal(size=(50, 4)), [(0, 0), (0, 1)], constant_values=1.0)
    return x, (x[:, 0] > 0).astype(np.int32)


@pytest.mark.slow
def test_a_stack_of_layers_keeps_the_input_that_decides():
    x, y = rows()
    fitted = single_weights.train(NETWORK, SHAPES, x, y, 6, Settings(epochs=60))
    assert fitted.parameters == 6
    assert (fitted.log_probabilities(x).argmax(1) == y).mean() > 0.95
    assert fitted.mean[0][0].any() and not fitted.mean[0][1:4].any()


def test_wrong_data_and_settings_are_refused():
    x, y = rows()
    good = (NETWORK, SHAPES, x, y, 6, Settings())
    for place, wrong, text in [
        (0, Network(relu, GaussianNoise()), "give ProbitProduct"),
        (2, x[:, 1:], "x has shape"),
        (2, x[1:], "x has shape"),
        (2, np.full_like(x, np.nan), "x contains NaN or infinity"),
        (3, y + 1, "give integers from 0 to 1"),
        (3, y.astype(float), "give integers from 0 to 1"),
        (3, 0 * y, "y has one class only, 0; give 2 classes"),
        (4, 0, "keep=0; give a number of weights from 1 to 30"),
        (4, 31, "keep=31"),
        (5, Settings(slab=0.0), "slab=0.0"),
        (5, Settings(epochs=0), "epochs=0"),
        (5, Settings(epochs=2.5), "epochs=2.5"),  # pyright: ignore
        (5, Settings(inflation=np.nan), "inflation=nan"),
        (4, 6.5, "keep=6.5"),
        (3, [*y, 1], "x has shape"),
    ]:
        with pytest.raises(UsageError, match=text):
            single_weights.train(*(wrong if n == place else part for n, part in enumerate(good)))
