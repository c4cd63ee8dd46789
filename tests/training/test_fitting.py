"""Padding, starting messages, streams and failures of a training run."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor
from emtdamp.errors import EmtdampError
from emtdamp.messages import damp
from emtdamp.messages.likelihoods import GaussianNoise
from emtdamp.training import em, fitting, recipes, starts
from emtdamp.training.forms import Schedule
from emtdamp.training.recipe import Data

pytestmark = pytest.mark.slow


def data(rows=90, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    return Data(x, np.sin(x[:, :1]) + 0.1 * rng.normal(size=(rows, 1)), np.ones(rows))


def recipe(rows, inputs=3, counted=None, **settings):
    params = EMTDAMPRegressor(**{"hidden_layer_sizes": (8,), "em_iters": 3, **settings})
    weight = np.full(rows, (counted or rows) / rows)
    given = Data(np.zeros((rows, inputs)), np.zeros((rows, 1)), weight)
    return recipes.make(params.get_params(), given, 1, None)


def stream(**settings):
    params = EMTDAMPRegressor(**{"hidden_layer_sizes": (8,), **settings}).get_params()
    return recipes.stream(recipe(90, **settings), params)


def train(given, settings=None, **others):
    plan = recipe(len(given.x), counted=float(given.weight.sum()), **(settings or {}))
    return fitting.train(given, plan, seed=0, **others)


def rows_of(array, inputs=3):
    """Of a first layer's array: the rows of real inputs and the bias."""
    return np.concatenate([array[:inputs], array[-1:]])


@pytest.mark.parametrize(
    "settings", [{}, {"sparsity": 0.5}, {"sparsity": "auto", "input_sparsity": "auto"}]
)
def test_padding_changes_nothing(monkeypatch, settings):
    given = data()
    plan = recipe(90, batch_size=90, em_iters=20, **settings)
    # the clip is in units of the padded fan-in, and other minibatches are another shuffle
    plan = plan._replace(schedule=plan.schedule._replace(clip=1e30))

    def fit():
        return fitting.train(given, plan, seed=0)

    padded = fit()
    monkeypatch.setattr(fitting, "padded_shape", lambda rows, inputs: (rows, inputs))
    bare = fit()
    assert padded.progress.state.layers[0].mean.shape > bare.progress.state.layers[0].mean.shape
    for one, two in (
        *zip(padded.posterior.mean, bare.posterior.mean, strict=True),
        *zip(padded.posterior.var, bare.posterior.var, strict=True),
    ):
        assert_allclose(one, two, rtol=1e-8, atol=1e-12)
    assert_allclose(padded.log_partition, bare.log_partition, rtol=1e-10)


def test_small_shapes_are_few():
    shapes = {fitting.padded_shape(n, d) for n in range(1, 1999, 13) for d in range(1, 64)}
    assert len(shapes) == 8
    assert fitting.padded_shape(60000, 784) == (60000, 784)
    assert fitting.padded_shape(300, 100) == (512, 100)


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
    plan = stream()
    progress = starts.start(plan, 3, seed=0)
    for part in np.split(np.arange(90), 3):
        rows = Data(*(array[part] for array in given))
        before, k = progress, int(progress.k)
        progress = fitting.train(rows, plan, 0, progress, first=k).progress
        assert progress.k == before.k + 1
        now, then = (rows_of(p.state.layers[0].precision) for p in (progress, before))
        assert (now - then).min() >= -1e-12  # precision is only added
    assert progress.width == 1.0


