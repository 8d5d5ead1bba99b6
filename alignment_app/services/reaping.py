"""End attempts of dead processes without waiting for the lease; force cancellation."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import cache

from django.conf import settings
from django.utils import timezone

from alignment_app.models import Run, StageAttempt
from alignment_app.services import stages

#: Inode of the initial Linux PID namespace; a container has another.
FIRST_PID_NAMESPACE = "pid:[4026531836]"


@cache
def this_host() -> str:
    """Return the scope of a process id: the host name and, in a container, its PID namespace."""
    name = socket.gethostname()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return name
    return name if namespace == FIRST_PID_NAMESPACE else f"{name}/{namespace.strip('pid:[]')}"


def is_alive(pid: int) -> bool:
    """Return whether a process of this host is running (zombies are not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return False
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def reap_dead(host: str, alive: Callable[[int], bool] = is_alive, *, stopped: bool = False) -> int:
    """End every open attempt of ``host`` whose process is dead (``stopped``: deliberately). Returns the number."""
    attempts = StageAttempt.objects.filter(outcome=StageAttempt.Outcome.OPEN, host=host)
    return sum(
        stages.crash(
            attempt,
            "The worker was stopped." if stopped else f"The job process (pid {attempt.pid}) died.",
            StageAttempt.Reason.WORKER_STOPPED if stopped else StageAttempt.Reason.DIED,
        )
        for attempt in attempts
        if not alive(attempt.pid)
    )


def kill_overdue(host: str) -> int:
    """Kill processes on ``host`` that did not stop within the grace period after a cancel. Returns the number.

    Each process leads its own process group, so its child processes are killed too.
    """
    late = timezone.now() - timedelta(seconds=settings.CANCEL_GRACE_SECONDS)
    attempts = StageAttempt.objects.filter(
        outcome=StageAttempt.Outcome.OPEN,
        host=host,
        stage__iteration__run__status=Run.Status.CANCELLING,
        stage__iteration__run__cancel_requested_at__lte=late,
    )
    return sum(_kill(attempt.pid) for attempt in attempts)


def _kill(pid: int) -> bool:
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
