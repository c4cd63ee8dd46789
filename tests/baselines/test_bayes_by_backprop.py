"""The layers of Bayes by Backprop: KL, draws, gradient and files against what is known exactly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.integrate import quad

from emtdamp.baselines import bayes_by_backprop as bbb
from emtdamp.errors import UsageError

MEANS, SDS = np.array([-0.3, 0.0, 0.7]), np.array([0.05, 0.4, 1.3])


def normal(mean, sd):
    return stats.norm(mean, sd)


def test_the_gaussian_kl_is_the_integral_it_stands_for():
    found = bbb.GaussianPrior(0.5).kl(tf.constant(MEANS), tf.constant(SDS)).numpy()
    for got, mean, sd in zip(found, MEANS, SDS, strict=True):
        q, p = normal(mean, sd), normal(0, 0.5)

        def integrand(w, q=q, p=p):
            return q.pdf(w) * (q.logpdf(w) - p.logpdf(w))

        assert_allclose(got, quad(integrand, mean - 9 * sd, mean + 9 * sd)[0], rtol=1e-6)


def test_the_mixtures_kl_has_no_bias():
    prior = bbb.ScaleMixture(share=0.3, wide=0.8, narrow=0.1)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((40_000, 3))
    shape = noise.shape
    each = prior.kl(
        tf.constant(np.broadcast_to(MEANS, shape)), tf.constant(np.broadcast_to(SDS, shape)),
        tf.constant(noise),
    ).numpy()  # fmt: skip
    for number, (mean, sd) in enumerate(zip(MEANS, SDS, strict=True)):
        q = normal(mean, sd)

        def integrand(w, q=q):
            p = 0.3 * normal(0, 0.8).pdf(w) + 0.7 * normal(0, 0.1).pdf(w)
            return q.pdf(w) * (q.logpdf(w) - np.log(p))

        exact = quad(integrand, mean - 9 * sd, mean + 9 * sd, points=[0.0], limit=200)[0]
        draws = each[:, number]
        assert abs(draws.mean() - exact) < 4 * draws.std() / len(draws) ** 0.5
    same = bbb.ScaleMixture(share=0.4, wide=0.5, narrow=0.5)
    gaussian = bbb.GaussianPrior(0.5).kl(tf.constant(MEANS), tf.constant(SDS)).numpy()
    mean = same.kl(*(tf.constant(np.broadcast_to(a, shape)) for a in (MEANS, SDS)), noise)
    assert_allclose(mean.numpy().mean(0), gaussian, atol=0.05)


def layer_of(kind, *settings, shape, sd=0.3, seed=0, **options):
    """A built layer whose means and sds all differ."""
    layer = kind(*settings, seed=seed, initial_sd=sd, **options)
    layer.build(shape)
    rng = np.random.default_rng(seed)
    for weight in (layer.kernel_mean, layer.bias_mean):
        weight.assign(rng.normal(size=weight.shape))
    for weight in (layer.kernel_rho, layer.bias_rho):
        weight.assign(rng.normal(-1, 0.5, size=weight.shape))
    return layer


def test_local_draws_have_the_moments_of_drawn_weights():
    x = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    layer = layer_of(bbb.VariationalDense, 3, shape=(None, 5))
    layer.kernel_kept.assign(np.arange(15).reshape(5, 3) % 4 != 0)
    mean, sd, bias, bias_sd = (part.numpy().astype(float) for part in layer.gaussians())
    rng, n = np.random.default_rng(2), 40_000
    weights = mean + sd * rng.standard_normal((n, 5, 3))
    sampled = x @ weights + bias + bias_sd * rng.standard_normal((n, 1, 3))
    local = layer(np.tile(x, (n, 1))).numpy().reshape(n, 4, 3)
    for found in (local, sampled):
        exact = [part.numpy() for part in layer.moments(x)]
        assert_allclose(found.mean(0), exact[0], atol=4 * (exact[1].max() / n) ** 0.5)
        assert_allclose(found.var(0), exact[1], rtol=4 * (2 / n) ** 0.5)
    among_rows = np.corrcoef(local[:, :, 0].T) - np.eye(4)  # a draw for each row
    assert np.abs(among_rows).max() < 4 / n**0.5


def test_what_is_dropped_is_zero_and_costs_nothing():
    layer = layer_of(bbb.VariationalDense, 2, shape=(None, 3))
    bias = bbb.GaussianPrior().kl(*(part for part in layer.gaussians()[2:])).numpy().sum()
    layer.kernel_kept.assign(np.zeros((3, 2)))
    assert_allclose(layer.kl().numpy(), bias, rtol=1e-6)
    _, var = layer.moments(np.ones((1, 3), np.float32))
    assert_allclose(var.numpy()[0], layer.gaussians()[3].numpy() ** 2, rtol=1e-6)


@pytest.mark.parametrize("strides, padding", [(1, "valid"), (2, "valid"), (2, "same")])
def test_a_convolution_is_a_dense_layer_of_patches(strides, padding):
    images = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    conv = layer_of(
        bbb.VariationalConv2D, 4, (3, 2), shape=images.shape, strides=strides, padding=padding
    )
    patches = tf.image.extract_patches(
        images, [1, 3, 2, 1], [1, strides, strides, 1], [1, 1, 1, 1], padding.upper()
    )
    dense = bbb.VariationalDense(4)
    dense.build((None, 18))
    for one, other in zip(dense.weights[:5], conv.weights[:5], strict=True):
        one.assign(tf.reshape(other, one.shape))
    flat = tf.reshape(patches, [-1, 18])
    for got, expected in zip(conv.moments(images), dense.moments(flat), strict=True):
        assert_allclose(tf.reshape(got, [-1, 4]), expected, rtol=1e-4, atol=1e-5)
    assert_allclose(conv.kl(), dense.kl(), rtol=1e-5)


def linear_gaussian(rows=30, noise=0.25, prior=0.7):
    """x, y, and the best factorised Gaussian (mean, sd) of y = x w + eps, in closed form."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    x = np.column_stack([x, np.ones(rows)])
    y = x @ [0.5, -1.0, 0.3] + noise**0.5 * rng.normal(size=rows)
    precision = x.T @ x / noise + np.eye(3) / prior**2
    return x, y, np.linalg.solve(precision, x.T @ y / noise), np.diag(precision) ** -0.5


