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

#: Importing these starts no thread and no CUDA. ``training.jobs`` pulls in the project's own.
MODULES: Final = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "trl",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "training.jobs",
)


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
    if (count := thread_count()) > 1:
        log.warning("the worker has %d threads before it forks; a job may hang. Threads: %s", count, _names())


def thread_count() -> int:
    """Threads of this process, those of libraries included where the system tells."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def _names() -> list[str]:
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return [thread.name for thread in threading.enumerate()]
    return sorted((task / "comm").read_text().strip() for task in tasks.iterdir())
