"""MC dropout, Gaussian and convolutional networks: densities, draws, units, seeds, settings."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from emtdamp.baselines import choose_uncertain, convolutional, gaussian_networks, mc_dropout
from emtdamp.baselines.convolutional import ConvolutionalSettings
from emtdamp.baselines.gaussian_networks import GaussianSettings, predictive, train_gaussians
from emtdamp.baselines.keras_epochs import Trainer
from emtdamp.baselines.mc_dropout import DropoutSettings, train_dropout
from emtdamp.errors import EmtdampError, UsageError

rng = np.random.default_rng(0)


def test_the_log_density_is_the_normals():
    y, mean, log_variance = rng.normal(size=(3, 20)).astype(np.float32)
    output = tf.stack([mean, log_variance], axis=1)
    expected = stats.norm.logpdf(y, mean, np.exp(0.5 * log_variance))
    assert_allclose(gaussian_networks.log_density(tf.constant(y), output), expected, rtol=1e-4)


@pytest.mark.slow
def test_only_noise_of_x_follows_noise_that_depends_on_x():
    """y = 10 x + s(x) e, s 0.2 to 2: the one finds s(x), the other its root mean square."""
    x = rng.uniform(0, 1, 2000)[:, None]
    sd = 0.2 + 1.8 * x[:, 0]
    y = 10 * x[:, 0] + sd * rng.standard_normal(2000)
    grid = np.array([[0.1], [0.5], [0.9]])
    for heteroscedastic in (True, False):
        settings = GaussianSettings(heteroscedastic, members=2, epochs=40, batch_size=100)
        found = predictive(train_gaussians(settings, x, y), grid)
        assert_allclose(found.mean, 10 * grid[:, 0], atol=0.3)
        true = 0.2 + 1.8 * grid[:, 0] if heteroscedastic else np.full(3, np.sqrt(np.mean(sd**2)))
        assert_allclose(np.sqrt(found.noise), true, rtol=0.15)
        assert (found.model < found.noise / 5).all()


def test_networks_speak_in_the_units_of_what_they_are_given():
    x, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    x[:, 1] = 7.0  # constant
    settings = GaussianSettings(members=1, epochs=2, hidden=4, batch_size=20)
    one = predictive(train_gaussians(settings, x, y), x)
    other = predictive(train_gaussians(settings, 100 * x - 3, 50 * y + 1000), 100 * x - 3)
    assert_allclose(other.mean, 50 * one.mean + 1000, rtol=1e-3)
    assert_allclose(other.noise, 2500 * one.noise, rtol=1e-3)
    assert (one.model == 0).all()


def test_a_training_depends_on_its_seed_alone():
    x, y = rng.random((60, 5), dtype=np.float32), np.arange(60) % 3
    settings = DropoutSettings(hidden=8, epochs=2, batch_size=16, dropout=0.4, seed=1)
    first = train_dropout(settings, x, y)
    train_dropout(DropoutSettings(hidden=8, epochs=1, dropout=0.4, seed=2), x, y)
    again = train_dropout(settings, x, y)
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        assert_array_equal(one, other)
    draws = mc_dropout.sampled(first, x, 20, seed=4)
    assert_array_equal(draws, mc_dropout.sampled(again, x, 20, seed=4))
    assert np.abs(draws[0] - draws[1]).max() > 0.01  # each pass drops others
    assert np.abs(draws - mc_dropout.sampled(first, x, 20, seed=5)).max() > 0.01


def test_what_is_dropped_has_the_mean_of_the_whole_and_the_variance_of_bernoulli():
    """Of one linear layer behind dropout, logits are sums of independent terms kept or not."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dropout(0.3), keras.layers.Dense(2)])
    weights = rng.normal(size=(6, 2)).astype(np.float32)
    model.set_weights([weights, np.zeros(2)])
    x = rng.normal(size=(1, 6)).astype(np.float32)
    log_odds = np.diff(mc_dropout.sampled(model, np.repeat(x, 20_000, axis=0), 2), axis=-1)
    terms = (x[0] * (weights[:, 1] - weights[:, 0])).astype(float)
    assert log_odds.mean() == pytest.approx(terms.sum(), abs=0.05)
    assert log_odds.var() == pytest.approx((terms**2).sum() * 0.3 / 0.7, rel=0.05)


