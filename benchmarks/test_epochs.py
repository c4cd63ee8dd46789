"""pytest-benchmark's table of single epochs: `pytest benchmarks`, `--benchmark-compare` and so on.

The ratios in the book come from `python -m benchmarks`, which takes epochs in turns.
"""

import pytest

from benchmarks.epochs import Images, em, keras_adam, products, xla_adam

ONES = {"em-tdamp": em, "keras-adam": keras_adam, "xla-adam": xla_adam, "products": products}


@pytest.fixture(scope="module")
def data():
    return Images()


@pytest.mark.parametrize("batch", [100, 500, 1000])
@pytest.mark.parametrize("name", ONES)
def test_epoch(benchmark, data, name, batch):
    benchmark.group = f"one epoch, batch {batch}"
    benchmark.pedantic(ONES[name](data, (128,), batch), rounds=5, warmup_rounds=1)
