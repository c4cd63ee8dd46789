"""The factor on the variances of a fit of few data: from held-out rows, and in the estimators."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import make_classification, make_gaussian_quantiles
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.metrics import regression_scores
from emtdamp.posterior import Posterior
from emtdamp.training import fitting, inflation, recipes
from emtdamp.training.recipe import Data

pytestmark = pytest.mark.slow


def choose(*given, **more):
    return inflation.choose(*given, **more).factor


def linear(outputs, likelihood, noise=0.2, inputs=4, spread=0.1):
    """A posterior of one layer: V(x) = spread (1 + |x|^2)."""
    rng = np.random.default_rng(0)
    return Posterior(
        (rng.normal(size=(inputs + 1, outputs)),),
        (np.full((inputs + 1, outputs), spread),),
        (np.ones(inputs, bool),),
        (np.full(inputs, np.inf),),
        noise=noise,
        activation="relu",
        likelihood=likelihood,
        inputs=inputs,
        kept_inputs=np.arange(inputs),
    )


def regression(rows, factor, seed):
    """A posterior, and data of which its V is a `factor` too small: y ~ N(w, v + factor V)."""
    posterior = linear(1, GaussianNoise())
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    w, var = posterior.propagate(x)
    y = w + np.sqrt(posterior.noise + factor * var) * rng.normal(size=(rows, 1))
    return posterior, Data(x, y, np.ones(rows))


def classes(rows, factor, seed):
    """The same for three classes: noisy z ~ N(w, factor V), and the largest one's number."""
    posterior = linear(3, ProbitProduct(), noise=1.0)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    w, var = posterior.propagate(x)
    z = w + np.sqrt(0.5 + factor * var) * rng.normal(size=w.shape)
    return posterior, Data(x, z.argmax(1).astype(np.int32), np.ones(rows))


@pytest.mark.parametrize("factor", [0.3, 1.0, 20.0, 1e6])
def test_many_rows_find_the_factor_that_is_missing(factor):
    found = choose(*regression(3000, factor, seed=1), expected=1.0)
    assert found == pytest.approx(factor, rel=0.15)


def test_few_rows_leave_what_is_expected():
    found = [choose(*regression(3, 5.0, seed), expected=5.0) for seed in range(20)]
    away = np.log(found) - np.log(5.0)  # skew: of so few squares most are below their mean
    assert abs(np.median(away)) < np.log(2.0) and np.abs(away).max() < 2 * inflation.PRIOR_SD


def test_only_how_weights_compare_matters():
    posterior, data = regression(50, 30.0, seed=1)
    little = data._replace(weight=np.full(50, 1e-9))
    found = [choose(posterior, each, expected=5.0) for each in (data, little)]
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] > 15


def test_a_wrong_expectation_costs_a_few_rows_and_not_many():
    one, ten, many = (
        choose(*regression(rows, 1.0, seed=1), expected=64.0) for rows in (1, 10, 1000)
    )
    assert one > ten > many
    assert many == pytest.approx(1.0, rel=0.2)


def test_the_variances_sum_to_the_squared_error(monkeypatch):
    monkeypatch.setattr(inflation, "PRIOR_SD", 1e3)
    posterior = linear(2, GaussianNoise())
    rng = np.random.default_rng(0)
    x = np.sign(rng.normal(size=(80, 4)))  # of one length: one V
    w, var = posterior.propagate(x)
    y = w + 2 * rng.standard_t(4, size=w.shape)  # no normal errors
    weight = rng.uniform(0.2, 3.0, 80)
    found = choose(posterior, Data(x, y, weight), expected=1.0)
    error = np.average(np.mean((y - w) ** 2, axis=1), weights=weight)
    assert posterior.noise + found * var[0, 0] == pytest.approx(error, rel=0.03)


def test_the_factor_stays_in_its_bounds(monkeypatch):
    monkeypatch.setattr(inflation, "PRIOR_SD", 1e3)
    posterior, data = regression(50, 1.0, seed=1)
    exact = data._replace(y=posterior.propagate(data.x)[0])
    low, high = inflation.BOUNDS
    assert choose(posterior, exact, expected=1.0) == pytest.approx(low, rel=0.05)
    far = data._replace(y=data.y + 1e6)
    assert choose(posterior, far, expected=1.0) == pytest.approx(high, rel=0.05)


