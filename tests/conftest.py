"""Settings of a test run: before anything imports TensorFlow, the same as the Makefile's."""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


class ByFile(LoadScopeScheduling):
    """Processes share the tests by file; the small book is built once, by one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "book" if file.startswith("tests/book/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """In place of xdist's own."""
    return ByFile(config, log)
