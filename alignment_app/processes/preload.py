"""Loads the heavy libraries in the worker before it forks, so that a job starts in a moment and shares their memory."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Importing these starts no thread and no CUDA. ``training.jobs`` brings the trainers and TRL; what transformers loads
#: only when it is asked for is named.
MODULES: Final = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "training.jobs",
)

#: pyarrow's allocator purges memory in a thread that knows how to survive a fork.
FORK_SAFE_THREADS: Final = frozenset({"jemalloc_bg_thd"})


def settle_environment() -> None:
    """Set what the libraries read when they are loaded; whatever the environment says already stays.

    A thread that waits actively starves the other processes of a small machine. A pool of threads that exists before
    a fork is missing after it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def preload() -> None:
    """Import :data:`MODULES`. One that cannot be imported is said and left: the job that needs it will say why."""
    began = time.monotonic()
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("could not load %s ahead of time (%s)", name, error)
    log.info("libraries loaded in %.1f s", time.monotonic() - began)
    if extra := extra_threads():
        log.warning("threads exist before the worker forks, and a job may hang: %s", ", ".join(extra))


def extra_threads() -> list[str]:
    """Names of the threads beside the main one, those of libraries included where the system tells."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    others = (task for task in tasks.iterdir() if task.name != str(os.getpid()))
    return sorted(name for task in others if (name := (task / "comm").read_text().strip()) not in FORK_SAFE_THREADS)
