"""The released arrays, bit for bit, and one clear error for every way a data file can be wrong."""

import hashlib
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emtdamp.datasets import (
    Mnist,
    load_boston,
    load_fashion_mnist_test,
    load_mnist,
    load_musk1,
    loaders,
)
from emtdamp.errors import DataError

LOADERS = {
    "mnist.npz": load_mnist,
    "fashion_mnist_test.npz": load_fashion_mnist_test,
    "boston.csv": load_boston,
    "musk1.csv": load_musk1,
}


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return load_mnist()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the data files that a test may spoil; the loaders read it."""
    copy = tmp_path / "data"
    shutil.copytree(loaders.DATA_FOLDER, copy)
    monkeypatch.setattr(loaders, "DATA_FOLDER", copy)
    return copy


def refused(file: str) -> str:
    """The message with which the loader refuses a file; it must name the file and the way out."""
    with pytest.raises(DataError) as error:
        LOADERS[file]()
    message = str(error.value)
    assert message.startswith(str(loaders.DATA_FOLDER / file))
    assert "Reinstall emtdamp" in message
    assert f"git checkout -- emtdamp/datasets/data/{file}" in message
    assert "\n" not in message
    return message


def rewrite(path: Path, **changes: object) -> None:
    """Write a .npz anew with some arrays replaced, or left out where the change is None."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays = {name: array for name, array in (arrays | changes).items() if array is not None}
    np.savez(path, **arrays)


# --- the released arrays ---------------------------------------------------------------------


def test_mnist_is_the_published_one(mnist):
    assert [array.shape for array in mnist] == [
        (60000, 28, 28),
        (60000,),
        (10000, 28, 28),
        (10000,),
    ]
    assert {array.dtype for array in mnist} == {np.dtype(np.uint8)}
    assert [sha256(array) for array in mnist] == [
        "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    ]
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(mnist.y_train).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(mnist.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_mnist_mean_and_spread_are_the_well_known_ones(mnist):
    share = np.bincount(mnist.x_train.ravel(), minlength=256) / mnist.x_train.size
    grey = np.arange(256) / 255
    mean = share @ grey
    assert mean == pytest.approx(0.1307, abs=5e-5)
    assert np.sqrt(share @ (grey - mean) ** 2) == pytest.approx(0.3081, abs=5e-5)


def test_fashion_mnist_test_is_the_published_one():
    x, y = load_fashion_mnist_test()
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((10000, 28, 28), np.uint8, (10000,), np.uint8)
    assert sha256(x) == "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a"
    assert sha256(y) == "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9"
    assert np.bincount(y).tolist() == [1000] * 10


def test_boston_is_the_published_one():
    boston = load_boston()
    assert (boston.data.shape, boston.data.dtype) == ((506, 13), np.float64)
    assert (boston.target.shape, boston.target.dtype) == ((506,), np.float64)
    table = np.column_stack([boston.data, boston.target]).astype("<f8")
    assert sha256(table) == "832e894115c56dd24ec63848d4a3d9bd921d268d0be1bee2a8f4ee5ea318f5f7"
    assert boston.feature_names == (
        "CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B",
        "LSTAT",
    )  # fmt: skip
    assert boston.data[0, boston.feature_names.index("B")] == 396.9


def test_musk1_is_the_published_one():
    musk = load_musk1()
    assert (musk.features.shape, musk.features.dtype) == ((476, 166), np.int16)
    assert (musk.bag.shape, musk.label.shape) == ((476,), (476,))
    assert musk.bag.dtype == musk.label.dtype == np.int16
    features = musk.features.astype("<i2")
    assert sha256(features) == "f67c6f3d7faa0326259adc07e22651853764c76287e94b199978c0e2503396ce"
    assert musk.feature_names[0] == "f1" and musk.feature_names[-1] == "f166"
    assert len(musk.feature_names) == 166


def test_musk1_has_47_musks_among_92_bags_of_2_to_40_instances():
    _, bag, label, _ = load_musk1()
    numbers, first, sizes = np.unique(bag, return_index=True, return_counts=True)
    assert numbers.tolist() == list(range(1, 93))
    assert (label.sum(), label[first].sum()) == (207, 47)
    assert np.array_equal(label, label[first][bag - 1])  # one label a bag
    assert np.count_nonzero(np.diff(bag)) == 91  # a bag's instances stand together
    assert (sizes.min(), np.median(sizes), sizes.max()) == (2, 4, 40)


@pytest.mark.parametrize("file", LOADERS)
def test_a_call_does_not_see_what_the_caller_of_another_did(file):
    first = LOADERS[file]()[0]
    first[:] = 0
    assert LOADERS[file]()[0].any()
    assert first.flags.c_contiguous


def test_each_data_file_has_a_loader():
    assert sorted(LOADERS) == sorted(path.name for path in loaders.DATA_FOLDER.iterdir())
    assert sorted(LOADERS) == sorted(loaders.RELEASED)


def test_importing_the_package_does_not_import_tensorflow():
    code = (
        "import sys, emtdamp.datasets as d; d.load_boston(); d.boston_splits(); d.one_hot([1]);"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- wrong files -----------------------------------------------------------------------------


@pytest.mark.parametrize("file", LOADERS)
def test_a_missing_file(folder, file):
    (folder / file).unlink()
    assert "the file is missing" in refused(file)


@pytest.mark.parametrize("file", LOADERS)
@pytest.mark.parametrize("part", [0, 0.001, 0.5, 0.999])
def test_a_truncated_file(folder, file, part):
    path = folder / file
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    refused(file)


def test_any_altered_byte_of_an_archive_is_refused_or_changes_no_value(folder):
    file = "fashion_mnist_test.npz"
    original = (folder / file).read_bytes()
    good = [sha256(array) for array in LOADERS[file]()]
    rng = np.random.default_rng(0)
    ends = [0, 4, 8, 30, 60, 150, len(original) - 5, len(original) - 60, len(original) - 200]
    refusals = 0
    for at in [*ends, *rng.integers(len(original), size=20)]:
        altered = bytearray(original)
        altered[at] ^= 0xFF
        (folder / file).write_bytes(altered)
        try:  # a byte of a time stamp, say, carries no data
            assert [sha256(array) for array in LOADERS[file]()] == good
        except DataError:
            refused(file)
            refusals += 1
    assert refusals >= 20  # all those within the packed arrays


@pytest.mark.parametrize("file", LOADERS)
def test_a_file_of_something_else(folder, file):
    (folder / file).write_bytes(b"version https://git-lfs.github.com/spec/v1\n\xff")
    refused(file)


@pytest.mark.parametrize("file", LOADERS)
def test_a_folder_in_place_of_the_file(folder, file):
    (folder / file).unlink()
    (folder / file).mkdir()
    assert "cannot be read (IsADirectoryError" in refused(file)


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_one_altered_value_in_any_array_of_mnist(folder, mnist, name):
    altered = getattr(mnist, name).copy()
    altered.flat[-1] ^= 1
    rewrite(folder / "mnist.npz", **{name: altered})
    message = refused("mnist.npz")
    assert f"{name} has other values" in message
    assert sha256(getattr(mnist, name))[:12] in message
    assert sha256(altered)[:12] in message


@pytest.mark.parametrize("name", ["x_test", "y_test"])
def test_one_altered_value_in_any_array_of_fashion_mnist(folder, name):
    altered = getattr(load_fashion_mnist_test(), name)
    altered.flat[0] ^= 1
    rewrite(folder / "fashion_mnist_test.npz", **{name: altered})
    assert f"{name} has other values" in refused("fashion_mnist_test.npz")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"y_test": None}, "expected the arrays x_test, y_test, found x_test."),
        ({"y_test": None, "labels": np.zeros(3)}, "found labels, x_test."),
        ({"extra": np.zeros(3)}, "found extra, x_test, y_test."),
        ({"y_test": np.zeros(3, np.uint8)}, "expected as uint8 (10000,), found uint8 (3,)"),
        ({"y_test": np.zeros(10000, np.int64)}, "found int64 (10000,)"),
    ],
)
def test_an_archive_with_other_arrays(folder, changes, problem):
    rewrite(folder / "fashion_mnist_test.npz", **changes)
    assert problem in refused("fashion_mnist_test.npz")


