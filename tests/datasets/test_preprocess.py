"""What the network is fed: the report's numbers, bit for bit, and pipelines that lose no row."""

import keras
import numpy as np
import pytest

from emtdamp.datasets import batches, one_hot, scale_images
from emtdamp.errors import UsageError


def passes(dataset, times: int) -> list[list[int]]:
    """The labels in the order in which each of several passes gives them."""
    return [np.concatenate([y.numpy() for _, y in dataset]).tolist() for _ in range(times)]


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(230)
    return np.column_stack([y, -y]).astype(np.float32), y


# --- images and labels -----------------------------------------------------------------------


def test_scaling_gives_the_bits_of_the_reports_float64_division():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    scaled = scale_images(grey)
    assert (scaled.shape, scaled.dtype) == ((1, 256), np.float32)
    assert np.array_equal(scaled, (grey / 255.0).astype(np.float32).reshape(1, 256))
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_scaling_flattens_row_by_row_and_leaves_the_images_alone():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    scaled = scale_images(images)
    assert np.array_equal(np.rint(scaled * 255), np.arange(24).reshape(2, 12))
    assert np.array_equal(images, np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_scaling_refuses_images_that_may_be_scaled_already(dtype):
    with pytest.raises(UsageError, match=f"must be uint8 .* got {np.dtype(dtype)}"):
        scale_images(np.zeros((1, 2, 2), dtype))


def test_one_hot_is_keras_to_categorical_in_float32():
    labels = np.array([3, 0, 9, 3], dtype=np.uint8)
    assert np.array_equal(one_hot(labels), keras.utils.to_categorical(labels, 10))
    assert one_hot(labels).dtype == np.float32
    assert one_hot(labels, classes=12).shape == (4, 12)


@pytest.mark.parametrize("bad", [10, -1])
def test_one_hot_refuses_a_label_outside_the_classes(bad):
    with pytest.raises(UsageError, match=f"labels must be 0 to 9, got {bad}"):
        one_hot([1, bad])


@pytest.mark.parametrize("bad", [[1.0, 2.0], [[1], [2]], [True]])
def test_one_hot_refuses_what_is_no_row_of_whole_numbers(bad):
    with pytest.raises(UsageError, match="one row of whole numbers"):
        one_hot(bad)


# --- minibatches -----------------------------------------------------------------------------


def test_without_a_seed_rows_come_in_order_every_time(rows):
    assert passes(batches(*rows, batch_size=100), 2) == [list(range(230))] * 2


@pytest.mark.parametrize("seed", [None, 0])
def test_the_last_batch_is_kept_though_smaller(rows, seed):
    assert [len(y) for _, y in batches(*rows, batch_size=100, seed=seed)] == [100, 100, 30]


def test_a_batch_larger_than_the_data_is_all_of_it(rows):
    assert [len(y) for _, y in batches(*rows, batch_size=1000)] == [230]


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_each_pass_gives_every_row_once_in_a_new_order(rows, seed):
    orders = passes(batches(*rows, batch_size=100, seed=seed), 3)
    assert all(sorted(order) == list(range(230)) for order in orders)
    assert len({tuple(order) for order in [*orders, range(230)]}) == 4


def test_the_shuffle_reaches_over_the_whole_set(rows):
    first = np.array([order[:100] for order in passes(batches(*rows, 100, seed=0), 20)])
    # A full shuffle puts each row of the last third first as often as any other; a buffer of one
    # batch could not put a row beyond 200 into the first 100.
    assert np.isclose((first >= 200).mean(), 30 / 230, atol=0.03)


def test_the_seed_fixes_all_orders(rows):
    def orders(seed):
        return passes(batches(*rows, batch_size=100, seed=seed), 2)

    assert orders(5) == orders(5)
    assert orders(0) == orders(0)  # 0 is a seed
    assert orders(5) != orders(6)


def test_images_and_labels_stay_together(rows):
    for x, y in batches(*rows, batch_size=100, seed=1):
        assert np.array_equal(x.numpy()[:, 0], y.numpy())
        assert np.array_equal(x.numpy()[:, 1], -y.numpy())


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, "100"])
def test_a_batch_size_that_cannot_be(rows, batch_size):
    with pytest.raises(UsageError, match="batch_size must be a whole number of 1 or more, got"):
        batches(*rows, batch_size=batch_size)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", 2**32])
def test_a_seed_that_cannot_be(rows, seed):
    with pytest.raises(UsageError, match="seed must be a whole number from 0 to 4294967295"):
        batches(*rows, batch_size=10, seed=seed)


@pytest.mark.parametrize("length", [0, 5])
def test_rows_that_do_not_match(rows, length):
    with pytest.raises(UsageError, match=f"at least 1, got {length} and "):
        batches(rows[0][:length], rows[1][: length and None], batch_size=10)


def test_the_global_seed_changes_no_order(rows):
    import tensorflow as tf

    tf.random.set_seed(1)
    first = passes(batches(*rows, batch_size=100, seed=0), 2)
    tf.random.set_seed(2)
    assert passes(batches(*rows, batch_size=100, seed=0), 2) == first
