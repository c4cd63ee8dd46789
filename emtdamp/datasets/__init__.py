"""The study's data: loaders, splits, preprocessing; importing this does not import TensorFlow."""

from emtdamp.datasets.loaders import (
    Boston,
    FashionMnistTest,
    Mnist,
    Musk1,
    load_boston,
    load_fashion_mnist_test,
    load_mnist,
    load_musk1,
)
from emtdamp.datasets.preprocess import batches, one_hot, scale_images
from emtdamp.datasets.splits import (
    AssignmentSplit,
    Fold,
    assignment_split,
    boston_splits,
    report_split,
)
from emtdamp.datasets.tables import TABLES, Table, load_table, table_folds

__all__ = [
    "TABLES",
    "AssignmentSplit",
    "Boston",
    "FashionMnistTest",
    "Fold",
    "Mnist",
    "Musk1",
    "Table",
    "assignment_split",
    "batches",
    "boston_splits",
    "load_boston",
    "load_fashion_mnist_test",
    "load_mnist",
    "load_musk1",
    "load_table",
    "one_hot",
    "report_split",
    "scale_images",
    "table_folds",
]
