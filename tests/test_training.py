"""Padding, starting messages, streams and failures of a training run."""

import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emtdamp import recipes, training
from emtdamp.errors import EmtdampError
from emtdamp.estimators import EMTDAMPRegressor
from emtdamp.likelihoods import GaussianNoise
from emtdamp.training import Data


def data(rows=90, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    return Data(x, np.sin(x[:, :1]) + 0.1 * rng.normal(size=(rows, 1)), np.ones(rows))


def recipe(rows, inputs=3, counted=None, **settings):
    params = EMTDAMPRegressor(**{"hidden_layer_sizes": (8,), "em_iters": 3, **settings})
    return recipes.make(
        params.get_params(), rows, inputs, 1, None, counted=counted or rows, once=True
    )


def train(given, settings=None, stream=None, **others):
    plan = recipe(len(given.x), counted=float(given.weight.sum()), **(settings or {}))
    stream = stream or training.start(plan, 3, 1, seed=0)
    return training.train(given, GaussianNoise(), plan, stream, seed=0, **others)


def test_padding_changes_nothing(monkeypatch):
    given = data()
    padded = train(given)
    monkeypatch.setattr(training, "padded_shape", lambda rows, inputs: (rows, inputs))
    bare = train(given)
    for one, two in zip(padded.posterior.mean, bare.posterior.mean, strict=True):
        assert one.shape == two.shape
    # fewer rows make other batches; all rows in one batch leave the same up to rounding and
    # the clip of a step, which is in units of the padded fan-in
    assert_allclose(padded.log_evidence, bare.log_evidence, rtol=2e-2)


def test_small_shapes_are_few():
    shapes = {training.padded_shape(n, d) for n in range(1, 1999, 13) for d in range(1, 64)}
    assert len(shapes) == 8
    assert training.padded_shape(60000, 784) == (60000, 784)
    assert training.padded_shape(300, 100) == (512, 100)


def test_order_inside_a_full_batch_does_not_matter():
    given = data()
    order = np.random.default_rng(1).permutation(len(given.x))
    other = train(Data(*(part[order] for part in given)))
    for one, two in zip(train(given).posterior.mean, other.posterior.mean, strict=True):
        assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_weights_are_repetitions_in_a_full_batch():
    given = data(30)
    times = np.random.default_rng(1).integers(1, 4, 30)
    repeated = Data(*(np.repeat(part, times, 0) for part in given))
    weighted = train(given._replace(weight=times.astype(float)))
    for one, two in zip(weighted.posterior.mean, train(repeated).posterior.mean, strict=True):
        assert_allclose(one, two, rtol=1e-9, atol=1e-12)


def test_a_stream_goes_on_where_it_stopped():
    given = data()
    plan = recipes.stream(recipe(90))
    stream = training.start(plan, 3, 1, seed=0)
    for part in np.split(np.arange(90), 3):
        rows = Data(*(array[part] for array in given))
        before = stream
        trained = training.train(rows, GaussianNoise(), plan, stream, seed=0)
        stream = trained.stream
        assert stream.steps == before.steps + 1
        precision = stream.layers[0][1] - before.layers[0][1]
        assert precision.min() >= -1e-12  # evidence is only added
    assert stream.width == 1.0


def test_restart_keeps_the_posterior():
    stream = train(data()).stream
    again = training.restart(stream)
    assert again.steps == 0 and again.width == 1.0
    for old, new in zip(stream.layers, again.layers, strict=True):
        assert_array_equal(old[0], new[0])
        assert_allclose(stream.width * old[1] + old[3], new[1] + new[3])


def test_a_nan_names_layer_quantity_and_iteration():
    given = data()
    given.x[7, 1] = np.nan
    with pytest.raises(EmtdampError, match=r"the variance of layer 1 is no longer finite in "):
        train(given)


def test_held_out_rows_choose_the_iterate():
    given, other = data(), data(seed=1)
    trained = train(given, {"em_iters": 10}, held_out=other, patience=100)
    held_out = [row["held_out"] for row in trained.history]
    assert len(held_out) == 10
    best = max(held_out[6:])  # the ramp is over after 6 of 10
    assert_allclose(training.evaluate(trained.posterior, other), best, rtol=1e-12)


def test_compiling_and_reporting_are_not_in_an_iterations_seconds():
    began = time.perf_counter()
    # shapes that no other test has
    trained = train(
        data(), {"hidden_layer_sizes": (11,)}, report=lambda row, posterior: time.sleep(0.1)
    )
    total = time.perf_counter() - began
    assert sum(row["seconds"] for row in trained.history) < (total - 0.3) / 2