def test_the_right_bytes_in_another_shape(folder):
    x = load_fashion_mnist_test().x_test.reshape(10000, 784)
    rewrite(folder / "fashion_mnist_test.npz", x_test=x)
    assert "found uint8 (10000, 784)" in refused("fashion_mnist_test.npz")


def test_the_right_values_in_another_memory_order_are_accepted(folder):
    x = load_fashion_mnist_test().x_test
    rewrite(folder / "fashion_mnist_test.npz", x_test=np.asfortranarray(x))
    assert np.array_equal(load_fashion_mnist_test().x_test, x)


class Trap:
    """An object whose unpickling would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_pickle_inside_an_archive_is_not_run(folder, tmp_path):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "mark")
    rewrite(folder / "fashion_mnist_test.npz", y_test=trap)
    assert "allow_pickle=False" in refused("fashion_mnist_test.npz")
    assert not (tmp_path / "mark").exists()
    with np.load(folder / "fashion_mnist_test.npz", allow_pickle=True) as archive:
        archive["y_test"]
    assert (tmp_path / "mark").exists()  # the trap works: it was the loader that did not spring it


@pytest.mark.parametrize("file", LOADERS)
def test_a_pickle_in_place_of_the_file_is_not_run(folder, tmp_path, file):
    (folder / file).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    refused(file)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("boston.csv", "0.00632", "0.00633", "table has other values"),
        ("boston.csv", "CRIM,ZN", "ZN,CRIM", "expected the columns"),
        ("boston.csv", "0.00632", "low", "cannot be read (ValueError"),
        ("boston.csv", "0.00632,", "", "cannot be read (ValueError"),
        ("boston.csv", "11.9\n", "11.9\n11.9\n", "expected 506 rows, found 507"),
        ("musk1.csv", "1,1,42,-198", "1,0,42,-198", "table has other values"),
        ("musk1.csv", "1,1,42,-198", "2,1,42,-198", "table has other values"),
        ("musk1.csv", "1,1,42,-198", "1,1,42,-199", "table has other values"),
        ("musk1.csv", "1,1,42,-198", "1,1,42.5,-198", "cannot be read (ValueError"),
        ("musk1.csv", "1,1,42,-198", "1,1,42,-99999", "cannot be read ("),
    ],
)
def test_an_altered_table(folder, file, old, new, problem):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert problem in refused(file)


def test_a_table_without_rows(folder):
    path = folder / "boston.csv"
    path.write_text(path.read_text().splitlines()[0])
    assert "expected 506 rows, found 0" in refused("boston.csv")


def test_line_ends_of_another_system_do_not_matter(folder):
    path = folder / "boston.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_boston().target[0] == 24.0
