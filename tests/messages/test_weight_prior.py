"""Single weights as groups: which stay, and with which moments, by hand."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from emtdamp.errors import UsageError
from emtdamp.messages.gaussian import Gaussian
from emtdamp.messages.weight_prior import WeightPrior

SHAPES = ((3, 2), (1, 4), (3, 1))
SLABS = [0.5, 1.0, 2.0]


def sent(seed=0):
    rng = np.random.default_rng(seed)
    return [
        Gaussian(
            tf.constant(rng.uniform(0.5, 3, shape), tf.float32),
            tf.constant(rng.normal(0, 3, shape), tf.float32),
        )
        for shape in SHAPES
    ]


@pytest.mark.parametrize("keep", [1, 5, 13])
def test_the_weights_of_largest_ratio_stay_and_have_their_posterior(keep):
    prior, messages = WeightPrior(SHAPES), sent()
    _, back, info = prior.step(prior.init(SLABS), messages, [keep])
    active = prior.active(info.log_odds[0].numpy())
    assert prior.groups(SHAPES) == [13] and sum(on.sum() for on in active) == keep
    ratios, left = [], []
    for on, message, answer, slab in zip(active, messages, back, SLABS, strict=True):
        precision, shift = (part.numpy().astype(float) for part in message)
        ratios.append(np.abs(shift) / np.sqrt(precision + 1 / slab))
        left.append(on)
        total = precision + answer.precision.numpy()
        mean = (shift + answer.shift.numpy()) / total
        assert answer.precision.dtype == tf.float32
        assert_allclose(mean[on], (shift / (precision + 1 / slab))[on], rtol=1e-5)
        assert_allclose(total[on], (precision + 1 / slab)[on], rtol=1e-5)
        assert_allclose(mean[~on], 0, atol=1e-5)
        assert (total[~on] > 1e7).all()
    ratios, left = (np.concatenate([a.ravel() for a in part]) for part in (ratios, left))
    assert keep == 13 or ratios[left].min() > ratios[~left].max()


def test_a_weight_without_evidence_goes_first():
    prior, messages = WeightPrior(SHAPES), sent()
    messages[1] = Gaussian(0 * messages[1].precision, messages[1].shift)
    _, _, info = prior.step(prior.init(SLABS), messages, [13])
    assert [int(on.sum()) for on in prior.active(info.log_odds[0].numpy())] == [6, 0, 3]


def test_slabs_are_one_a_layer_and_above_zero():
    for wrong in ([1.0, 1.0], [1.0, 0.0, 1.0]):
        with pytest.raises(UsageError, match="give a variance above 0 for each of 3 layers"):
            WeightPrior(SHAPES).init(wrong)
