"""The splits of the reproduced studies: sizes, order, anchors, refusals."""

import hashlib

import numpy as np
import pytest

from emtdamp.datasets import (
    Mnist,
    assignment_split,
    boston_splits,
    load_boston,
    load_mnist,
    report_split,
)
from emtdamp.errors import UsageError


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return load_mnist()


def test_report_trains_on_the_first_ten_thousand_and_tests_on_all(mnist):
    split = report_split(mnist)
    assert np.array_equal(split.x_train, mnist.x_train[:10000])
    assert np.array_equal(split.y_train, mnist.y_train[:10000])
    assert np.array_equal(split.x_test, mnist.x_test)
    assert np.array_equal(split.y_test, mnist.y_test)
    assert np.bincount(split.y_train).tolist() == [
        1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978,
    ]  # fmt: skip


@pytest.mark.parametrize("train_size", [1, 500, 60000, np.int64(7)])
def test_report_split_of_another_size(mnist, train_size):
    split = report_split(mnist, train_size)
    assert len(split.x_train) == len(split.y_train) == train_size


@pytest.mark.parametrize("train_size", [0, -1, 60001, 2.5, "500", None])
def test_report_split_refuses_a_size_that_cannot_be(mnist, train_size):
    with pytest.raises(UsageError, match=r"from 1 to 60000, got ") as error:
        report_split(mnist, train_size)
    assert str(error.value).endswith(repr(train_size))


def test_assignment_split_cuts_the_training_images_in_two(mnist):
    split = assignment_split(mnist)
    assert (len(split.x_train), len(split.x_val), len(split.x_test)) == (50000, 10000, 10000)
    assert np.array_equal(np.concatenate([split.x_train, split.x_val]), mnist.x_train)
    assert np.array_equal(np.concatenate([split.y_train, split.y_val]), mnist.y_train)
    assert np.array_equal(split.x_test, mnist.x_test)
    assert np.array_equal(split.y_test, mnist.y_test)
    assert split.y_val[:5].tolist() == [3, 8, 6, 9, 6]


def test_boston_splits_are_the_published_twenty():
    folds = boston_splits()
    permutations = np.concatenate([np.concatenate(fold) for fold in folds]).astype("<i8")
    assert hashlib.sha256(permutations.tobytes()).hexdigest() == (
        "3a0f9d6fd12975eb9ec1aad334038e1dd6ecae021b4f14037f307b282942fd29"
    )
    assert [(len(train), len(test)) for train, test in folds] == [(455, 51)] * 20
    assert folds[0].test[:8].tolist() == [431, 115, 470, 216, 264, 209, 316, 384]


def test_each_boston_split_uses_every_row_once():
    rows = list(range(len(load_boston().target)))
    for train, test in boston_splits():
        assert sorted([*train, *test]) == rows


def test_boston_splits_neither_read_nor_disturb_the_global_generator():
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002
    first = boston_splits()
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(99)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002
    assert np.array_equal(first[3].test, boston_splits()[3].test)
    np.random.set_state(state)  # noqa: NPY002