def test_a_stream_multiplies_each_minibatch_in_once():
    given = data()
    plan = stream()._replace(noise=0.3)
    plan = plan._replace(schedule=plan.schedule._replace(learn_noise=0.0))
    progress = starts.start(plan, 3, seed=0)
    state = starts.take_up(progress, plan, 3, 3, np.float64).state
    network = fitting.Network(fitting.ACTIVATIONS["relu"], GaussianNoise())
    for part in np.split(np.arange(90), 3):
        rows = Data(*(array[part] for array in given))
        k = int(progress.k)
        progress = fitting.train(rows, plan, 0, progress, first=k).progress
        batch = fitting.padded(rows, (30, 3), np.float64)
        rates = damp.Rates(retain=1.0, temper=1.0)
        state, _ = damp.step_window(network, state, batch, rates, 5, 0.8)
        for number, (one, two) in enumerate(zip(progress.state.layers, state.layers, strict=True)):
            for what in ("mean", "precision"):
                found = getattr(one, what)
                found = found if number else rows_of(found)
                assert_allclose(found, getattr(two, what), rtol=1e-8, atol=1e-10)


def test_a_stream_counts_rows_as_often_as_they_weigh():
    given = data()
    given = given._replace(weight=np.random.default_rng(1).uniform(0.5, 2.0, 90))
    plan = stream(hidden_layer_sizes=(), batch_size=10)
    noise = 1e5  # so large that what is known of the weights makes no difference
    plan = plan._replace(noise=noise, schedule=plan.schedule._replace(learn_noise=0.0))
    start = starts.start(plan, 3, seed=0)
    progress = fitting.train(given, plan, 0, start).progress
    x = np.pad(given.x, [(0, 0), (0, 1)], constant_values=1.0)
    now, then = (rows_of(p.state.layers[0].precision) for p in (progress, start))
    gained = (now - then)[:, 0]
    assert_allclose(gained, given.weight @ x**2 / noise, rtol=1e-3)


def test_restart_keeps_the_posterior():
    progress = train(data()).progress
    again = starts.restart(progress)
    assert again.k == 0 and again.width == 1.0
    for old, new in zip(progress.state.layers, again.state.layers, strict=True):
        assert_allclose(
            progress.width * old.precision + old.prior.precision,
            new.precision + new.prior.precision,
        )
    for mean, new in zip(progress.average, again.state.layers, strict=True):
        assert_array_equal(mean, new.mean)


def test_a_restarted_fit_starts_at_the_posterior_it_came_from():
    given = data()
    plan = recipe(90, em_iters=300)._replace(noise=0.05)
    plan = plan._replace(schedule=plan.schedule._replace(learn_noise=0.0))
    trained = fitting.train(given, plan, seed=0)
    assert trained.progress.width < 0.5  # where it is 1 nothing can go wrong
    restarted = starts.restart(trained.progress)
    plan = recipes.warm(plan, 90, float(restarted.state.count))
    epoch, progress = fitting.prepare(given, plan, restarted)
    one = tf.ones([], progress.k.dtype)
    rates = plan.form.rates(
        Schedule(*tf.unstack(epoch.settings)), progress.k, one, progress.state.count
    )
    kap = float(rates.effective_minibatches / progress.state.count)
    for number, (layer, mean, var) in enumerate(
        zip(restarted.state.layers, trained.posterior.mean, trained.posterior.var, strict=True)
    ):
        variance = 1 / (kap * layer.precision + layer.prior.precision)
        assert_array_equal(layer.mean if number else rows_of(layer.mean), mean)
        assert_allclose(variance if number else rows_of(variance), var, rtol=1e-6)
    short = plan._replace(epochs=10, schedule=plan.schedule._replace(lr=0.1))
    again = fitting.train(given, short, 1, restarted)
    for one, two in zip(again.posterior.var, trained.posterior.var, strict=True):
        assert 0.8 < np.median(one / two) < 1.25


def test_a_nan_is_told_by_its_iteration():
    given = data()
    given.x[7, 1] = np.nan
    with pytest.raises(EmtdampError, match=r"a message is no longer finite in iteration 1, "):
        train(given)