def test_an_overconfident_classifier_is_made_to_doubt():
    posterior, data = classes(400, 30.0, seed=1)
    found = choose(posterior, data, expected=1.0)
    assert 5 < found < 60
    _, other = classes(400, 30.0, seed=2)
    before, after = (
        fitting.evaluate(p, other) for p in (posterior, replace(posterior, inflation=found))
    )
    assert after > before + 0.1


def test_a_classifier_that_is_right_is_left_alone():
    assert 0.3 < choose(*classes(400, 1.0, seed=1), expected=1.0) < 3


def small(rows, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3))
    return X, np.sin(X[:, 0]) + 0.3 * rng.normal(size=rows)


@pytest.mark.parametrize("rows", [300, 110, 90, 40])  # of minibatches of 50, 50, all and all
def test_the_inner_fit_runs_the_epoch_of_the_outer(monkeypatch, rows):
    used, epochs_function = [], fitting.em.epochs_function

    def noted(*settings):
        used.append(epochs_function(*settings))
        return used[-1]

    monkeypatch.setattr(fitting.em, "epochs_function", noted)
    for settings in ({}, {"batch_size": 200}) if rows == 300 else ({},):
        used.clear()
        epochs_function.cache_clear()
        EMTDAMPRegressor((4,), em_iters=2, random_state=0, **settings).fit(*small(rows))
        inner, outer = used
        assert inner is outer and inner.experimental_get_tracing_count() == 1


def test_a_part_of_a_fit_has_its_minibatches():
    params = EMTDAMPRegressor().get_params()

    def recipe(rows, part_of=None, **settings):
        given = Data(np.zeros((rows, 3)), np.zeros((rows, 1)), np.ones(rows))
        return recipes.make({**params, **settings}, given, 1, None, part_of)

    for whole in [*range(30, 260), 1999]:
        for settings in ({}, {"batch_size": 90}, {"batch_size": 10**9}):
            one, part = (
                recipe(whole, **settings),
                recipe(whole - whole // 5, part_of=whole, **settings),
            )
            assert (part.batch_size, part.exchanges) == (one.batch_size, one.exchanges)
            assert part.rules == one.rules and part.form == one.form
    assert recipe(96).batch_size == 100 and recipe(96, part_of=120).batch_size == 50
    assert recipe(96, part_of=120).epochs == 300


def test_noise_columns_do_not_make_a_classifier_sure():
    X, y = make_classification(300, 200, n_informative=10, n_redundant=0, random_state=1)
    X, held_x, y, held_y = train_test_split(X, y, test_size=0.2, random_state=0)
    model = EMTDAMPClassifier(random_state=0).fit(X, y)
    assert model.posterior_.inflation > 1
    assert log_loss(held_y, model.predict_proba(held_x)) < 0.68  # log 2 = 0.693; f = 1: 1.2


def test_columns_that_are_learnt_by_heart_do_not_make_a_regressor_sure():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 60))
    y = 2 * np.tanh(X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3] + 0.5 * rng.normal(size=700)
    model = EMTDAMPRegressor((50,), random_state=0).fit(X[:200], y[:200])
    mean, std = model.predict(X[200:], return_std=True)
    scores = regression_scores(y[200:], mean, std)
    of_the_mean = norm(y[:200].mean(), y[:200].std()).logpdf(y[200:]).mean()
    assert scores["log_likelihood"] > of_the_mean + 0.2  # with any v, however small: below it
    assert 0.8 < scores["coverage_90"] < 0.97


def test_held_out_rows_choose_the_slab_of_a_small_classifier():
    noisy = make_classification(300, 12, n_informative=4, flip_y=0.4, random_state=14)
    smooth = EMTDAMPClassifier((20,), em_iters=100, random_state=0).fit(*noisy)
    slab = smooth.slab_
    assert slab < recipes.SLAB  # a wide one learns the flipped labels
    smooth.partial_fit(*noisy)  # and goes on with it
    assert smooth.slab_ == slab
    assert smooth._progress.state.layers[1].prior.precision[-1, 0] == pytest.approx(20 / slab)
    rings = make_gaussian_quantiles(n_samples=300, n_features=6, n_classes=3, random_state=4)
    assert EMTDAMPClassifier((20,), em_iters=100, random_state=0).fit(*rings).slab_ > 1
    for settings in ({"slab": 7.0}, {"inflation": 1.0}):
        given = EMTDAMPClassifier((20,), random_state=0, em_iters=2, **settings).fit(*noisy)
        assert given.slab_ == settings.get("slab", recipes.SLAB)
    for hidden in ((20,), ()):  # of a line too
        regressor = EMTDAMPRegressor(hidden, random_state=0, em_iters=2).fit(*noisy)
        assert regressor.slab_ == recipes.SLAB


