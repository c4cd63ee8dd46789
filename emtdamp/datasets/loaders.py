"""Loaders of the data sets that travel with the package: checked NumPy arrays, nothing downloaded.

Each array is compared with the release: shape, dtype and SHA-256 of its raw C-order bytes. For
MNIST (55 MB) the check takes 0.03 s on a processor with SHA instructions and 0.1 to 0.2 s without,
the unpacking 0.25 s. The hash is of the array, not of the file, because two builds of zlib may pack
the same array into different files. Where the data come from and under which terms they are passed
on is told in the book's page on data (``book/data.md``).

Nothing is cached: every call returns fresh arrays, which the caller may change without another
caller seeing it.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emtdamp.errors import DataError

T = TypeVar("T")

DATA_FOLDER = Path(__file__).parent / "data"


class Expected(NamedTuple):
    """What a released array must be."""

    shape: tuple[int, ...]
    dtype: str
    sha256: str


# file -> array -> what it must be; the array of a .csv file is its table without the header
RELEASED: dict[str, dict[str, Expected]] = {
    "mnist.npz": {
        "x_train": Expected(
            (60_000, 28, 28),
            "|u1",
            "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        ),
        "y_train": Expected(
            (60_000,),
            "|u1",
            "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        ),
        "x_test": Expected(
            (10_000, 28, 28),
            "|u1",
            "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        ),
        "y_test": Expected(
            (10_000,),
            "|u1",
            "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        ),
    },
    "fashion_mnist_test.npz": {
        "x_test": Expected(
            (10_000, 28, 28),
            "|u1",
            "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        ),
        "y_test": Expected(
            (10_000,),
            "|u1",
            "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
        ),
    },
    "boston.csv": {
        "table": Expected(
            (506, 14),
            "<f8",
            "832e894115c56dd24ec63848d4a3d9bd921d268d0be1bee2a8f4ee5ea318f5f7",
        ),
    },
    "musk1.csv": {
        "table": Expected(
            (476, 168),
            "<i2",
            "c0a369e733fcb5da09e9cfd8f9050da293bd33f6e8715893c45198e531dc021e",
        ),
    },
}

BOSTON_COLUMNS = (
    "CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE", "DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT",
    "MEDV",
)  # fmt: skip
MUSK1_COLUMNS = ("bag", "label", *(f"f{i}" for i in range(1, 167)))


class Mnist(NamedTuple):
    """Images of handwritten digits and their labels."""

    x_train: NDArray[np.uint8]  # (60000, 28, 28), grey value 0 (paper) to 255 (ink)
    y_train: NDArray[np.uint8]  # (60000,), the digit 0..9
    x_test: NDArray[np.uint8]  # (10000, 28, 28)
    y_test: NDArray[np.uint8]  # (10000,)


class FashionMnistTest(NamedTuple):
    """The test half of Fashion-MNIST: images of clothes in MNIST's format."""

    x_test: NDArray[np.uint8]  # (10000, 28, 28), grey value 0 to 255
    y_test: NDArray[np.uint8]  # (10000,), the kind of garment 0..9


class Boston(NamedTuple):
    """House prices in 506 census tracts of Boston, 1970."""

    data: NDArray[np.float64]  # (506, 13)
    target: NDArray[np.float64]  # (506,), median value of owner-occupied homes in 1000 dollars
    feature_names: tuple[str, ...]  # 13


class Musk1(NamedTuple):
    """Molecules (bags) described by their conformations (instances): musk or not."""

    features: NDArray[np.int16]  # (476, 166), one row an instance
    bag: NDArray[np.int16]  # (476,), the molecule 1..92 that the instance belongs to
    label: NDArray[np.int16]  # (476,), 1 if that molecule is a musk, else 0
    feature_names: tuple[str, ...]  # 166


def load_mnist() -> Mnist:
    """All 70,000 MNIST images as they were published, not scaled.

    Returns:
        Mnist(x_train (60000, 28, 28), y_train (60000,), x_test (10000, 28, 28), y_test (10000,)),
        all uint8, new arrays at each call (0.3 s).

    Raises:
        DataError: the file is missing, unreadable or not the released one.

    >>> mnist = load_mnist()
    >>> mnist.x_train.shape, mnist.y_train[:5].tolist()
    ((60000, 28, 28), [5, 0, 4, 1, 9])
    """
    return Mnist(**_read_npz("mnist.npz"))


def load_fashion_mnist_test() -> FashionMnistTest:
    """The 10,000 test images of Fashion-MNIST: out-of-distribution inputs for an MNIST model.

    Returns:
        FashionMnistTest(x_test (10000, 28, 28), y_test (10000,)), uint8, 1000 images a class.

    Raises:
        DataError: the file is missing, unreadable or not the released one.

    >>> fashion = load_fashion_mnist_test()
    >>> fashion.x_test.shape, fashion.y_test[:5].tolist()
    ((10000, 28, 28), [9, 2, 1, 1, 6])
    """
    return FashionMnistTest(**_read_npz("fashion_mnist_test.npz"))


