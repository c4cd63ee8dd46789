"""The contract that every baseline keeps, and what each promises beyond it."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, make_friedman1
from sklearn.utils.estimator_checks import parametrize_with_checks

from emtdamp.baselines import (
    AMP,
    Adam,
    BaselineClassifier,
    BaselineRegressor,
    BayesByBackprop,
    Gradual,
    GroupLasso,
    GroupSNIP,
    Magnitude,
)
from emtdamp.errors import EmtdampError, UsageError

pytestmark = pytest.mark.slow

METHODS = [
    *(Adam(), Magnitude(fine_tune=0.3), GroupLasso(), GroupSNIP(), Gradual()),
    *(BayesByBackprop(), AMP()),
]
PRUNED = {"sparsity": 0.5, "input_sparsity": 0.25, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], np.array(list("abcdefghij"))[y[:600]]


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(300, 8, noise=1.0, random_state=0)


@parametrize_with_checks(
    [
        BaselineClassifier(hidden_layer_sizes=(10,), epochs=50),
        BaselineRegressor(hidden_layer_sizes=(10,), epochs=50),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module", params=METHODS, ids=repr)
def classifier(request, digits):
    seen = []
    model = BaselineClassifier(request.param, (20,), epochs=10, batch_size=50, **PRUNED)
    model.fit(*digits, monitor=lambda row, network: seen.append((row, network)))
    return model, seen


@pytest.fixture(scope="module", params=METHODS, ids=repr)
def regressor(request, friedman):
    return BaselineRegressor(request.param, (20,), epochs=40, **PRUNED).fit(*friedman)


def test_classifiers_keep_the_contract(classifier, digits):
    model, seen = classifier
    X, y = digits
    assert [row for row, _ in seen] == model.history_ and len(seen) == model.n_iter_ == 10
    assert model.score(X, y) > (0.6 if isinstance(model.method, Adam) else 0.3)
    log_p = model.predict_log_proba(X)
    assert log_p.shape == (600, 10)
    assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-5)
    assert_array_equal(np.exp(log_p), model.predict_proba(X))
    assert_array_equal(model.classes_[log_p.argmax(1)], model.predict(X))
    assert seen[-1][1].log_probabilities(X).shape == log_p.shape
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_exactly_the_groups_asked_for_are_left_and_the_rest_is_zero(classifier, digits):
    model, _ = classifier
    X = digits[0]
    inputs, hidden = model.active_groups_
    live = np.ptp(X, axis=0) > 0
    assert inputs.sum() == round(0.75 * live.sum()) and hidden.sum() == 10
    assert not (inputs & ~live).any()
    first, second = model.network_.mean
    assert (first[:-1][~inputs[live]] == 0).all() and (second[:-1][~hidden] == 0).all()
    small = model.network_.prune()
    assert [m.shape for m in small.mean] == [(inputs.sum() + 1, 10), (11, 10)]
    assert_allclose(small.log_probabilities(X), model.predict_log_proba(X), atol=1e-4)


def test_a_smaller_copy_keeps_the_largest_groups(classifier, digits):
    model, _ = classifier
    smaller = model.prune(4, inputs=20)
    inputs, hidden = smaller.active_groups_
    assert inputs.sum() == 20 and hidden.sum() == 4
    assert (model.active_groups_[0] >= inputs).all() and model.active_groups_[1].sum() == 10
    second = (part[1][:-1] for part in (model.network_.mean, model.network_.var))
    strength = model.network_.strength(*second)
    assert set(np.flatnonzero(hidden)) == set(np.argsort(-strength)[:4])
    assert smaller.predict_proba(digits[0]).shape == (600, 10)
    with pytest.raises(UsageError, match="11 groups to keep of layer 1; give 1 to 10"):
        model.prune(11)


def test_keras_gives_the_same_probabilities(classifier, digits):
    model, _ = classifier
    keras = model.to_keras()
    got = keras(digits[0].astype(np.float32)).numpy()
    assert [layer.units for layer in keras.layers] == [10, 10]
    if isinstance(model.method, AMP | BayesByBackprop):  # of the mean weights alone
        assert np.mean(got.argmax(1) == model.predict_proba(digits[0]).argmax(1)) > 0.8
    else:
        assert_allclose(got, model.predict_proba(digits[0]), atol=1e-4)


def test_regressors_keep_the_contract(regressor, friedman):
    X, y = friedman
    mean, std = regressor.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape
    assert_array_equal(mean, regressor.predict(X))
    assert (std**2 >= regressor.noise_variance_ * (1 - 1e-6)).all()
    assert regressor.n_iter_ == len(regressor.history_) == 40
    inputs, hidden = regressor.active_groups_
    assert inputs.sum() == 6 and hidden.sum() == 10
    assert_allclose(regressor.to_keras()(X.astype(np.float32)).numpy()[:, 0].mean(), mean.mean(),
                    atol=0.3)  # fmt: skip
    again = pickle.loads(pickle.dumps(regressor))
    assert_array_equal(again.predict(X), mean)


def test_the_noise_is_that_of_rows_held_out(friedman):
    X, y = friedman
    more, target = make_friedman1(3000, 8, noise=1.0, random_state=1)
    model = BaselineRegressor(Adam(), (50,), epochs=100, random_state=0).fit(X, y)
    test = np.mean((model.predict(more) - target) ** 2)
    assert model.noise_variance_ == pytest.approx(test, rel=0.35)
    assert np.mean((model.predict(X) - y) ** 2) < 0.7 * test  # the training rows' would not do
    smaller = model.prune(10)
    assert smaller.noise_variance_ > 1.5 * model.noise_variance_  # measured anew
    assert_allclose(smaller.predict(X, True)[1] ** 2, smaller.noise_variance_, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_seeds_reproduce_and_differ(method, digits):
    X, y = digits
    runs = [
        BaselineClassifier(method, (8,), sparsity=0.5, epochs=2, random_state=s).fit(X, y)
        for s in (0, 0, 1)
    ]
    one, same, other = (model.predict_proba(X) for model in runs)
    assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert_array_equal(clone(runs[0]).fit(X, y).predict_proba(X), one)


@pytest.mark.parametrize("standardize", [True, False])
def test_units_of_the_inputs_matter_unless_they_are_standardized(standardize, digits):
    X, y = digits
    settings = {"epochs": 2, "random_state": 0, "standardize": standardize}
    one, other = (BaselineClassifier(**settings).fit(x, y) for x in (X, 3 * X + 5))
    same = np.allclose(one.predict_proba(X), other.predict_proba(3 * X + 5), atol=1e-4)
    assert same == standardize


def test_when_groups_are_dropped(digits):
    def left(method):
        model = BaselineClassifier(method, (20,), sparsity=0.5, epochs=10, random_state=0)
        return [row["active_1"] for row in model.fit(*digits).history_]

    assert left(Adam()) == [20] * 9 + [10]
    assert left(Magnitude(fine_tune=0.3)) == [20] * 6 + [10] * 4  # the last step of the 7th epoch
    assert left(GroupSNIP()) == [10] * 10
    ramp = left(Gradual(begin_at=0.2, end_at=0.8))
    share = np.clip((np.arange(1, 11) / 10 - 0.2) / 0.6, 0, 1)
    assert ramp == [10 + int(np.ceil(10 * (1 - t) ** 3 - 1e-9)) for t in share]


def test_settings_out_of_range_are_named(digits):
    X, y = digits
    for settings, text in [
        ({"method": "adam"}, "method='adam'; give Adam"),
        ({"sparsity": 1.0}, "sparsity=1.0; give a number at least 0 and below 1"),
        ({"input_sparsity": "auto"}, "input_sparsity='auto'"),
        ({"standardize": "minmax"}, "standardize='minmax'; give True or False"),
        ({"epochs": 0}, "epochs=0; give an integer of at least 1 or 'auto'"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"activation": "gelu"}, "activation='gelu'; use one of"),
        ({"hidden_layer_sizes": ()}, "give one hidden layer at least"),
    ]:
        with pytest.raises(UsageError, match=text):
            BaselineClassifier(**settings).fit(X, y)
    for method, settings, text in [
        (Adam, {"rate": 0.0}, "rate=0.0; give a number above 0"),
        (Adam, {"schedule": "linear"}, "schedule='linear'; use constant or cosine"),
        (Magnitude, {"fine_tune": 1.0}, "fine_tune=1.0"),
        (GroupLasso, {"penalty": -1}, "penalty=-1"),
        (GroupSNIP, {"batches": 0}, "batches=0"),
        (BayesByBackprop, {"kl_weight": 0}, "kl_weight=0; give a number above 0"),
        (BayesByBackprop, {"prior_sd": -0.1}, "prior_sd=-0.1"),
        (BayesByBackprop, {"initial_sd": 0.0}, "initial_sd=0.0"),
        (BayesByBackprop, {"samples": 0}, "samples=0; give an integer of at least 1"),
        (Gradual, {"begin_at": 0.5, "end_at": 0.5}, "give 0 <= begin < end <= 1"),
    ]:
        with pytest.raises(UsageError, match=text):
            method(**settings)
    with pytest.raises(UsageError, match="the noise variance needs 5 rows"):
        BaselineRegressor(hidden_layer_sizes=(2,)).fit(X[:4], np.arange(4.0))


def test_a_step_too_long_is_named(friedman):
    with pytest.raises(EmtdampError, match="use a rate below 1e"):
        BaselineRegressor(Adam(rate=1e30), (5,), epochs=3).fit(*friedman)


def test_a_network_of_points_is_saved_as_keras(classifier, tmp_path):
    model, _ = classifier
    if isinstance(model.method, Adam):
        with pytest.raises(UsageError, match="use to_keras"):
            model.network_.save(tmp_path / "network.npz")
