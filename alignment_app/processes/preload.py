"""Preload heavy libraries in the worker before it forks, so that jobs start fast and share memory."""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

#: Importing these starts no thread and no CUDA. The modules of the stages' jobs import the trainers and TRL; modules
#: that transformers imports lazily are listed.
MODULES: Final = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "training.jobs",
)

#: pyarrow's allocator purges memory in a background thread that handles forks.
FORK_SAFE_THREADS: Final = frozenset({"jemalloc_bg_thd"})


def set_environment() -> None:
    """Set environment variables that the libraries read at import; existing values are kept.

    Actively waiting threads slow down the other processes of a small machine, and threads started before a fork do not
    exist after it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def preload() -> None:
    """Import :data:`MODULES` and the stages' jobs. Failures are logged; the job that needs the module reports them."""
    from training.plan import LOOP  # imports numpy, which must follow ``set_environment``

    jobs = sorted({spec.job.partition(":")[0] for spec in LOOP if spec.job})
    began = time.monotonic()
    for name in (*MODULES, *jobs):
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("could not preload %s (%s)", name, error)
    log.info("libraries loaded in %.1f s", time.monotonic() - began)
    if extra := extra_threads():
        log.warning("threads are running before the fork, so jobs may hang: %s", ", ".join(extra))


def extra_threads() -> list[str]:
    """Return the names of threads besides the main one, including native threads where the OS lists them."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    others = (task for task in tasks.iterdir() if task.name != str(os.getpid()))
    return sorted(name for task in others if (name := (task / "comm").read_text().strip()) not in FORK_SAFE_THREADS)
