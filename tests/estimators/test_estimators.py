"""The scikit-learn contract of both estimators, and what they promise beyond it."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_friedman1
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor
from emtdamp.errors import UsageError
from emtdamp.training import recipes
from emtdamp.training.forms import Schedule
from tests.exact import gaussian_regression

pytestmark = pytest.mark.slow


@parametrize_with_checks(
    [EMTDAMPClassifier((10,), em_iters=50), EMTDAMPRegressor((10,), em_iters=50)]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(400, 10, noise=1.0, random_state=0)


@pytest.fixture(scope="module")
def pruned(friedman):
    X, y = friedman
    return EMTDAMPRegressor((40,), sparsity=0.5, input_sparsity=0.5, random_state=0).fit(X, y)


def linear(**settings):
    return EMTDAMPRegressor(hidden_layer_sizes=(), **settings)


@pytest.mark.parametrize("noise", ["auto", 2500.0])
@pytest.mark.parametrize("input_sparsity", [0.0, 0.5])
def test_batches_in_sequence_equal_one_fit_where_linear_and_gaussian(noise, input_sparsity):
    X, y = load_diabetes(return_X_y=True)
    X = X @ np.random.default_rng(0).normal(size=(10, 10)) + 50  # correlated, off centre
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    whole = linear(noise=noise, input_sparsity=input_sparsity).fit(X, y, weight)
    streamed = clone(whole)
    for rows in np.split(np.random.default_rng(2).permutation(len(X)), [3, 40, 300]):
        streamed.partial_fit(X[rows], y[rows], weight[rows])
    for one, two in zip(streamed.predict(X, True), whole.predict(X, True), strict=True):
        assert_allclose(one, two, rtol=1e-8)
    assert_allclose(streamed.log_partition_, whole.log_partition_, rtol=1e-10)
    assert_allclose(streamed.noise_variance_, whole.noise_variance_, rtol=1e-8)
    assert_array_equal(streamed.active_groups_[0], whole.active_groups_[0])


def test_linear_model_equals_exact_regression():
    X, y = load_diabetes(return_X_y=True)
    model = linear(noise=3000.0, slab=5.0).fit(X, y)
    x, z = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    _, mean, cov = gaussian_regression(x, z[:, None], 3000 / y.var(), 5.0 / 10)
    got, noise, spread = model.predict(X[:5], return_std="parts")
    assert_allclose(got, (x[:5] @ mean[:-1, 0]) * y.std() + y.mean(), rtol=1e-9)
    cov = cov[:-1, :-1]
    var = np.einsum("bn,nm,bm->b", x[:5], cov, x[:5]) * y.var() + 3000 / len(y)
    assert_allclose(spread**2, var, rtol=1e-9)
    assert_allclose(noise**2, 3000)


def test_parts_of_the_deviation_add_up(friedman, pruned):
    X = friedman[0]
    mean, noise, model = pruned.predict(X, return_std="parts")
    same, total = pruned.predict(X, return_std=True)
    assert_array_equal(mean, same)
    assert_allclose(total**2, noise**2 + model**2)
    assert_allclose(noise**2, pruned.noise_variance_)
    with pytest.raises(UsageError, match="return_std='both'; use False, True or 'parts'"):
        pruned.predict(X, return_std="both")


@pytest.mark.parametrize("settings", [{}, {"hidden_layer_sizes": (50, 50), "sparsity": 0.5}])
def test_predictive_deviation_covers(friedman, settings):
    X, y = friedman
    X, held_x, y, held_y = train_test_split(X, y, random_state=0)
    model = EMTDAMPRegressor(**settings, random_state=0).fit(X, y)
    mean, std = model.predict(held_x, return_std=True)
    assert 0.8 < np.mean(np.abs(held_y - mean) < 1.96 * std) <= 1.0
    assert np.sqrt(np.mean((held_y - mean) ** 2)) < 2.0  # 5.0 is the deviation of y, 1.0 the noise


def test_sparsity_leaves_exactly_the_rest(pruned):
    inputs, hidden = pruned.active_groups_
    assert inputs.sum() == 5 and hidden.sum() == 20
    assert inputs[:5].sum() >= 4  # the five that matter
    first, second = pruned.posterior_.mean
    assert (first[:-1][~inputs] == 0).all() and (second[:-1][~hidden] == 0).all()
    assert pruned.posterior_.parameters == 6 * 20 + 21


def test_sparsity_of_each_layer(friedman):
    X, y = friedman
    share = np.array([0.5, 0.25])
    model = EMTDAMPRegressor((50, 50), sparsity=share, em_iters=1, random_state=0).fit(X, y)
    assert [int(active.sum()) for active in model.active_groups_] == [10, 25, 38]
    assert model.sparsity is share
    for each in ((0.5, 0.25), [0.5, 0.25], share):
        params = clone(model).set_params(sparsity=each).get_params()
        assert recipes.pruning(params, 10) == (("dense", "steered", "steered"), (10, 25, 38))
    params = clone(model).set_params(sparsity=[0.0, "auto"]).get_params()
    assert recipes.pruning(params, 10) == (("dense", "dense", "free"), (10, 50, 50))


def test_keras_model_and_saved_posterior(friedman, pruned, tmp_path):
    from emtdamp import load_posterior

    X = friedman[0]
    model = pruned.to_keras()
    assert [layer.units for layer in model.layers] == [20, 1]
    keras = model.predict(X.astype(np.float32), verbose=0)[:, 0]
    # the network of mean weights, not the mean of the networks
    assert np.corrcoef(keras, pruned.predict(X))[0, 1] > 0.98
    again = load_posterior(pruned.posterior_.save(tmp_path / "posterior.npz"))
    assert_array_equal(again.propagate(X)[0][:, 0], pruned.predict(X))
    assert_array_equal(np.sqrt(again.propagate(X)[1])[:, 0], pruned.predict(X, "parts")[2])
    assert again.noise_variance == pruned.noise_variance_


def test_a_monitor_sees_every_iteration_and_its_posterior():
    X, y = load_iris(return_X_y=True)
    seen = []
    model = EMTDAMPClassifier((8,), em_iters=3, random_state=0)
    model.fit(X, y, monitor=lambda row, posterior: seen.append((row, posterior)))
    assert [row for row, _ in seen] == model.history_
    log_p = [posterior.log_probabilities(X) for _, posterior in seen]
    assert_array_equal(np.exp(log_p[-1]), model.predict_proba(X))
    assert not np.array_equal(log_p[0], log_p[-1])


def test_auto_sparsity_finds_the_inputs_that_matter(friedman):
    X, y = friedman
    model = linear(input_sparsity="auto").fit(X, X[:, :2] @ [3.0, -2.0] + 0.1 * y)
    assert model.active_groups_[0][:2].all()
    network = EMTDAMPRegressor((20,), sparsity="auto", random_state=0).fit(X, y)
    assert 1 <= network.active_groups_[1].sum() <= 20


def test_constant_inputs_are_ignored(friedman):
    X, y = friedman
    wide = np.insert(X, [0, 4], 7.0, axis=1)
    settings = {"em_iters": 5, "random_state": 0}
    model = EMTDAMPRegressor((20,), **settings).fit(X, y)
    other = EMTDAMPRegressor((20,), **settings).fit(wide, y)
    assert_array_equal(np.flatnonzero(~other.active_groups_[0]), [0, 5])
    wide[:, 0] = -3.0
    assert_allclose(other.predict(wide), model.predict(X), rtol=1e-10)


def test_scale_and_offset_of_the_data_change_nothing(friedman):
    X, y = friedman
    model = EMTDAMPRegressor((20,), em_iters=5, random_state=0).fit(X, y)
    other = clone(model).fit(X * 1e3 + 1e5, y * 1e-4 - 7)
    assert_allclose(other.predict(X * 1e3 + 1e5), model.predict(X) * 1e-4 - 7, rtol=1e-6)
    assert_allclose(other.noise_variance_, model.noise_variance_ * 1e-8, rtol=1e-5)


def test_seeds_reproduce_and_differ(friedman):
    X, y = friedman
    runs = [
        EMTDAMPRegressor((20,), em_iters=3, random_state=seed).fit(X, y).predict(X)
        for seed in (0, 0, 1)
    ]
    assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 1e-3


def test_several_outputs_and_their_shapes(friedman):
    X, y = friedman
    both = np.stack([y, 100 * X[:, 0]], 1)
    model = EMTDAMPRegressor((20,), em_iters=10, random_state=0).fit(X, both)
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == both.shape
    assert model.noise_variance_.shape == (2,)
    assert model.score(X, both) > 0.5


def test_data_frames_keep_their_names():
    frame, y = load_iris(return_X_y=True, as_frame=True)
    model = EMTDAMPClassifier((10,), em_iters=20, random_state=0).fit(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns=str.upper))


def test_text_classes_in_a_pipeline_and_pickled():
    X, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[y]
    model = make_pipeline(StandardScaler(), EMTDAMPClassifier((20,), random_state=0))
    model.fit(X[::2], names[::2])
    assert model.score(X[1::2], names[1::2]) > 0.95
    probability = model.predict_proba(X)
    assert_allclose(probability.sum(1), 1, rtol=1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), probability)


@pytest.mark.parametrize("seed", range(4))
def test_classifier_streams(seed):
    X, y = load_iris(return_X_y=True)
    model = EMTDAMPClassifier((20,), random_state=seed)
    model.partial_fit(X, y)
    assert model.score(X, y) >= 0.93  # three minibatches, each counted in full
    for _ in range(3):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.95
    with pytest.raises(UsageError, match=r"classes \[3\], which are not among"):
        model.partial_fit(X[:4], [0, 1, 2, 3])


def test_early_stopping_keeps_the_best_iterate():
    X, y = load_breast_cancer(return_X_y=True)
    model = EMTDAMPClassifier(
        (20,), early_stopping=True, n_iter_no_change=2, em_iters=40, random_state=0
    ).fit(X, y)
    history = pd.DataFrame(model.history_)
    assert model.n_iter_ == len(history) <= 40
    late = history[history.iteration > Schedule(total=40).ramp_end * 40]  # patience starts
    assert late.held_out.idxmax() >= len(history) - 3 or model.n_iter_ == 40
    with pytest.raises(UsageError, match=r"cannot hold out 0\.1 of 6 rows"):
        EMTDAMPClassifier(early_stopping=True).fit(X[:6], [0, 0, 0, 0, 0, 1])


def test_neurons_are_pruned_with_their_incoming_weights(friedman):
    X, y = friedman
    model = EMTDAMPRegressor((20,), sparsity=0.5, share_incoming=True, random_state=0)
    active = []
    model.fit(X[:300], y[:300], monitor=lambda row, posterior: active.append(posterior.active[1]))
    assert model.active_groups_[1].sum() == 10
    assert all((now <= before).all() for before, now in pairwise(active))  # none comes back
    assert model.score(X[300:], y[300:]) > 0.8


def test_warm_start_continues(friedman):
    X, y = friedman
    cold = EMTDAMPRegressor((20,), em_iters=2, random_state=0).fit(X, y)
    warm = EMTDAMPRegressor((20,), em_iters=2, warm_start=True, random_state=0).fit(X, y)
    for _ in range(3):
        warm.fit(X, y)
    assert warm.score(X, y) > cold.score(X, y)
    assert warm.history_[0]["log_partition"] > cold.history_[-1]["log_partition"]


def test_what_cannot_go_on_from_a_posterior_says_why():
    X, y = load_iris(return_X_y=True)
    X = np.column_stack([X, np.ones(len(X))])
    model = EMTDAMPClassifier((4,), em_iters=1, warm_start=True, random_state=0).fit(X, y)
    before = model.predict_proba(X)
    wider = X + np.arange(len(X))[:, None] * (np.arange(5) == 4)
    for settings, rows, labels, text in [
        ({"hidden_layer_sizes": (5,)}, X, y, r"\(5,\) cannot go on from a posterior of \(4,\)"),
        ({}, X[:, :3], y, "X has 3 features, but EMTDAMPClassifier is expecting 5 features"),
        ({}, X, y + 1, r"classes \[3\], which are not among \[0 1 2\]"),
        ({}, X[:100], y[:100], r"classes \[0 1\], which cannot go on from a posterior of \[0 1 2"),
        ({}, wider, y, r"columns \[4\] of X vary, but were constant in the fit"),
    ]:
        with pytest.raises(UsageError, match=text) as raised:
            model.set_params(**settings).fit(rows, labels)
        assert "warm_start=False" in str(raised.value)
        model.set_params(hidden_layer_sizes=(4,))
        assert_array_equal(model.predict_proba(X), before)
    with pytest.raises(UsageError, match=r"=5 cannot go on from a posterior of \(4,\)"):
        clone(model).fit(X, y).set_params(hidden_layer_sizes=5).partial_fit(X, y)
    still = X * [1, 1, 1, 0, 1]  # a column that is constant now tells nothing more of its weights
    assert np.isfinite(model.fit(still, y).predict_proba(still)).all()


def test_the_papers_algorithm_is_named_by_its_parameters(friedman):
    default, paper = EMTDAMPRegressor().get_params(), EMTDAMPRegressor.paper().get_params()
    changed = {name for name in default if paper[name] != default[name]}
    assert changed == {"update", "window", "sparsity", "soft", "slab", "noise"}
    model = EMTDAMPRegressor.paper(hidden_layer_sizes=(20,), em_iters=40, random_state=0)
    again = clone(model).fit(*friedman)
    assert_array_equal(model.fit(*friedman).predict(friedman[0]), again.predict(friedman[0]))
    assert model.score(*friedman) > 0.8
    assert EMTDAMPClassifier.paper(inner_iters=2, sparsity=0.5).sparsity == 0.5


@pytest.mark.parametrize("setting", [{"noise": "learn"}, {"slab": "learn"}])
def test_variances_of_a_classifier_can_be_learnt(setting):
    X, y = load_iris(return_X_y=True)
    start = {"hidden_layer_sizes": (20,), "em_iters": 10, "random_state": 0, "slab": 1.0}
    held = EMTDAMPClassifier(**start).fit(X, y)
    learnt = EMTDAMPClassifier(**start | setting).fit(X, y)
    assert (learnt.noise_variance_ != 1.0) == ("noise" in setting)
    assert np.abs(learnt.predict_proba(X) - held.predict_proba(X)).max() > 1e-3
    assert learnt.score(X, y) > 0.9


def test_verbose_prints_an_iteration_a_line(friedman, capsys):
    EMTDAMPRegressor((20,), em_iters=3, random_state=0, verbose=True).fit(*friedman)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("iteration 3, log_partition ")


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"sparsity": 1.0}, "sparsity=1.0; give a number at least 0 and below 1, or 'auto'"),
        ({"sparsity": "half"}, "sparsity='half'"),
        ({"sparsity": (0.5, 0.5)}, r"sparsity=\(0.5, 0.5\) has 2 values for 1 hidden layers"),
        ({"sparsity": [1.5]}, r"sparsity\[0\]=1.5; give a number at least 0"),
        ({"em_iters": 0}, "em_iters=0; give an integer of at least 1 or 'auto'"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"slab": 0}, "slab=0 is no variance"),
        (
            {"slab": "em"},
            "slab='em' is no variance; give a finite number above 0, 'auto' or 'learn'",
        ),
        ({"window": 0.0}, "window=0.0; give a number of passes above 0"),
        ({"noise": -1.0}, "noise=-1.0 is no variance"),
        ({"damping": 1.0}, "damping=1.0"),
        ({"activation": "gelu"}, "activation='gelu'; use one of relu, identity, tanh"),
        ({"update": "adam"}, "update='adam'; use one of decoupled, window"),
        ({"inner_iters": 3}, "inner_iters=3 needs update='window'"),
        ({"hidden_layer_sizes": (0,)}, r"hidden_layer_sizes=\(0,\)"),
        ({"validation_fraction": 0.0}, "validation_fraction=0.0"),
    ],
)
def test_settings_out_of_range_are_named(settings, text):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UsageError, match=text):
        EMTDAMPClassifier(**settings).fit(X, y)
