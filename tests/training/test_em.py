"""The compiled epochs: shuffles, padding, schedules, pruning to a count, and its failures."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from emtdamp.messages import damp
from emtdamp.messages.activations import relu
from emtdamp.messages.damp import Batch, Network, State
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.messages.prior import GroupPrior
from emtdamp.training import em, fitting
from emtdamp.training.forms import Decoupled, Schedule, Window
from tests.exact import gaussian_regression

pytestmark = pytest.mark.slow


FORMS = {"window": Window(), "decoupled": Decoupled()}


def start(sizes, seed=0, dtype=tf.float64, slab=10.0):
    rng = np.random.default_rng(seed)
    means = [rng.normal(size=(n + 1, j)) * (2 / n) ** 0.5 for n, j in pairwise(sizes)]
    above = sizes[:-1]
    state = damp.init(means, [n / 3 for n in above], [n / slab for n in above], 1.0, 50.0)
    return tf.nest.map_structure(lambda value: tf.constant(value, dtype), state)


def data(n=60, inputs=5, classes=3, dtype=tf.float64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, inputs))
    y = (x @ rng.normal(size=(inputs, classes))).argmax(1).astype(np.int32)
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    return Batch(tf.constant(x, dtype), tf.constant(y), tf.ones([n], dtype))


def real_valued(n=60, seed=0):
    """The same inputs with three real outputs."""
    rng = np.random.default_rng(seed)
    x = data(n, seed=seed).x
    y = tf.tanh(x @ rng.normal(size=(6, 3))) + 0.3 * rng.normal(size=(n, 3))
    return Batch(x, y, tf.ones([n], tf.float64))


def train(
    batch, state, likelihood=None, epochs=3, update="decoupled", rules=None, keep=None, **over
):
    dtype = batch.x.dtype
    sizes = [layer.mean.shape[0] - 1 for layer in state.layers]
    module = GroupPrior(rules or ("dense",) * len(sizes), learn_slab=False)
    network = Network(relu, likelihood or ProbitProduct(nodes=9))
    size = over.pop("batch_size", 20)
    exchanges = over.pop("exchanges", 2)
    run = em.epochs_function(network, module, FORMS[update], exchanges)
    rows = int((batch.weight > 0).numpy().sum())
    total = float(epochs * -(-rows // size))
    schedule = Schedule(total=total, **over)
    schedule = tf.constant(schedule, dtype)
    prior = module.init([10.0 / n for n in sizes], sizes)
    keep = [tf.constant(number) for number in keep or sizes]
    average = tuple(layer.mean for layer in state.layers)
    progress = em.Progress(state, average, prior, tf.zeros([], dtype), tf.ones([], dtype))
    several = fitting.Epochs(run, batch, size, max(epochs, 2), schedule, tuple(keep))
    progress, *told = several(progress, [(7, number) for number in range(epochs)])
    log_odds, totals = tf.nest.map_structure(lambda rows: rows[-1], told)
    return progress.state, log_odds, progress.width, totals


@pytest.mark.parametrize("update", ["window", "decoupled"])
def test_evidence_rises_and_the_seed_repeats(update):
    batch, likelihood = (
        (data(), None) if update == "decoupled" else (real_valued(), GaussianNoise())
    )

    def fit(epochs):
        return train(batch, start([5, 8, 3]), likelihood, epochs, update, warmup=10.0)

    first, last, again = fit(1), fit(20), fit(20)
    assert float(last[3].log_partition) > float(first[3].log_partition)
    for a, b in zip(tf.nest.flatten(last[0]), tf.nest.flatten(again[0]), strict=True):
        np.testing.assert_array_equal(a, b)


def linear(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 0.3 * rng.normal(size=(n, 1))
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    return Batch(tf.constant(x), tf.constant(y), tf.ones([n], tf.float64))


def full_batch(batch):
    """All rows in one minibatch: their order cannot matter."""
    return train(batch, start([3, 1]), GaussianNoise(), batch_size=40, exchanges=1)


def test_padding_rows_change_nothing():
    batch = linear(30)
    more = Batch(*(tf.concat([a, tf.zeros_like(a)], 0) for a in batch))
    one, two = full_batch(batch), full_batch(more)
    for a, b in zip(tf.nest.flatten(one[0]), tf.nest.flatten(two[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_weights_are_repetitions_in_a_full_batch():
    batch, count = linear(30), np.arange(30) % 3
    weighted = batch._replace(weight=tf.constant(count, tf.float64))
    repeated = Batch(*(tf.constant(np.repeat(a.numpy(), count, 0)) for a in batch))
    one, two = full_batch(weighted), full_batch(repeated)
    for a, b in zip(one[0].layers, two[0].layers, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-9, atol=1e-9)


def test_steering_ends_at_the_count_that_was_asked():
    rules = ("steered", "steered")
    state, log_odds, width, _ = train(
        real_valued(60),
        start([5, 8, 3]),
        GaussianNoise(),
        10,
        rules=rules,
        keep=[3, 4],
        warmup=10.0,
    )
    assert [int((odds > 0).sum()) for odds in log_odds] == [3, 4]
    off = log_odds[1] < 0
    rows = state.layers[1].mean.numpy()[:-1][off]
    assert np.abs(rows).max() < 1e-3 * np.abs(state.layers[1].mean.numpy()).max()
    assert float(width) > 0


def test_an_answer_of_module_b_leaves_the_messages_to_it():
    state = start([5, 8, 3])
    for rule in ("steered", "soft", "free"):
        module = GroupPrior((rule, rule), learn_slab=False)
        prior, one = module.init([1.0, 0.5], [5, 8]), tf.ones([], tf.float64)
        progress = em.Progress(state, tuple(x.mean for x in state.layers), prior, one, 3.0 * one)
        after, _ = em.exchange(progress, module, [3, 4])
        for before, now in zip(
            em.messages(state, progress.width), em.messages(after.state, after.width), strict=True
        ):
            np.testing.assert_array_equal(before.precision, now.precision)
            np.testing.assert_allclose(before.shift, now.shift, rtol=1e-7, atol=1e-9)


def test_rows_are_in_the_order_of_uniform_numbers():
    weight, seed = np.ones(300, np.float32), (123, 4)
    weight[[5, 17]] = 0
    order = em.shuffled(weight, 7, seed)

    @tf.function(jit_compile=True)
    def uniform(seed):
        return tf.random.stateless_uniform([300], seed, alg="philox")

    expected = np.argsort(np.where(weight > 0, uniform(tf.constant(seed)), 2), kind="stable")
    assert order.shape == (43, 7)
    np.testing.assert_array_equal(order.ravel(), [*expected, 300])


def learn_noise(batch, epochs=30, **over):
    over = {"learn_noise": 1.0, "warmup": 1.0, **over}
    return train(batch, start([3, 1]), GaussianNoise(), epochs, "window", **over)[0]


def test_noise_is_learnt():
    batch = linear()
    state = learn_noise(batch)
    residual = batch.y - batch.x @ state.layers[0].mean
    assert float(state.noise) == pytest.approx(np.var(residual), rel=0.1)
    assert float(state.noise) == pytest.approx(0.09, rel=0.2)


def evidence_and_learnt(rows, inputs, correlated=False, seed=0, epochs=200):
    """The v of highest exact evidence, and what the decoupled form learns, each row counted once.

    The same prior N(0, .7) in both, biases included; minibatches of 20, the estimators' schedule.
    """
    rng, slab = np.random.default_rng(seed), 0.7
    x = rng.normal(size=(rows, inputs))
    if correlated:
        x = x @ rng.normal(size=(inputs, inputs)) / 3
    y = x @ rng.normal(size=(inputs, 2)) * slab**0.5 + 0.8 * rng.normal(size=(rows, 2))
    best = optimize.minimize_scalar(
        lambda log_v: -gaussian_regression(x, y, np.exp(log_v), slab)[0], bounds=(-6, 6),
        method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    x = np.pad(x, [(0, 0), (0, 1)], constant_values=1.0)
    batch = Batch(tf.constant(x), tf.constant(y), tf.ones([rows], tf.float64))
    state = start([inputs, 2], slab=slab * inputs)
    state = State(tuple(a._replace(mean=tf.zeros_like(a.mean)) for a in state.layers), *state[1:])
    steps = -(-rows // 20)
    over = dict(lr=0.7 * (epochs * steps) ** -0.5, width_start=1.0, width_end=1.0)
    over |= dict(memory=max(4.0, 10 / steps), learn_noise=1.0, new_until=steps, noise_window=5.0)
    learnt = train(batch, state, GaussianNoise(), epochs, **over)[0].noise
    return float(np.exp(best.x)), float(learnt)


@pytest.mark.parametrize("rows, inputs", [(60, 12), (66, 12), (200, 40), (400, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_ends_at_the_top_of_the_exact_evidence(rows, inputs, seed):
    best, learnt = evidence_and_learnt(rows, inputs, seed=seed)
    assert learnt == pytest.approx(best, rel=0.05)


@pytest.mark.parametrize(
    "inputs, correlated, most", [(12, True, 1.25), (30, False, 7), (30, True, 11)]
)
def test_noise_is_too_large_where_one_pass_is_too_little(inputs, correlated, most):
    # one pass has no Onsager term, its mean is a ridge regression at noise v + V; columns that
    # share a direction count it several times: both make v too large, never too small
    for seed in range(6):
        best, learnt = evidence_and_learnt(60, inputs, correlated, seed)
        assert best < learnt < best * most


def test_noise_that_is_learnt_stays_above_its_least():
    batch = linear(30)
    exact = batch._replace(y=batch.x[:, :1] + 2 * batch.x[:, 1:2])
    assert float(learn_noise(exact).noise) < 1e-3
    assert float(learn_noise(exact, noise_least=0.07).noise) == pytest.approx(0.07)


def test_noise_weighs_rows_and_not_minibatches():
    # of 46 rows the last minibatch has 6; a step that moves nothing leaves E[eps^2] as it is
    batch = linear(46)
    state = start([3, 1])
    over = dict(learn_noise=1.0, lr=1e-12, exchanges=1, noise_window=1e-6, new_until=1e9)
    learnt = train(batch, state, GaussianNoise(), 1, **over)[0].noise
    w = batch.x @ state.layers[0].mean
    var = tf.square(batch.x) @ (1 / (state.layers[0].precision + state.layers[0].prior.precision))
    each = GaussianNoise()(w, var + 1e-8, batch.y, state.noise).noise
    assert float(learnt) == pytest.approx(float(tf.reduce_mean(each)), rel=0.02)


def test_one_trace_a_shape_whatever_the_settings():
    module, network = GroupPrior(("dense",), learn_slab=False), Network(relu, GaussianNoise())
    run = em.epochs_function(network, module, Window(), 2)
    learn_noise(linear(), 1)
    before = run.experimental_get_tracing_count()
    learn_noise(linear(seed=1), 2, learn_noise=0.0, window=3.0, settle=0.5)
    assert run.experimental_get_tracing_count() == before
    learn_noise(linear(80), 1)
    assert run.experimental_get_tracing_count() == before + 1


def test_a_failure_names_the_minibatch():
    batch = data()
    x = batch.x.numpy()
    x[5, 2] = np.nan
    *_, totals = train(batch._replace(x=tf.constant(x)), start([5, 8, 3]), epochs=1)
    order = em.shuffled(batch.weight.numpy(), 20, (7, 0))
    (where,) = np.flatnonzero((order == 5).any(1))
    assert int(totals.failed) == where


# sizes, batch size, update, kind of y: every shape is compiled once
SHAPES = [
    ([3, 10], 10, "decoupled", "classes"),
    ([2, 4, 2], 5, "window", "classes"),
    ([4, 6, 1], 10, "window", "real"),
    ([9, 6, 5, 2], 30, "decoupled", "real"),
]


@settings(max_examples=500, derandomize=True, deadline=None, database=None)
@given(
    shape=st.sampled_from(SHAPES),
    seed=st.integers(0, 2**31 - 1),
    scales=st.lists(st.floats(-3, 2), min_size=9, max_size=9),  # of the inputs, as powers of 10
    offset=st.floats(-10, 10),
    height=st.floats(-3, 3),  # of y, as a power of 10
    same=st.booleans(),  # all samples alike
    one_class=st.booleans(),
)
def test_random_inputs_end_finite(shape, seed, scales, offset, height, same, one_class):
    sizes, size, update, kind = shape
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, sizes[0])) * 10.0 ** np.array(scales[: sizes[0]]) + offset
    x = np.tile(x[:1], (60, 1)) if same else x
    if kind == "real":
        y, likelihood = rng.normal(size=(60, sizes[-1])) * 10**height, GaussianNoise()
    else:
        y, likelihood = rng.integers(0, 1 if one_class else sizes[-1], 60), None
    batch = Batch(
        tf.constant(np.pad(x, [(0, 0), (0, 1)], constant_values=1.0), tf.float32),
        tf.constant(y, tf.float32 if kind == "real" else tf.int32),
        tf.ones([60]),
    )
    begin = start(sizes, seed, tf.float32)
    state, *_, totals = train(batch, begin, likelihood, 2, update, batch_size=size, exchanges=1)
    for value in tf.nest.flatten(state):
        assert np.isfinite(value).all(), totals.failed


def test_rates_follow_their_schedule():
    schedule = Schedule(total=1000.0, warmup=10.0)

    def at(k, count=1000.0):
        values = (tf.constant(v, tf.float64) for v in (k, 100.0, count))
        return Decoupled().rates(schedule, *values)

    gains = [float(at(float(k)).gain) for k in range(0, 1000, 50)]
    assert gains[0] < gains[1] and (np.diff(gains[1:]) < 0).all() and gains[-1] < 0.06 * gains[1]
    effective = [float(at(float(k)).effective_minibatches) for k in range(0, 1000, 50)]
    assert (np.diff(effective) > 0).all()
    assert effective[-1] <= 100 * schedule.width_end
    assert float(at(0.0, count=1.0).retain) == 1.0
