"""Settings of a test run: before anything imports TensorFlow, the same as the Makefile's.

And one more: XLA's older emitters compile an epoch in 5 seconds of processor time instead of 9.
They run an epoch of few rows as fast and one of MNIST's in 1.7 times the time, a bargain where
hundreds of shapes are compiled for some iterations each.
"""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
)


class ByFile(LoadScopeScheduling):
    """Processes share the tests by file; the small book is built once, by one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "book" if file.startswith("tests/book/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """In place of xdist's own."""
    return ByFile(config, log)
