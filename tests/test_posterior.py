"""The trained posterior: moments against samples, pruning, Keras, files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from emtdamp import posterior
from emtdamp.errors import UsageError
from emtdamp.messages.likelihoods import GaussianNoise, ProbitProduct
from emtdamp.network import Units
from emtdamp.posterior import Posterior, load_posterior


def draw(sizes=(7, 9, 8, 3), likelihood=None, share=0.6, spread=0.05, seed=0, dtype=np.float32):
    """A posterior with about `share` of its inputs and neurons active."""
    rng = np.random.default_rng(seed)
    active = [rng.random(n) < share for n in sizes[:-1]]
    mean, var = [], []
    for a, n, j in zip(active, sizes[:-1], sizes[1:], strict=True):
        on = np.append(a, True)[:, None]
        mean.append((on * rng.normal(size=(n + 1, j)) / n**0.5).astype(dtype))
        var.append((on * spread * rng.uniform(0.5, 1.5, size=(n + 1, j)) / n).astype(dtype))
    odds = [np.where(a, 20.0, -20.0) for a in active]
    return Posterior(
        tuple(mean),
        tuple(var),
        tuple(active),
        tuple(odds),
        noise=0.4,
        activation="relu",
        likelihood=likelihood or ProbitProduct(),
        inputs=sizes[0],
        kept_inputs=np.arange(sizes[0]),
    )


X = np.random.default_rng(1).normal(size=(50, 7)).astype(np.float32)


def test_moments_agree_with_samples():
    # wide layers: the sums that moments take as Gaussian are; what is left is the correlation of
    # neurons through shared inputs, which a mean-field pass leaves out
    network = draw(sizes=(7, 300, 3), share=1.0, spread=0.3, dtype=np.float64)
    w, var = network.propagate(X)
    z = network.sample(X, 500, seed=0)
    np.testing.assert_allclose(w, z.mean(0), atol=5 * np.sqrt(var / 500).max())
    np.testing.assert_allclose(var, z.var(0), rtol=0.3)
    by_samples = network.log_probabilities(X, samples=200)
    np.testing.assert_allclose(np.exp(by_samples), np.exp(network.log_probabilities(X)), atol=0.06)


def test_inflation_widens_the_predictive_distribution_and_leaves_its_mean():
    plain = draw(
        sizes=(7, 300, 3), share=1.0, spread=0.3, dtype=np.float64, likelihood=GaussianNoise()
    )
    inflated = replace(plain, inflation=4.0)
    w, var = plain.propagate(X)
    mean, wider = inflated.propagate(X)
    np.testing.assert_array_equal(mean, w)
    np.testing.assert_allclose(wider, 4 * var)
    z = inflated.sample(X, 500, seed=0)
    np.testing.assert_allclose(mean, z.mean(0), atol=5 * np.sqrt(wider / 500).max())
    np.testing.assert_allclose(wider, z.var(0), rtol=0.3)


def test_probabilities_are_normalised_and_ranked_by_the_mean():
    p = np.exp(draw().log_probabilities(X))
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert ((p > 0) & (p < 1)).all()


@pytest.mark.parametrize("rows", [0, 1, 5, 2000])
def test_many_classes_are_compiled_and_the_same(rows, monkeypatch):
    network, x = draw((7, 12)), np.random.default_rng(0).normal(size=(rows, 7))
    compiled = network.log_probabilities(x)
    monkeypatch.setattr(posterior, "_FEW_CLASSES", 12)
    posterior._predictive.cache_clear()
    np.testing.assert_allclose(compiled, network.log_probabilities(x), rtol=1e-4, atol=1e-5)
    posterior._predictive.cache_clear()


@pytest.mark.parametrize("sizes", [(7, 3), (7, 9, 3), (7, 9, 8, 3)])
def test_pruned_arrays_are_smaller_and_predict_the_same(sizes):
    network = draw(sizes)
    small = network.prune()
    for number, a in enumerate(network.active):
        assert small.mean[number].shape[0] == a.sum() + 1
    assert sum(m.size for m in small.mean) == small.parameters == network.parameters
    for a, b in zip(network.propagate(X), small.propagate(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(small.prune().mean, small.mean, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_without_neurons_is_constant():
    small = draw(share=0.0).prune()
    w, _ = small.propagate(X)
    np.testing.assert_array_equal(w, np.repeat(w[:1], len(X), 0))
    assert small.to_keras().predict(X, verbose=0).shape == (50, 3)


def test_keras_model_is_the_mean_network_on_raw_inputs():
    center, scale = np.arange(7.0), np.arange(1.0, 8.0)
    raw = X * scale + center
    network = draw(likelihood=GaussianNoise())
    still = draw(likelihood=GaussianNoise(), spread=0.0)
    model = replace(
        network, x_units=Units(center, scale), y_units=Units(np.full(3, 3.0), np.full(3, 2.0))
    ).to_keras()
    assert {type(layer).__name__ for layer in model.layers} == {"Dense"}
    assert model.layers[0].units == network.active[1].sum()
    expected = 2 * still.sample(X, 1, seed=0)[0] + 3
    np.testing.assert_allclose(model.predict(raw, verbose=0), expected, rtol=1e-4, atol=1e-4)


def test_keras_classifier_ranks_and_nearly_weighs_classes_as_the_mean_network():
    still = draw(spread=0.0)
    p = still.to_keras().predict(X, verbose=0)
    exact = np.exp(still.log_probabilities(X, samples=1))
    np.testing.assert_array_equal(p.argmax(1), exact.argmax(1))
    np.testing.assert_allclose(p, exact, atol=0.1)  # K > 2: softmax has longer tails
    two = draw(sizes=(7, 9, 2), spread=0.0)
    p, exact = two.to_keras().predict(X, verbose=0), np.exp(two.log_probabilities(X, samples=1))
    np.testing.assert_allclose(p, exact, atol=0.011)


@pytest.mark.parametrize("likelihood", [ProbitProduct(nodes=9), GaussianNoise()])
def test_saved_and_loaded_predicts_bitwise_the_same(tmp_path, likelihood):
    for network in (draw(likelihood=likelihood), draw(likelihood=likelihood).prune()):
        again = load_posterior(network.save(tmp_path / "posterior.npz"))
        for a, b in zip(network.propagate(X), again.propagate(X), strict=True):
            np.testing.assert_array_equal(a, b)
        assert again.likelihood == likelihood and again.noise == network.noise
        for a, b in zip(network.log_odds, again.log_odds, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("likelihood", [ProbitProduct(), GaussianNoise()])
def test_units_are_those_of_the_data_also_in_the_file(tmp_path, likelihood):
    network = draw(likelihood=likelihood)
    center, scale = np.arange(7.0), np.arange(1.0, 8.0)
    y_units = Units(3.0, 2.0) if isinstance(likelihood, GaussianNoise) else Units()
    raw = replace(network, x_units=Units(center, scale), y_units=y_units, inflation=2.0).prune()
    again = load_posterior(raw.save(tmp_path / "posterior.npz"))
    x = X * scale + center
    w, var = network.propagate(X)
    for got in (raw, again):
        mean, var_y = got.propagate(x)
        np.testing.assert_allclose(mean, w * y_units.scale + y_units.center, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(var_y, 2 * var * y_units.scale**2, rtol=1e-4)
        assert got.noise_variance == network.noise * y_units.scale**2
    for one, two in zip(raw.propagate(x), again.propagate(x), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(raw.sample(x, 2, 0), again.sample(x, 2, 0))
    if isinstance(likelihood, ProbitProduct):
        np.testing.assert_array_equal(raw.log_probabilities(x), again.log_probabilities(x))


def test_wrong_inputs_say_what_is_wanted():
    with pytest.raises(UsageError, match=r"\(50, 4\).*\(B, 7\)"):
        draw().propagate(X[:, :4])
    with pytest.raises(UsageError, match="regression"):
        draw(likelihood=GaussianNoise()).log_probabilities(X)


def test_samples_repeat_with_their_seed():
    one, two = draw().sample(X, 2, seed=5), draw().sample(X, 2, seed=5)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    assert tf.constant(one).dtype == tf.float32


@pytest.mark.parametrize(
    "x, text",
    [
        (X[:, :2], r"shape \(50, 2\)"),
        (X[0], r"shape \(7,\)"),
        (np.full(X.shape, "a"), "dtype <U1"),
        (X + 1j, "dtype complex"),
        (None, "dtype object"),
        (np.where(X == X[5, 1], np.nan, X), r"row 5 of X is nan scales away in column 1"),
        (np.where(X == X[5, 1], -np.inf, X), r"row 5 of X is -inf scales away in column 1"),
        (np.where(X == X[5, 1], np.float64(1e300), X), r"row 5 of X is (inf|1e\+300) scales"),
    ],
)
def test_what_is_no_input_is_refused(x, text):
    network = replace(draw(), kept_inputs=np.arange(7))
    for method in (network.propagate, network.log_probabilities, lambda x: network.sample(x, 2, 0)):
        with pytest.raises(UsageError, match=text):
            method(x)


def test_no_rows_and_no_samples():
    network = draw()
    assert network.propagate(X[:0])[0].shape == network.log_probabilities(X[:0]).shape == (0, 3)
    for samples in (0, -1, 2.5, "many"):
        with pytest.raises(UsageError, match=f"samples={samples!r}; give an integer"):
            network.sample(X, samples, 0)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_units_that_keras_cannot_hold(scale):
    raw = replace(draw(), x_units=Units(0.0, scale))
    with pytest.raises(UsageError, match="float32 does not hold; fit X and y in other units"):
        raw.to_keras()


def test_files_that_hold_no_posterior(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError):
        load_posterior(path)
    good = draw().save(path).read_bytes()
    np.save(tmp_path / "array.npy", X)
    np.savez(tmp_path / "arrays.npz", X=X)
    arrays = dict(np.load(path))
    unknown = json.loads(str(arrays["settings"])) | {"likelihood": ["poisson", {}]}
    others = [(tmp_path / name).read_bytes() for name in ("array.npy", "arrays.npz")]
    for settings in ["no JSON", '{"format": 4}', json.dumps(unknown)]:
        np.savez(tmp_path / "settings.npz", **arrays | {"settings": settings})
        others.append((tmp_path / "settings.npz").read_bytes())
    for name, array in [
        ("mean_0", arrays["mean_0"][1:]),
        ("var_1", arrays["mean_1"] * np.nan),
        ("var_1", -arrays["var_1"]),
        ("mean_1", np.array("text")),
        ("active_0", arrays["active_0"][:, None]),
    ]:
        np.savez(tmp_path / "spoilt.npz", **arrays | {name: array})
        others.append((tmp_path / "spoilt.npz").read_bytes())
    at = good.index(b"PK\x01\x02") + 10  # of an array, by a compression that there is not
    others.append(good[:at] + b"\x63\x00" + good[at + 2 :])
    for content in [b"", b"text", good[:100], good[: len(good) // 2], *others]:
        path.write_bytes(content)
        with pytest.raises(UsageError, match="is no file that Posterior"):
            load_posterior(path)