@pytest.mark.parametrize(
    "log_z, failed, says",
    [
        ([-1.0, -1e9, np.nan], [9, 9, 3], "the fit diverges: .* in iteration 6;"),
        ([-1.0, np.nan, -1e9], [9, 3, 9], "no longer finite in iteration 6, minibatch 4;"),
        ([-1.0, -2.0, -1e9], [9, 9, 9], "the fit diverges: .* in iteration 7;"),
    ],
)
def test_what_went_wrong_first_is_told(log_z, failed, says):
    zero = np.zeros(3)
    totals = em.Totals(np.array(log_z), zero, zero, zero, np.array(failed), zero)
    with pytest.raises(EmtdampError, match=says):
        fitting.check(totals, steps=9, done=4)


def test_steps_shrink_where_few_inputs_are_kept():
    whole, half, few = (
        recipe(90, inputs=40, em_iters=1000, input_sparsity=share).schedule.lr
        for share in (0.0, 0.5, 7 / 8)
    )
    assert half == whole
    assert_allclose(few, whole / 2)
    assert recipe(90, em_iters=1, input_sparsity=0.5).schedule.lr == recipes.MAX_INPUT_GAIN


def test_a_fit_that_diverges_says_so(monkeypatch):
    monkeypatch.setattr(fitting, "DIVERGED", 0.0)
    with pytest.raises(EmtdampError, match=r"diverges: log Z of a sample is -"):
        train(data())


def test_inflation_widens_the_prediction_and_not_the_weights():
    given = data()
    plan = recipe(90, em_iters=30)
    rule, given_one = (
        fitting.train(given, plan._replace(inflation=f), seed=0).posterior for f in (None, 1.0)
    )
    assert rule.inflation > 1.5 and given_one.inflation == 1
    for a, b in zip(rule.var, given_one.var, strict=True):
        assert_array_equal(a, b)


def test_held_out_rows_choose_the_iterate():
    given, other = data(), data(seed=1)
    trained = train(given, {"em_iters": 10}, held_out=other, patience=100)
    held_out = [row["held_out"] for row in trained.history]
    assert len(held_out) == 10
    best = max(held_out[6:])  # the ramp is over after 6 of 10
    assert_allclose(fitting.evaluate(trained.posterior, other), best, rtol=1e-12)


