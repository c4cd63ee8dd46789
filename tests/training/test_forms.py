"""One protocol for both forms of the step."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from emtdamp.messages.activations import relu
from emtdamp.messages.damp import Batch, Info, Network, Rates, State
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.training.forms import Decoupled, Form, Schedule, Window

NETWORK = Network(relu, GaussianNoise())
SIZES = [3, 5, 1]


def started(form: Form) -> State:
    rng = np.random.default_rng(0)
    means = [rng.normal(size=(n + 1, j)) for n, j in pairwise(SIZES)]
    state = form.init(means, [1.0, 2.0], [3.0, 4.0], 0.5, Schedule(total=100.0))
    return tf.nest.map_structure(tf.constant, state)


def batch(rows=20) -> Batch:
    x = np.random.default_rng(1).normal(size=(rows, 4))
    x[:, -1] = 1.0
    return Batch(tf.constant(x), tf.constant(np.sin(x[:, :1])), tf.ones([rows], tf.float64))


@pytest.mark.parametrize("form", [Window(), Window(3, 0.7), Decoupled()])
def test_a_form_starts_rates_and_steps_a_state(form):
    state, schedule = started(form), Schedule(total=100.0)
    assert [layer.mean.shape for layer in state.layers] == [(4, 5), (6, 1)]
    assert float(state.noise) == 0.5 and form.passes >= 1
    for layer, precision, prior in zip(state.layers, [1.0, 2.0], [3.0, 4.0], strict=True):
        assert (layer.precision == precision).numpy().all()
        assert (layer.prior.precision == prior).numpy().all()
        assert not layer.velocity.numpy().any() and not layer.prior.shift.numpy().any()
    for k in range(5):
        k = tf.constant(float(k), tf.float64)
        rates = form.rates(schedule, k, tf.constant(10.0, tf.float64), state.count)
        assert isinstance(rates, Rates) and 0 < float(rates.retain) <= 1
        before = state
        state, info = form.step(NETWORK, state, batch(), rates)
        assert isinstance(state, State) and isinstance(info, Info)
        assert info.healthy.shape == () and info.healthy
        tf.nest.assert_same_structure(state, before)
        for new, old in zip(tf.nest.flatten(state), tf.nest.flatten(before), strict=True):
            assert new.shape == old.shape and new.dtype == old.dtype
        for new, old in zip(state.layers, before.layers, strict=True):
            assert not np.allclose(new.mean, old.mean)
            assert new.prior is old.prior  # module B's
        assert float(state.count) == float(rates.retain * before.count + 1.0)
        assert 0 < float(form.width(rates, state.count)) < 20


def test_only_the_decoupled_form_averages_and_counts_its_start():
    assert Decoupled().averages and not Window().averages
    assert float(started(Window()).count) == 0.0
    assert float(started(Decoupled()).count) == Schedule(total=1.0).prior_count


def test_forms_are_values():
    assert Window(2, 0.5) == Window(2, 0.5) != Window(3, 0.5)
    assert hash(Decoupled()) == hash(Decoupled())
