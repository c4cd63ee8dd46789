"""Sphinx extension: notebooks are executed a few at a time before they are read.

Most of a page's time is spent on one processor. What the executions leave goes through MyST-NB's
cache, which every build empties first: no output is older than the build. A page that reads what
the others leave, or that measures times, waits and is executed alone when it is read.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalSerial, ProcessData
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

ALONE = {"scoreboard", "speed"}
MOST = 4  # pages at a time: each may take more than a gigabyte


def execute_together(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Execute the notebooks among the pages that are about to be read.

    One that fails is executed again when it is read, and fails there with its traceback.
    """
    config = env.mystnb_config
    paths = [Path(env.doc2path(name)) for name in names if name not in ALONE]
    paths = [
        path
        for path in paths
        if path.suffix == ".ipynb"
        and not any(path.match(pattern) for pattern in config.execution_excludepatterns)
    ]
    if config.execution_mode != "cache" or not paths:
        return
    cache = get_cache(config.execution_cache_path)
    cache.clear_cache()
    jobs = []
    for path in paths:
        record = cache.add_nb_to_project(str(path))
        jobs.append(
            ProcessData(record.pk, record.uri, cache, config.execution_timeout, False)
        )
    # Threads of one process: kernels that several start at once may be given the same ports.
    with ThreadPoolExecutor(min(MOST, os.cpu_count() or 1)) as pool:
        list(pool.map(ExecutionWorkerLocalSerial(logging.getLogger(__name__)), jobs))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect(
        "env-before-read-docs", execute_together, priority=900
    )  # once they are in order
    return {"parallel_read_safe": True, "parallel_write_safe": True}