def load_boston() -> Boston:
    """Boston housing (Harrison & Rubinfeld 1978), kept only to compare with published results.

    Its column B encodes an assumption about race and house prices, for which scikit-learn withdrew
    the data set; the book's page on data says what that means for its use here.

    Returns:
        Boston(data (506, 13) float64, target (506,) float64, feature_names), not standardised.

    Raises:
        DataError: the file is missing, unreadable or not the released one.

    >>> boston = load_boston()
    >>> boston.data.shape, boston.target[:3].tolist()
    ((506, 13), [24.0, 21.6, 34.7])
    """
    table = _read_csv("boston.csv", BOSTON_COLUMNS)
    return Boston(table[:, :-1].copy(), table[:, -1].copy(), BOSTON_COLUMNS[:-1])


def load_musk1() -> Musk1:
    """Musk (version 1): a multiple-instance problem, 476 instances in 92 bags.

    A bag is one molecule, its instances are shapes the molecule can take; 47 of the bags are musks.
    The label is the bag's: it does not say which instance of a musk bag is the one that smells.

    Returns:
        Musk1(features (476, 166), bag (476,), label (476,), all int16, feature_names). Instances of
        a bag stand together.

    Raises:
        DataError: the file is missing, unreadable or not the released one.

    >>> musk = load_musk1()
    >>> musk.features.shape, int(musk.bag.max()), int(musk.label.sum())
    ((476, 166), 92, 207)
    """
    table = _read_csv("musk1.csv", MUSK1_COLUMNS)
    return Musk1(table[:, 2:].copy(), table[:, 0].copy(), table[:, 1].copy(), MUSK1_COLUMNS[2:])


def _read_npz(file: str) -> dict[str, NDArray]:
    """The checked arrays of a .npz file by name; np.load refuses pickles, so none is ever run."""
    released = RELEASED[file]
    arrays = _read(file, _unpack_npz)
    if set(arrays) != set(released):
        raise _data_error(file, f"expected the arrays {_names(released)}, found {_names(arrays)}")
    for name, expected in released.items():
        _check(file, name, arrays[name], expected)
    return arrays


def _read_csv(file: str, columns: tuple[str, ...]) -> NDArray:
    """The checked table of a .csv file whose first line must name `columns`."""
    expected = RELEASED[file]["table"]
    header, *rows = _read(file, lambda path: path.read_text("utf-8").splitlines()) or [""]
    if header != ",".join(columns):
        raise _data_error(file, f"expected the columns {_names(columns)}, found {header[:60]!r}")
    if len(rows) != expected.shape[0]:  # also keeps loadtxt from warning about an empty table
        raise _data_error(file, f"expected {expected.shape[0]} rows, found {len(rows)}")
    table = _read(file, lambda _: np.loadtxt(rows, dtype=expected.dtype, delimiter=","))
    _check(file, "table", table, expected)
    return table


def _unpack_npz(path: Path) -> dict[str, NDArray]:
    # np.load leaves a file that it opened itself open when the archive is damaged
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read(file: str, reader: Callable[[Path], T]) -> T:
    """What `reader` makes of a data file, or a DataError that says why it cannot."""
    path = DATA_FOLDER / file
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise _data_error(file, "the file is missing") from error
    # A damaged archive fails in a dozen ways (BadZipFile, zlib.error, struct.error, EOFError,
    # ValueError for a pickle, ...); whichever it is, this is not the released file.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise _data_error(
            file, f"the file cannot be read ({type(error).__name__}: {reason})"
        ) from error


def _check(file: str, name: str, array: NDArray, expected: Expected) -> None:
    """Raise a DataError unless the array is, bit for bit, the released one."""
    if array.shape != expected.shape or array.dtype != np.dtype(expected.dtype):
        raise _data_error(
            file,
            f"{name} is expected as {np.dtype(expected.dtype)} {expected.shape}, "
            f"found {array.dtype} {array.shape}",
        )
    found = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
    if found != expected.sha256:
        raise _data_error(
            file,
            f"{name} has other values than the released ones "
            f"(SHA-256 expected {expected.sha256[:12]}..., found {found[:12]}...)",
        )


def _data_error(file: str, problem: str) -> DataError:
    return DataError(
        f"{DATA_FOLDER / file}: {problem}. Reinstall emtdamp, or in a clone of its repository "
        f"run: git checkout -- emtdamp/datasets/data/{file}"
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
