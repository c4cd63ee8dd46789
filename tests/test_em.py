"""The compiled epoch: shuffles, padding, schedules, pruning to a count, and its failures."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from emtdamp import damp, em
from emtdamp.activations import relu
from emtdamp.damp import Batch, Layer, Network, State
from emtdamp.gaussian import Gaussian
from emtdamp.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.prior import GroupPrior


def start(sizes, seed=0, dtype=tf.float64, slab=10.0):
    rng, layers = np.random.default_rng(seed), []
    for n, j in pairwise(sizes):
        mean = tf.constant(rng.normal(size=(n + 1, j)) * (2 / n) ** 0.5, dtype)
        zero = tf.zeros_like(mean)
        layers.append(Layer(mean, zero + n / 3, zero, Gaussian(zero + n / slab, zero)))
    return State(tuple(layers), tf.constant(1.0, dtype), tf.constant(50.0, dtype))


def data(n=60, inputs=5, classes=3, dtype=tf.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, inputs))
    y = (x @ rng.normal(size=(inputs, classes))).argmax(1).astype(np.int32)
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    return Batch(tf.constant(x, dtype), tf.constant(y), tf.ones([n], dtype))


def train(
    batch, state, likelihood=None, epochs=3, update="decoupled", rules=None, keep=None, **over
):
    dtype = batch.x.dtype
    sizes = [layer.mean.shape[0] - 1 for layer in state.layers]
    module = GroupPrior(rules or ("dense",) * len(sizes), learn_slab=False)
    network = Network(relu, likelihood or ProbitProduct(nodes=9))
    size = over.pop("batch_size", 20)
    exchanges = over.pop("exchanges", 2)
    epoch = em.epoch_function(network, module, update, size, exchanges, 1, 0.0)
    rows = int((batch.weight > 0).numpy().sum())
    total = float(epochs * -(-rows // size))
    schedule = em.Schedule(total=total, **over)
    schedule = em.Schedule(*(tf.constant(float(value), dtype) for value in schedule))
    prior = module.init([10.0 / n for n in sizes], sizes)
    keep = [tf.constant(number) for number in keep or sizes]
    average = tuple(layer.mean for layer in state.layers)
    progress = em.Progress(state, average, prior, tf.zeros([], dtype))
    for number in range(epochs):
        seed = tf.constant([7, number])
        progress, info, width, totals = epoch(progress, batch, seed, schedule, keep)
    return progress.state, info, width, totals


@pytest.mark.parametrize("update", ["window", "decoupled"])
def test_evidence_rises_and_the_seed_repeats(update):
    batch = data()
    first = train(batch, start([5, 8, 3]), epochs=1, update=update, warmup=10.0)
    last = train(batch, start([5, 8, 3]), epochs=20, update=update, warmup=10.0)
    assert float(last[3].log_evidence) > float(first[3].log_evidence)
    again = train(batch, start([5, 8, 3]), epochs=20, update=update, warmup=10.0)
    for a, b in zip(tf.nest.flatten(last[0]), tf.nest.flatten(again[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_padding_rows_change_nothing():
    batch = data(n=40)
    padded = Batch(*(tf.concat([a, tf.zeros_like(a)], 0) for a in batch))
    one = train(batch, start([5, 8, 3]), batch_size=40, exchanges=1)
    two = train(padded, start([5, 8, 3]), batch_size=40, exchanges=1)
    for a, b in zip(tf.nest.flatten(one[0]), tf.nest.flatten(two[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_weights_are_repetitions_in_a_full_batch():
    batch = data(n=30)
    count = np.arange(30) % 3
    weighted = batch._replace(weight=tf.constant(count, tf.float64))
    repeated = Batch(*(tf.constant(np.repeat(a.numpy(), count, 0)) for a in batch))
    one = train(weighted, start([5, 8, 3]), batch_size=40, exchanges=1)
    two = train(repeated, start([5, 8, 3]), batch_size=40, exchanges=1)
    for a, b in zip(one[0].layers, two[0].layers, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-9, atol=1e-9)


def test_steering_ends_at_the_count_that_was_asked():
    rules = ("steered", "steered")
    state, info, width, _ = train(
        data(), start([5, 8, 3]), epochs=10, rules=rules, keep=[3, 4], warmup=10.0, exchanges=3
    )
    assert [int((odds > 0).numpy().sum()) for odds in info.log_odds] == [3, 4]
    off = info.log_odds[1].numpy() < 0
    rows = state.layers[1].mean.numpy()[:-1][off]
    assert np.abs(rows).max() < 1e-3 * np.abs(state.layers[1].mean.numpy()).max()
    assert float(width) > 0


def test_noise_is_learnt():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 0.3 * rng.normal(size=(400, 1))
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    batch = Batch(tf.constant(x), tf.constant(y), tf.ones([400], tf.float64))
    state, *_ = train(
        batch, start([3, 1]), GaussianNoise(), 30, update="window", learn_noise=1.0, warmup=1.0
    )
    residual = y - x @ state.layers[0].mean.numpy()
    assert float(state.noise) == pytest.approx(residual.var(), rel=0.1)
    assert float(state.noise) == pytest.approx(0.09, rel=0.2)


def test_one_trace_a_shape_whatever_the_settings():
    module, network = (
        GroupPrior(("dense", "dense"), learn_slab=False),
        Network(relu, ProbitProduct(nodes=9)),
    )
    epoch = em.epoch_function(network, module, "decoupled", 20, 2, 1, 0.0)
    train(data(), start([5, 8, 3]))
    before = epoch.experimental_get_tracing_count()
    train(data(seed=1), start([5, 8, 3], seed=1), lr=0.01, clip=0.5, epochs=2)
    assert epoch.experimental_get_tracing_count() == before
    train(data(n=80), start([5, 8, 3]))
    assert epoch.experimental_get_tracing_count() == before + 1


def test_a_failure_names_step_layer_and_quantity():
    batch = data()
    x = batch.x.numpy()
    x[5, 2] = np.nan
    *_, totals = train(batch._replace(x=tf.constant(x)), start([5, 8, 3]), epochs=1)
    failed = totals.failed.numpy()
    layer, quantity = np.unravel_index(failed.argmin(), failed.shape)
    assert (layer, damp.QUANTITIES[quantity]) == (0, "variance")
    assert failed.min() < 3


def test_random_inputs_end_finite():
    rng = np.random.default_rng(0)
    shapes = [((5, 8, 3), 20), ((2, 4, 2), 5), ((9, 6, 5, 4), 30), ((3, 10), 10)]
    for trial in range(120):
        sizes, size = shapes[trial % len(shapes)]
        batch = data(60, sizes[0], sizes[-1], tf.float32, seed=trial)
        scale = tf.constant(10 ** rng.uniform(-3, 2, sizes[0]), tf.float32)
        x = tf.concat([batch.x[:, :-1] * scale + rng.normal(), batch.x[:, -1:]], 1)
        y = tf.constant(rng.integers(0, sizes[-1], 60), tf.int32)
        state, _, _, totals = train(
            batch._replace(x=x, y=y), start(sizes, trial, tf.float32), batch_size=size, epochs=2
        )
        for value in tf.nest.flatten(state):
            assert np.isfinite(value).all(), (trial, totals.failed)


def test_rates_follow_their_schedule():
    schedule = em.Schedule(total=1000.0, warmup=10.0)

    def at(k, count=1000.0):
        values = (tf.constant(v, tf.float64) for v in (k, 100.0, count))
        return em.rates(schedule, "decoupled", *values)

    gains = [float(at(float(k)).gain) for k in range(0, 1000, 50)]
    assert gains[0] < gains[1] and (np.diff(gains[1:]) < 0).all() and gains[-1] < 0.02 * gains[1]
    evidence = [float(at(float(k)).evidence) for k in range(0, 1000, 50)]
    assert (np.diff(evidence) > 0).all()
    assert evidence[-1] <= 100 * schedule.width_end
    assert float(at(0.0, count=1.0).keep) == 1.0