def test_the_gradient_is_zero_at_the_optimum_and_only_there():
    rows, noise, prior = 30, 0.25, 0.7
    x, y, mean, sd = linear_gaussian(rows, noise, prior)
    layer = bbb.VariationalDense(1, prior=bbb.GaussianPrior(prior), kl_scale=1 / rows, seed=0)
    model = keras.Sequential([keras.Input((2,)), layer])

    @tf.function(jit_compile=True)
    def gradients(copies):
        """Mean over passes of the gradient of -ELBO / rows; a pass is a copy of all rows."""
        with tf.GradientTape() as tape:
            z = model(tf.tile(tf.constant(x[:, :2], tf.float32), [copies, 1]))[:, 0]
            error = tf.tile(tf.constant(y, tf.float32), [copies]) - z
            loss = tf.reduce_mean(error**2) / (2 * noise) + tf.add_n(model.losses)
        return tape.gradient(loss, model.trainable_variables)

    def at(mean, sd):
        rho = np.log(np.expm1(sd))
        layer.kernel_mean.assign(mean[:2, None])
        layer.kernel_rho.assign(rho[:2, None])
        layer.bias_mean.assign(mean[2:])
        layer.bias_rho.assign(rho[2:])
        each = [np.concatenate([g.numpy().ravel() for g in gradients(1000)]) for _ in range(40)]
        return np.mean(each, 0), np.std(each, 0) / 40**0.5

    got, error = at(mean, sd)
    assert (np.abs(got) < 4.5 * error + 1e-6).all()
    # away from it: d/dmean = (precision (m - mean)) / rows, d/dsd = (sd / best^2 - 1 / sd) / rows
    moved, wider = mean + np.array([0.3, -0.2, 0.1]), sd * np.array([2.0, 0.5, 1.5])
    got, error = at(moved, wider)
    precision = x.T @ x / noise + np.eye(3) / prior**2
    of_mean = precision @ (moved - mean) / rows
    of_rho = (wider / sd**2 - 1 / wider) / rows * -np.expm1(-wider)  # dsd / drho
    exact = np.concatenate([of_mean[:2], of_rho[:2], of_mean[2:], of_rho[2:]])
    assert (np.abs(got - exact) < 4.5 * error + 1e-5).all()
    assert (np.abs(exact) > 20 * error).any()


def small_model(prior=None):
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            bbb.VariationalConv2D(2, 3, "relu", prior=prior, kl_scale=0.01, seed=1),
            keras.layers.Flatten(),
            bbb.VariationalDense(3, prior=prior, kl_scale=0.01, seed=2),
        ]
    )


