"""Small runs of the little student on ready preference pairs, worked on in this process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from django.db import connections

from alignment_app.models import Run, Stage
from alignment_app.services import reaping, runs
from alignment_app.services.imports import import_rows
from training.config import RunConfig


def pairs_config(student: Path, *, pairs: int = 12, **training: Any) -> dict[str, Any]:
    """A config that trains the little student on ready pairs, with what ``training`` changes; the data is there then.

    Chosen and rejected differ in a trivial way, so that a few steps learn it.
    """
    rows = [
        {"prompt": f"What is {number}?", "chosen": f"good {number}", "rejected": f"bad {number}"}
        for number in range(pairs)
    ]
    import_rows("ready pairs", "preferences", rows)
    import_rows("held-out questions", "prompts", [{"prompt": f"What is {number} plus two?"} for number in range(4)])
    return {
        "name": "little",
        "paradigm": "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": str(student), "max_length": 512, "dtype": "float32"},
        "teacher": {"kind": "oracle"},
        "sft": {"enabled": False},
        "prompts": {"count": pairs},
        "candidates": {"max_new_tokens": 6},
        "judging": {"max_new_tokens": 6},
        "pairs": {"from_dataset": "ready pairs"},
        "training": {"batch_size": 2, "micro_batch_size": 2, "learning_rate": 1e-3, **training},
        "evaluation": {"enabled": False},
    }


def launch(data: dict[str, Any]) -> Run:
    """Launch it and do what the workers of all queues would do, one after the other."""
    return drive(runs.launch(RunConfig.parse(data)))


def drive(run: Run) -> Run:
    """Work on a run until nothing of it is queued."""
    from training.jobs import work

    while stage := Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).first():
        work(run.pk, stage.queue)
    run.refresh_from_db()
    return run


def drive_until_killed(run: Run) -> Run:
    """Have a process of its own work on a run until :func:`kill_9` ends it; then do what the monitor does about it."""
    connections.close_all()
    child = os.fork()
    if not child:
        try:
            drive(run)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert reaping.reap_dead(reaping.this_host()) == 1
    run.refresh_from_db()
    return run


def kill_9(*_: Any) -> Any:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)