def test_compiling_and_reporting_are_not_in_an_iterations_seconds(monkeypatch):
    now = [0.0]

    def takes(seconds, function=lambda *given: None):
        def timed(*given):
            now[0] += seconds
            return function(*given)

        return timed

    monkeypatch.setattr(fitting.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(fitting.Epochs, "compiled", takes(100.0, fitting.Epochs.compiled))
    monkeypatch.setattr(fitting.Epochs, "__call__", takes(1.0, fitting.Epochs.__call__))
    trained = train(data(), report=takes(10.0))
    assert [row["seconds"] for row in trained.history] == [1.0] * 3
    assert now[0] == 100.0 + 3 * 11.0
    trained = train(data())  # two calls: one ends with the ramp, where groups may leave
    assert [row["seconds"] for row in trained.history] == [1.0, 0.5, 0.5]


@pytest.mark.parametrize("sparsity", [0.5, "auto"])
def test_a_fit_is_the_same_whether_it_is_watched_or_not(sparsity):
    given = classes(300)
    params = EMTDAMPClassifier((12,), sparsity=sparsity, em_iters=40).get_params()
    plan, seen = recipes.make(params, given, 3, 1.0), []
    watched = fitting.train(given, plan, 0, report=lambda row, posterior: seen.append(row))
    alone = fitting.train(given, plan, 0)
    assert [row["iteration"] for row in alone.history] == [*range(1, 41)] and len(seen) == 40
    for one, two in zip(watched.history, alone.history, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}
    progress = alone.progress
    pairs = zip(tf.nest.flatten(watched.progress), tf.nest.flatten(progress), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert alone.history[-1]["noise"] == float(progress.state.noise)
    # what module B thinks in the end, rho learnt or not
    told = fitting._asked(progress, plan, [tf.constant(number) for number in plan.keep])
    for ours, theirs in zip(alone.posterior.log_odds, told.log_odds, strict=True):
        assert_allclose(ours, theirs.numpy()[: len(ours)], rtol=1e-6)


def classes(rows, inputs=8, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    y = (x[:, :4] @ rng.normal(size=(4, 3))).argmax(1).astype(np.int32)
    return Data(x, y, np.ones(rows))


@pytest.mark.parametrize("rows", [300, 2400])  # float64 and padded, float32
def test_a_fit_goes_on_without_the_pruned_groups(monkeypatch, rows):
    given = classes(rows)
    params = EMTDAMPClassifier(
        (12,), sparsity=0.5, input_sparsity=0.5, em_iters=6, batch_size=50
    ).get_params()
    plan = recipes.make(params, given, 3, 1.0)
    # small steps, or a group that was pruned may take another's place in the whole fit
    schedule = plan.schedule._replace(ramp_end=0.5, lr=0.5 * (6 * rows / 50) ** -0.5)
    plan = plan._replace(schedule=schedule)
    shapes, epochs_function = [], fitting.em.epochs_function

    def fit(seconds):
        def noted(*settings):
            shapes.append(settings[0].fan_in)
            return epochs_function(*settings)

        monkeypatch.setattr(fitting.shrinking, "COMPILE_SECONDS", seconds)
        monkeypatch.setattr(fitting.em, "epochs_function", noted)
        return fitting.train(given, plan, seed=0)

    whole, small = fit(1e9), fit(0.0)
    width = fitting.padded_shape(rows, 8)[1] + 1
    assert shapes == [(), (), (width, 13)]  # once
    assert_array_equal(whole.posterior.active[0], small.posterior.active[0])
    assert_array_equal(whole.posterior.active[1], small.posterior.active[1])
    rtol, atol = (1e-6, 1e-7) if rows < fitting.SMALL else (2e-3, 2e-4)
    for one, two in zip(
        whole.posterior.propagate(given.x), small.posterior.propagate(given.x), strict=True
    ):
        assert_allclose(one, two, rtol=rtol, atol=atol)
    for one, two in zip(whole.posterior.log_odds, small.posterior.log_odds, strict=True):
        assert_array_equal(one > 0, two > 0)
    assert [row.keys() for row in whole.history] == [row.keys() for row in small.history]
    assert_allclose(whole.log_partition, small.log_partition, rtol=1e-3)
    shapes = [
        tf.nest.map_structure(np.shape, (fit.progress.state, fit.progress.average))
        for fit in (whole, small)
    ]
    assert shapes[0] == shapes[1]
    left = small.progress.prior.left
    assert [int(mask.sum()) for mask in left] == [4, 6] and whole.progress.prior.left == ()
    again = starts.restart(small.progress)
    assert fitting.train(given, plan, 1, again).posterior.mean[0].shape == (9, 12)


def test_a_fit_shrinks_only_where_that_saves_more_than_it_costs():
    worthwhile = fitting.shrinking.worthwhile
    assert not worthwhile((784, 128, 10), (784, 13, 10), 3 * 10_000)
    assert not worthwhile((784, 128, 10), (784, 13, 10), 3 * 60_000)  # 1.7 s saved in 6
    assert worthwhile((784, 128, 10), (784, 13, 10), 12 * 60_000)
    assert worthwhile((784, 1024, 10), (784, 512, 10), 3 * 60_000)
    assert not worthwhile((784, 1024, 10), (784, 1024, 10), 1e12)


@pytest.mark.parametrize(
    "setting", [{"sparsity": "auto"}, {"share_incoming": True}, {"soft": True}, {"slab": "learn"}]
)
def test_fits_of_learnt_rho_or_shared_weights_do_not_shrink(setting):
    given = classes(300)
    params = EMTDAMPClassifier((12,), em_iters=2).set_params(**{"sparsity": 0.5, **setting})
    plan = recipes.make(params.get_params(), given, 3, 1.0)
    epochs, progress = fitting.prepare(given, plan, starts.start(plan, 8, 0))
    _, odds, _ = epochs(progress, [(0, 0)])
    last = [each[-1] for each in odds]
    assert fitting.shrinking.consider(last, 3, plan.module, 1e15) is None
