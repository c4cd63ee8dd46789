"""Settings of a test run: before anything imports TensorFlow, the same as the Makefile's.

And more: hundreds of shapes are compiled for some iterations each. XLA's older emitters compile an
epoch in 5 seconds of processor time instead of 9, and without unrolled loops and the search for
vectors across statements in 3. Epochs of few rows run as fast then, MNIST's take twice the time.
"""

import os
from collections import Counter

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters,"
    "xla_cpu_disable_loop_unrolling,xla_cpu_disable_slp_vectorizer",
)


class ByFile(LoadScopeScheduling):
    """Processes share the tests by file; the small book is built once, by one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "book" if file.startswith("tests/book/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """In place of xdist's own, and the files as they come."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The book, then files by their number of slow tests: short ones last leave nobody idle."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: ("tests/book/" not in item.nodeid, -slow[item.path]))