def test_without_dropout_all_draws_are_one():
    x, y = rng.random((30, 4), dtype=np.float32), np.arange(30) % 3
    settings = DropoutSettings(hidden=4, epochs=1, dropout=0.0, input_dropout=0.0)
    draws = mc_dropout.sampled(train_dropout(settings, x, y), x, 3)
    assert_array_equal(draws[0], draws[2])


def test_a_rate_that_is_too_large_is_named():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    trainer = Trainer(model, lambda y, z: tf.reduce_mean(tf.exp(tf.square(z[:, 0] - y))))
    x = np.ones((4, 1), np.float32)
    with pytest.raises(EmtdampError, match="use a rate below 1000"):
        trainer.train(x, 100 * x[:, 0], epochs=3, batch_size=2, rate=1000.0, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DropoutSettings(dropout=1.0), "dropout=1.0; give a number at least 0"),
        (lambda: DropoutSettings(epochs=0), "epochs=0; give a number above 0"),
        (lambda: GaussianSettings(members=0), "members=0; give a number above 0"),
        (lambda: train_gaussians(GaussianSettings(), np.ones(3), np.ones(3)), r"shape \(3,\)"),
        (lambda: train_gaussians(GaussianSettings(), np.ones((2, 1)), [1, np.nan]), "no finite"),
        (lambda: ConvolutionalSettings(kl_weight=0.0), "kl_weight=0.0; give a number above 0"),
        (lambda: convolutional.train(convolutional.POINT, np.ones((4, 9)), np.ones(4)), "N, H, W"),
        (lambda: mc_dropout.sampled(keras.Sequential(), np.ones((1, 1)), 0), "samples=0"),
    ],
)
def test_bad_settings_are_named(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_defaults_are_the_best_of_the_table():
    rows = choose_uncertain.table()
    tried = {(row["data"], row["settings"]) for row in rows}
    assert len(tried) == len(rows) == len(list(choose_uncertain.candidates()))

    def best(data, text=""):
        of = [row for row in rows if row["data"] == data and text in row["settings"]]
        return min(of, key=lambda row: float(row["score"]))["settings"]

    mine = DropoutSettings()
    assert best("mnist-10000") == (
        f"learning_rate={mine.learning_rate}, dropout={mine.dropout},"
        f" input_dropout={mine.input_dropout}"
    )
    for settings in (gaussian_networks.HETEROSCEDASTIC, gaussian_networks.HOMOSCEDASTIC):
        assert best("boston", f"heteroscedastic={settings.heteroscedastic}") == (
            f"heteroscedastic={settings.heteroscedastic},"
            f" learning_rate={settings.learning_rate}, epochs={settings.epochs}"
        )
    for settings in (convolutional.POINT, convolutional.BAYESIAN):
        given = f"bayesian={settings.bayesian}"
        assert best("mnist-10000-convolutional", given) == (
            f"{given}, learning_rate={settings.learning_rate}, kl_weight={settings.kl_weight}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("bayesian", [False, True])
def test_a_convolutional_network_finds_where_a_square_is(bayesian):
    """Its draws differ where weights are Gaussians, and come again with the seed."""
    labels = np.arange(200) % 2
    images = 0.1 * rng.random((200, 12, 12))
    for image, label in zip(images, labels, strict=True):
        image[3:6, 7 * label : 7 * label + 3] = 1.0
    settings = ConvolutionalSettings(bayesian, epochs=5, batch_size=20)
    model = convolutional.train(settings, images, labels)
    log_p = convolutional.sampled(model, images, 3, seed=1)
    assert log_p.shape == (3 if bayesian else 1, 200, 2)
    assert (np.exp(log_p).mean(axis=0).argmax(axis=1) == labels).all()
    assert_allclose(np.exp(log_p).sum(axis=-1), 1, rtol=1e-5)
    assert_array_equal(convolutional.sampled(model, images, 3, seed=1), log_p)
    assert bool((log_p[0] != log_p[-1]).any()) == bayesian


@pytest.mark.slow
def test_a_convolutional_network_is_its_seeds():
    images, labels = rng.random((40, 8, 8)), np.arange(40) % 2
    one, again, other = (
        convolutional.sampled(
            convolutional.train(ConvolutionalSettings(epochs=1, seed=seed), images, labels),
            images,
            samples=1,
        )
        for seed in (3, 3, 4)
    )
    assert_array_equal(one, again)
    assert (one != other).any()