def test_copies_of_rows_are_held_out_together():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(100, 4)), 3, 0)[rng.permutation(300)]
    y = np.zeros(300, np.int32)
    left, out = inflation.hold_out(Data(x, y, np.ones(300)), seed=0)
    assert_array_equal(np.sort(np.concatenate([left, out])), np.arange(300))
    assert len(out) == 60
    assert not {*map(tuple, x[left])} & {*map(tuple, x[out])}


def test_one_row_that_is_most_of_the_table_is_shared_out():
    x = np.random.default_rng(0).normal(size=(30, 4))
    x = np.concatenate([x, np.tile(x[:1], (900, 1))])
    left, out = inflation.hold_out(Data(x, np.zeros((930, 1)), np.ones(930)), seed=2)
    assert len(out) == 186 and len(left) == 744


@pytest.mark.parametrize("columns", [0, 1, 3, 10])
def test_rows_of_few_discrete_columns_are_no_copies(columns):
    x = np.random.default_rng(0).integers(0, 2, (400, max(columns, 1))).astype(float)
    x[:, columns:] = 1.0
    data = Data(x, np.arange(400, dtype=np.int32) % 2, np.ones(400))
    left, out = inflation.hold_out(data, seed=3)
    expected = train_test_split(np.arange(400), test_size=0.2, random_state=3, stratify=data.y)
    assert_array_equal(left, expected[0])
    assert_array_equal(out, expected[1])


def test_repeated_rows_do_not_make_a_classifier_sure():
    X, y = make_classification(300, 60, n_informative=6, n_redundant=0, flip_y=0.1, random_state=2)
    some, held_x, labels, held_y = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
    thrice = [np.repeat(part, 3, 0) for part in (some, labels)]
    plain, copies = (
        EMTDAMPClassifier((30,), random_state=0).fit(*data) for data in ((some, labels), thrice)
    )
    losses = [log_loss(held_y, model.predict_proba(held_x)) for model in (plain, copies)]
    assert losses[1] < losses[0] + 0.15  # rows held out one by one: 2.5 for 0.66


def test_rows_of_hardly_any_weight_leave_the_width_of_y():
    X, y = small(120)
    model = EMTDAMPRegressor(random_state=0).fit(X, y, sample_weight=np.full(120, 1e-3))
    _, std = model.predict(X, return_std=True)
    assert np.median(std) < 8 * y.std()


@pytest.mark.parametrize("make", [EMTDAMPRegressor, EMTDAMPClassifier])
def test_seeds_reproduce_the_factor_and_streams_keep_it(make):
    X, y = small(120)
    if make is EMTDAMPClassifier:
        y = y > 0
    model = make((4,), em_iters=20, random_state=0).fit(X, y)
    again = clone(model).fit(X, y)
    factor = model.posterior_.inflation
    assert again.posterior_.inflation == factor != 1
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert other.posterior_.inflation != factor
    model.partial_fit(X[:40], y[:40])
    model.partial_fit(X[40:], y[40:])
    assert model.posterior_.inflation == factor
    assert_array_equal(clone(model).partial_fit(X[:40], y[:40]).posterior_.inflation, 1.0)


def test_too_few_rows_or_many_hold_none_out(monkeypatch):
    monkeypatch.setattr(inflation, "choose", lambda *_: pytest.fail("rows were held out"))
    X, y = small(inflation.LEAST_ROWS - 1)
    few = EMTDAMPRegressor((4,), em_iters=2, random_state=0).fit(X, y)
    assert few.posterior_.inflation > 3  # rows count 6 times in the fit, once in predictions
    X, y = small(fitting.SMALL)
    many = EMTDAMPClassifier((4,), em_iters=2, random_state=0).fit(X, y > 0)
    assert many.posterior_.inflation == 1