@pytest.mark.parametrize("prior", [bbb.GaussianPrior(0.3), bbb.ScaleMixture(0.25, 0.6, 0.01)])
def test_a_trained_model_comes_back_from_its_file(prior, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 6, 6, 1)).astype(np.float32), rng.integers(0, 3, 16)
    model = small_model(prior)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, verbose=0)
    model.layers[0].kernel_kept.assign(np.arange(18).reshape(3, 3, 1, 2) % 2)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [layer.prior for layer in bbb.layers(again)] == [prior, prior]
    assert_array_equal(bbb.draws(again, x, 3), bbb.draws(model, x, 3))
    one, other = bbb.draws(model, x, 2, seed=5)
    assert np.abs(one - other).max() > 1e-3


def test_what_the_layers_add_to_a_loss_is_their_scaled_kl():
    model = small_model()
    model(np.zeros((1, 6, 6, 1), np.float32))
    expected = 0.01 * sum(float(layer.kl()) for layer in bbb.layers(model))
    assert_allclose(sum(map(float, model.losses)), expected, rtol=1e-6)


def test_the_weights_of_the_least_signal_to_noise_go_first():
    model = keras.Sequential([keras.Input((3,)), bbb.VariationalDense(2), bbb.VariationalDense(2)])
    first, second = model.layers
    first.kernel_mean.assign([[5.0, -4.0], [3.0, 0.1], [0.2, -2.0]])
    second.kernel_mean.assign([[1.0, 0.3], [0.4, 6.0]])
    for layer in (first, second):
        layer.kernel_rho.assign(np.full(layer.kernel_rho.shape, np.log(np.expm1(0.5))))
    second.kernel_rho.assign(np.full((2, 2), np.log(np.expm1(2.0))))
    assert_allclose(bbb.signal_to_noise(first), 2 * np.abs(first.kernel_mean), rtol=1e-6)
    assert bbb.drop_weights(model, 0.5) == 5  # ratios 10 8 6 .2 .4 4 and .5 .15 .2 3
    assert first.kernel_kept.numpy().tolist() == [[1, 1], [1, 0], [0, 1]]
    assert second.kernel_kept.numpy().tolist() == [[0, 0], [0, 1]]
    first.kernel_rho.assign(np.full((3, 2), 20.0))  # dropped weights stay dropped
    assert bbb.drop_weights(model, 0.5) == 5 and second.kernel_kept.numpy().sum() == 1
    assert bbb.drop_weights(model, 0.0) == 5
    with pytest.raises(UsageError, match=r"share=1\.0; give"):
        bbb.drop_weights(model, 1.0)


def test_weights_are_dropped_along_the_ramp():
    model, left = small_model(), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: left.append(
            sum(int(np.sum(layer.kernel_kept)) for layer in bbb.layers(model))
        )
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.ones((4, 6, 6, 1), np.float32), np.array([0, 1, 2, 0])
    model.fit(x, y, epochs=5, verbose=0, callbacks=[bbb.GradualWeights(0.8), watch])
    assert left == [114, 114 - round(0.8 * 0.875 * 114), *[114 - round(0.8 * 114)] * 3]
    with pytest.raises(UsageError, match="give 0 <= begin < end <= 1"):
        bbb.GradualWeights(0.8, 0.5, 0.5)


def test_settings_out_of_range_are_named():
    dense, conv = bbb.VariationalDense, bbb.VariationalConv2D
    for make, text in [
        (lambda: dense(0), "0 outputs; give an integer of at least 1"),
        (lambda: dense(2, kl_scale=-1.0), "kl_scale=-1.0"),
        (lambda: dense(2, initial_sd=0.0), "initial_sd=0.0; give a number above 0"),
        (lambda: dense(2, prior="gaussian"), "prior='gaussian'; give GaussianPrior"),
        (lambda: bbb.GaussianPrior(-1.0), "sd=-1.0"),
        (lambda: bbb.GaussianPrior(float("nan")), "sd=nan"),
        (lambda: bbb.ScaleMixture(share=1.0), "share=1.0; give a number above 0 and below 1"),
        (lambda: bbb.ScaleMixture(narrow=0.0), "narrow=0.0"),
        (lambda: conv(2, 0), "kernel_size=0"),
        (lambda: conv(2, 3, padding="full"), "padding='full'; use valid or same"),
        (lambda: bbb.draws(small_model(), np.zeros((1, 6, 6, 1)), 0), "samples=0"),
        (lambda: bbb.layers(keras.Sequential([keras.layers.Dense(2)])), "no layer of this module"),
    ]:
        with pytest.raises(UsageError, match=text):
            make()
