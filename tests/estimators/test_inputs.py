"""Inputs as users have them: the right answer, or an error of scikit-learn's kind that names it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from emtdamp import EMTDAMPClassifier, EMTDAMPRegressor
from emtdamp.errors import UsageError

pytestmark = pytest.mark.slow

# one shape of data and one network: few epochs are compiled
ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3))
Y = X[:, 0] - X[:, 1] + 0.1 * RNG.normal(size=ROWS)
LABELS = np.where(Y > 0, "yes", "no")
ONE = np.zeros(ROWS)
ONE[0] = 1


def regressor(**settings):
    return EMTDAMPRegressor(
        **{"hidden_layer_sizes": (4,), "em_iters": 60, "random_state": 0, **settings}
    )


def classifier(**settings):
    return EMTDAMPClassifier(
        **{"hidden_layer_sizes": (4,), "em_iters": 20, "random_state": 0, **settings}
    )


def linear(**settings):
    return regressor(hidden_layer_sizes=(), **settings)


@pytest.fixture(scope="module")
def fitted():
    return {"classes": classifier().fit(X, LABELS), "real": regressor().fit(X, Y),
            "linear": linear().fit(X, Y)}  # fmt: skip


def sound(model, x, y):
    """Predictions are finite; return R^2 or the accuracy."""
    if isinstance(model, EMTDAMPClassifier):
        probability = model.predict_proba(x)
        assert np.isfinite(probability).all()
        assert_allclose(probability.sum(1), 1, rtol=1e-5)
        assert np.isfinite(model.predict_log_proba(x)).all()
    else:
        mean, std = model.predict(x, return_std=True)
        assert np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()
        assert np.isfinite(model.noise_variance_).all()
    assert np.isfinite(model.log_partition_)
    return model.score(x, y)


NUMBERS = ["half", None, [], {}, True, np.nan, np.inf, -1, 1j, np.array([0.5, 0.5])]
BAD = {
    "hidden_layer_sizes": [None, 5.0, True, (True,), (2.5,), 0, (0,), -3, "4", {4}, ((4,),)],
    "sparsity": [*NUMBERS[:9], 1, 1.0, (0.5, 0.5), (), [2.0], ["half"], np.eye(2), (None,)],
    "input_sparsity": [*NUMBERS, 1.0, (0.5,)],
    "em_iters": [*NUMBERS, 0, 2.0],
    "batch_size": [*NUMBERS, 0, 10.0],
    "slab": [*NUMBERS, 0, 1e300, 1e-300],
    "noise": [*NUMBERS, 0, 1e300, 1e-300],
    "inner_iters": ["auto", *NUMBERS, 0, 1.5],
    "damping": [*NUMBERS, 1.0],
    "validation_fraction": ["auto", *NUMBERS, 0, 1.0],
    "n_iter_no_change": ["auto", *NUMBERS, 0],
    "activation": ["gelu", None, 1, ["relu"], np.array(["relu", "tanh"])],
    "update": ["adam", None, 1, np.array(["window"])],
    "share_incoming": ["yes", None, 2, [True]],
    "early_stopping": ["yes", None, 2],
    "warm_start": ["yes", None, 2],
    "verbose": ["yes", None, 0.5],
}


@pytest.mark.parametrize("name", BAD)
def test_parameters_out_of_range_are_named(name):
    for value in BAD[name]:
        with pytest.raises(UsageError, match=rf"^{name}(\[0\])?="):
            classifier(**{name: value}).fit(X, LABELS)


@pytest.mark.parametrize("value", ["seed", -1, 1.5, np.random.default_rng(0)])
def test_random_states_that_are_none(value):
    with pytest.raises(ValueError, match=r"[Ss]eed"):
        classifier(random_state=value).fit(X, LABELS)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": 4},
        {"hidden_layer_sizes": np.int32(4)},
        {"hidden_layer_sizes": [4]},
        {"hidden_layer_sizes": np.array([4])},
        {"sparsity": (0.0,)},
        {"em_iters": np.int64(60), "verbose": 0, "share_incoming": np.False_},
    ],
)
def test_other_ways_to_say_the_same(fitted, settings):
    model = regressor(**settings).fit(X, Y)
    assert_array_equal(model.predict(X), fitted["real"].predict(X))
    copy = clone(model)
    assert all(copy.get_params()[name] is not None for name in settings)


def test_more_rows_a_minibatch_than_there_are_mean_all():
    huge = linear(batch_size=10**9).fit(X, Y)  # the exact model has none
    assert sound(huge, X, Y) > 0.9
    model = regressor(batch_size=10**9, em_iters=100).fit(X, Y)
    assert sound(model, X, Y) > 0.9


BAD_DATA = {
    "no rows": (X[:0], Y[:0]),
    "no columns": (X[:, :0], Y),
    "one dimension": (X[:, 0], Y),
    "three dimensions": (X[:, :, None], Y),
    "NaN in X": (np.where(X == X[7, 1], np.nan, X), Y),
    "inf in X": (np.where(X == X[7, 1], np.inf, X), Y),
    "-inf in X": (np.where(X == X[7, 1], -np.inf, X), Y),
    "text in X": (np.full(X.shape, "a"), Y),
    "objects in X": (np.full(X.shape, None), Y),
    "complex X": (X + 1j, Y),
    "sparse X": (sparse.csr_matrix(X), Y),
    "X of 1e300": (X * 1e300, Y),
    "one value of 1e200": (X + 1e200 * ONE[:, None], Y),
    "X of 1e-200": (X * 1e-200, Y),
    "no X": (None, Y),
    "no y": (X, None),
    "shorter y": (X, Y[:-1]),
    "y of three dimensions": (X, np.zeros((ROWS, 1, 1))),
    "NaN in y": (X, np.where(Y == Y[3], np.nan, Y)),
    "inf in y": (X, np.where(Y == Y[3], np.inf, Y)),
    "complex y": (X, Y + 1j),
}
BAD_TARGETS = {
    "text": LABELS,
    "objects": np.full(ROWS, None),
    "1e300": Y * 1e300,
    "1e-200": Y * 1e-200,
    "one value of 1e200": Y + 1e200 * ONE,
}
BAD_LABELS = {
    "one class": np.zeros(ROWS),
    "real numbers": Y,
    "two columns": np.stack([LABELS, LABELS], 1),
    "indicators": np.eye(2, dtype=int)[(Y > 0).astype(int)],
    "mixed types": np.array([1, "a"] * (ROWS // 2), object),
    "objects": np.full(ROWS, None),
}


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("make", [regressor, classifier, linear])
def test_data_that_no_model_takes(make, name):
    x, y = BAD_DATA[name]
    if make is classifier and y is Y:
        y = LABELS
    for fit in (make().fit, make().partial_fit):
        with pytest.raises((ValueError, TypeError)) as raised:
            fit(x, y)
        assert not isinstance(raised.value, UnicodeError) and "tensor" not in str(raised.value)


@pytest.mark.parametrize("name", BAD_TARGETS)
@pytest.mark.parametrize("make", [regressor, linear])
def test_targets_that_are_none(make, name):
    with pytest.raises(ValueError):
        make().fit(X, BAD_TARGETS[name])


@pytest.mark.parametrize("name", BAD_LABELS)
def test_labels_that_are_none(name):
    with pytest.raises((ValueError, TypeError)):
        classifier().fit(X, BAD_LABELS[name])


def test_errors_of_size_say_what_to_do():
    for x, y, text in [
        (X * 1e300, Y, r"X has a value of size .*e\+300; its square would overflow: divide X"),
        (X * 1e-200, Y, r"a column of X varies by .*e-200 only; its square would be 0: multiply"),
        (X, Y * 1e300, r"y has a value of size .*e\+300"),
        (X, Y * 1e-200, r"a column of y varies by .*e-200 only"),
    ]:
        with pytest.raises(UsageError, match=text):
            regressor().fit(x, y)
    for value in (1e-12, 1e12):
        with pytest.raises(UsageError, match=rf"noise={value!r} is .* times the variance of y"):
            regressor(noise=value).fit(X, Y)


HUGE = np.float32(3e38) / np.abs(X).max() * X
GOOD = {
    "float32": X.astype(np.float32),
    "float16": X.astype(np.float16),
    "float32 at its end": HUGE.astype(np.float32),
    "1e100": X * 1e100,
    "1e-100": X * 1e-100,
    "1e-300 more": X + 1e-300,
    "columns of all scales": X * [1e-30, 1, 1e30],
    "objects": X.astype(object),
    "lists": X.tolist(),
    "integers": np.round(100 * X).astype(int),
    "int8": np.round(20 * X).astype(np.int8),
    "unsigned": np.round(100 * X - 100 * X.min()).astype(np.uint16),
    "Fortran": np.asfortranarray(X),
    "reversed": X[::-1][::-1],
    "not writeable": np.frombuffer(X.tobytes()).reshape(X.shape),
    "offset of 1e8": X + 1e8,
    "a column twice": X[:, [0, 1, 0]],
    "a constant column": np.column_stack([X[:, :2], np.full(ROWS, 1e30)]),
    "data frame": pd.DataFrame(X, columns=["a", "b", "c"]),
    "numbers for names": pd.DataFrame(X),
    "nullable floats": pd.DataFrame(X).convert_dtypes(),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("make", [regressor, classifier, linear])
def test_data_of_any_kind(make, name):
    x, y = GOOD[name], LABELS if make is classifier else Y
    assert sound(make().fit(x, y), x, y) > 0.75


@pytest.mark.parametrize("make", [regressor, classifier, linear])
def test_inputs_that_say_little(make):
    y = LABELS if make is classifier else Y
    assert sound(make().fit(X > 0, y), X > 0, y) > 0.4
    assert sound(make().fit(np.ones_like(X), y), np.ones_like(X), y) < 0.6


@pytest.mark.parametrize("make", [regressor, linear])
@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_targets_of_any_scale(make, scale):
    assert_allclose(
        make().fit(X, Y * scale).predict(X), make().fit(X, Y).predict(X) * scale, rtol=1e-4,
        atol=1e-4 * scale,
    )  # fmt: skip


@pytest.mark.parametrize("make", [regressor, linear])
@pytest.mark.parametrize("value", [0.0, 3.0, -1e100])
def test_constant_targets(make, value):
    model = make().fit(X, np.full(ROWS, value))
    assert np.isfinite(model.predict(X, return_std=True)).all()
    assert_allclose(model.predict(X), value, rtol=1e-6, atol=0.2)


@pytest.mark.parametrize("make", [regressor, linear])
def test_targets_in_other_types(make):
    for y in (Y.tolist(), Y.astype(object), pd.Series(Y), np.round(10 * Y).astype(int), Y[:, None]):
        assert sound(make().fit(X, y), X, y) > 0.75
    assert sound(make().fit(X, Y > 0), X, Y > 0) > 0.3


@pytest.mark.parametrize(
    "labels",
    [LABELS, LABELS.astype(object), (Y > 0), (Y > 0).astype(int) * 7 - 3, pd.Series(LABELS),
     pd.Categorical(LABELS), LABELS.tolist(), (Y > 0) * 1.0, (Y > 0).astype(np.uint8)],
    ids=lambda labels: f"{type(labels).__name__}-{getattr(labels, 'dtype', '')}",
)  # fmt: skip
def test_labels_in_other_types(labels):
    model = classifier().fit(X, labels)
    assert sound(model, X, labels) > 0.9
    assert model.predict(X).dtype == model.classes_.dtype


@pytest.mark.parametrize("make", [regressor, classifier, linear])
def test_weights_that_are_none(make):
    y = LABELS if make is classifier else Y
    for weight, text in [
        (np.zeros(ROWS), "at least one"),
        (-np.ones(ROWS), "[Nn]egative"),
        (np.where(ONE, np.nan, 1.0), "NaN"),
        (np.where(ONE, np.inf, 1.0), "infinity"),
        (np.full(ROWS, 1e-300), "sample_weight is 1e-300 on average"),
        (np.full(ROWS, 1e300), r"sample_weight is 1e\+300 on average"),
        (np.full(ROWS, 1e308), r"sample_weight is 1e\+308 on average"),
        (np.ones(ROWS - 1), "sample_weight.shape"),
        (np.ones((ROWS, 1)), "1D"),
        (["heavy"] * ROWS, r"could not convert|dtype"),
    ]:
        with pytest.raises((ValueError, TypeError), match=text):
            make().fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("make", [regressor, classifier, linear])
@pytest.mark.parametrize("rest", [1e-300, 1e-20, 1e-6])
def test_rows_of_hardly_any_weight_hardly_count(make, rest):
    y = LABELS if make is classifier else Y
    half = np.arange(ROWS) % 2 == 0
    wrong = np.where(half, y, y[::-1])
    weight = np.where(half, 1.0, rest)
    model = make(em_iters=100).fit(X, wrong, sample_weight=weight)
    assert sound(model, X[half], y[half]) > 0.6


@pytest.mark.parametrize("make", [regressor, classifier, linear])
@pytest.mark.parametrize("weight", [1e-8, 1e-3, 1e3, 1e8])
def test_weights_of_any_size_leave_finite_predictions(make, weight):
    y = LABELS if make is classifier else Y
    sound(make().fit(X, y, sample_weight=np.full(ROWS, weight)), X, y)


@pytest.mark.parametrize("make", [regressor, classifier, linear])
def test_predictions_refuse_what_was_not_fitted(make, fitted):
    with pytest.raises(NotFittedError):
        make().predict(X)
    with pytest.raises(NotFittedError):
        make().to_keras()
    model = fitted[{regressor: "real", classifier: "classes", linear: "linear"}[make]]
    for x, text in [
        (X[:, :2], "X has 2 features, but EMTDAMP[a-zA-Z]* is expecting 3"),
        (X[:0], "0 sample"),
        (X[0], "1D array"),
        (X[:, :, None], "dim 3"),
        (np.where(X == X[0, 0], np.nan, X), "NaN"),
        (X + 1j, "[Cc]omplex"),
        (np.full(X.shape, "a"), "could not convert"),
        (np.where(X == X[5, 1], 1e300, X), r"row 5 of X is .*e\+\d+ scales away in column 1"),
        (-1e20 * np.abs(X), r"row 0 of X is -.*e\+\d+ scales away in column 0"),
        (sparse.csr_matrix(X), "[Ss]parse"),
    ]:
        with pytest.raises((ValueError, TypeError), match=text):
            model.predict(x)
    far = model.predict_proba(1e6 * X) if make is classifier else model.predict(1e6 * X)
    assert np.isfinite(far).all()
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(clone(model), "posterior_")


def test_data_frames_of_other_columns():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = linear().fit(frame, Y)
    for other in (frame[["b", "a", "c"]], frame[["a", "b"]], frame.rename(columns={"a": "z"})):
        with pytest.raises(ValueError, match="feature names"):
            model.predict(other)


@pytest.mark.parametrize("return_std", ["both", "", None, 1, 0, [True], np.array([1, 0])])
def test_what_return_std_takes(fitted, return_std):
    with pytest.raises(UsageError, match="return_std="):
        fitted["real"].predict(X, return_std=return_std)


def test_parameters_that_are_not():
    with pytest.raises(ValueError, match="Invalid parameter 'epochs'"):
        regressor().set_params(epochs=3)
    with pytest.raises(TypeError):
        EMTDAMPRegressor(epochs=3)  # pyright: ignore


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows(rows):
    for make in (regressor, linear):
        sound_std = make().fit(X[:rows], Y[:rows]).predict(X, return_std=True)
        assert np.isfinite(sound_std).all()
    with pytest.raises(UsageError, match="one class only, 'yes'; give 2 classes or more"):
        classifier().fit(X[:1], ["yes"])


def test_a_batch_that_does_not_fit_the_stream():
    model = classifier()
    with pytest.raises(UsageError, match="one class only"):
        model.partial_fit(X, np.full(ROWS, "yes"))
    model.partial_fit(X, LABELS, classes=["no", "yes"])  # and the failed call left nothing behind
    before = model.predict_proba(X)
    with pytest.raises(UsageError, match=r"classes \['maybe'\], which are not among"):
        model.partial_fit(X, np.where(ONE, "maybe", LABELS))
    with pytest.raises(UsageError, match="X has 2 features, but EMTDAMPClassifier is expecting 3"):
        model.partial_fit(X[:, :2], LABELS)
    with pytest.raises(UsageError, match=r"row 0 of X is .* scales away"):
        model.partial_fit(X * 1e30, LABELS)
    assert_array_equal(model.predict_proba(X), before)
    assert sound(model, X, LABELS) > 0.9
    model = linear().partial_fit(X, Y)
    with pytest.raises(UsageError, match="y has 2 outputs, the posterior to go on from 1"):
        model.partial_fit(X, np.stack([Y, Y], 1))
    with pytest.raises(UsageError, match=r"\(4,\) cannot go on from a posterior of \(\)"):
        model.set_params(hidden_layer_sizes=(4,)).partial_fit(X, Y)


def test_two_outputs_of_different_size():
    y = np.stack([Y * 1e-20, np.ones(ROWS), Y * 1e20], 1)
    model = linear().fit(X, y)
    assert np.isfinite(model.predict(X, return_std=True)).all()
    assert_allclose(model.predict(X)[:, 2] / 1e20, model.predict(X)[:, 0] / 1e-20, rtol=1e-6)


@pytest.mark.parametrize("rows, classes", [(30, 7), (60, 13), (100, 25)])
def test_more_classes_than_rows_to_hold_out(rows, classes):
    labels = np.arange(rows) % classes
    model = classifier(em_iters=2).fit(X[:rows], labels)
    assert_allclose(model.predict_proba(X).sum(1), 1, rtol=1e-5)


def test_a_fit_that_fails_leaves_what_was_learnt():
    model = classifier(em_iters=2).fit(X, LABELS)
    before, state = model.predict_proba(X), dict(vars(model))
    fails = [
        (X, np.full(ROWS, "maybe"), {}),
        (X[:, :2] * 1e200, LABELS, {}),
        (X, np.where(Y > 0, "a", "b"), {"early_stopping": True, "validation_fraction": 0.001}),
    ]
    for x, labels, settings in fails:
        with pytest.raises(UsageError):
            model.set_params(**settings).fit(x, labels)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(early_stopping=False).fit(X[:50], LABELS[:50], monitor=interrupted)
    model.set_params(validation_fraction=0.1)
    assert vars(model).keys() == state.keys()
    assert_array_equal(model.predict_proba(X), before)
    assert set(model.predict(X)) == {"yes", "no"}
    model.partial_fit(X, LABELS)


def interrupted(row, posterior):
    raise KeyboardInterrupt


def test_a_column_that_a_stream_has_no_scale_for_is_named():
    still = X.copy()
    still[:40, 0] = 0
    model = regressor().partial_fit(still[:40], Y[:40])
    with pytest.warns(UserWarning, match=r"columns \[0\] of X vary, but were constant"):
        model.partial_fit(still[40:], Y[40:])
    assert model.active_groups_[0].tolist() == [False, True, True]
    line = linear().partial_fit(still[:40], Y[:40]).partial_fit(still[40:], Y[40:])
    assert line.score(still[40:], Y[40:]) > 0.95  # it revises its scales


def test_a_stream_does_not_begin_without_a_scale_of_y():
    for y in (Y[:1], np.ones(1)):
        with pytest.raises(UsageError, match="y is constant in the batch that a stream begins"):
            regressor().partial_fit(X[:1], y)
    model = regressor()
    with pytest.raises(UsageError, match="of two values of y at least"):
        model.partial_fit(X, np.stack([Y, np.full(ROWS, 3.0)], 1))
    assert not hasattr(model, "posterior_") and not hasattr(model, "n_features_in_")
    assert np.isfinite(linear().partial_fit(X[:1], Y[:1]).predict(X)).all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_stream_of_small_batches_whatever_the_unit(scale):
    model = regressor()
    for rows in np.split(np.arange(ROWS), 30):
        model.partial_fit(scale * X[rows], scale * Y[rows])
    assert model.score(scale * X, scale * Y) > 0.9


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_given_inflation_is_a_streams_too(make):
    y = Y if make is regressor else LABELS
    model = make(inflation=7.0, em_iters=2).partial_fit(X, y)
    assert model.posterior_.inflation == 7.0
    model = make(em_iters=2).fit(X, y).set_params(inflation=3.0).partial_fit(X, y)
    assert model.posterior_.inflation == 3.0


def test_classes_of_a_later_call():
    model = classifier().partial_fit(X, LABELS, classes=["no", "yes"])
    model.partial_fit(X, LABELS, classes=["yes", "no"])
    with pytest.raises(UsageError, match="are not those of the first call"):
        model.partial_fit(X, LABELS, classes=["no", "perhaps", "yes"])
    with pytest.raises(UsageError, match="are not all finite"):
        classifier().partial_fit(X, Y > 0, classes=[0.0, 1.0, np.nan])


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_another_activation_cannot_go_on(how):
    model = regressor(em_iters=2, warm_start=True).fit(X, Y).set_params(activation="tanh")
    with pytest.raises(UsageError, match=r"activation=.tanh. cannot go on from weights"):
        getattr(model, how)(X, Y)


def test_a_warm_fit_keeps_what_held_out_rows_have_chosen():
    model = classifier(warm_start=True).fit(X, LABELS)
    slab, factor = model.slab_, model.posterior_.inflation
    for _ in range(2):
        model.set_params(em_iters=1).fit(X, LABELS)
        assert (model.slab_, model.posterior_.inflation) == (slab, factor)
    assert model.set_params(inflation=2.0).fit(X, LABELS).posterior_.inflation == 2.0
    model.set_params(inflation="auto").fit(X[:20], LABELS[:20])  # too few to choose by
    assert (model.slab_, model.posterior_.inflation) == (slab, factor)


def test_a_warm_fit_chooses_where_nothing_was_chosen():
    wide = RNG.normal(size=(60, 8))
    y = wide[:, 0] + 0.3 * RNG.normal(size=60)
    cold = regressor(em_iters=20).fit(wide, y).posterior_.inflation
    model = regressor(em_iters=20, warm_start=True).partial_fit(wide, y)
    assert model.posterior_.inflation == 1.0  # each row counted once
    assert model.fit(wide, y).posterior_.inflation > 1.2 < cold
    model = regressor(em_iters=20, warm_start=True, inflation=1.0).fit(wide, y)
    assert model.set_params(inflation="auto").fit(wide, y).posterior_.inflation != 1.0


def test_one_noise_for_outputs_of_different_scales_is_refused():
    model = regressor(em_iters=2, warm_start=True).fit(X, np.stack([Y, 100 * Y], 1))
    with pytest.raises(UsageError, match=r"noise=0\.5 is one variance for outputs"):
        model.set_params(noise=0.5).fit(X, np.stack([Y, 100 * Y], 1))


def test_a_window_shorter_than_a_minibatch_forgets_all():
    model = regressor(update="window", window=0.5, batch_size=ROWS, em_iters=30).fit(X, Y)
    assert sound(model, X, Y) > 0.2  # a minibatch is all that it knows


def test_the_slab_that_learning_starts_at():
    model = regressor(slab=3.0, em_iters=2, warm_start=True).fit(X, Y)
    assert model.set_params(slab="learn").fit(X, Y).slab_ == 3.0


def test_a_fit_that_keeps_no_neuron_says_so():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 3)), random.normal(size=60)  # nothing to learn
    model = EMTDAMPRegressor((4,), sparsity="auto", em_iters=40, inflation=1.0, random_state=0)
    with pytest.warns(UserWarning, match="no neuron of hidden layer 1 is left") as found:
        model.fit(X, y)
    assert found[0].filename == __file__
    assert np.ptp(model.predict(X)) == 0
