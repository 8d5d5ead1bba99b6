"""Children: restarted when they die, ended with their parent, never left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from alignment_app.processes.children import Child
from alignment_app.services.reaping import is_alive

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def test_a_child_that_was_killed_is_started_again_and_said_to_have_died(tmp_path: Path) -> None:
    deaths: list[int] = []
    child = Child("sleeper", SLEEP, log=tmp_path / "log", on_death=lambda _, code: deaths.append(code))
    child.start()
    first = child.pid
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (child.keep_running(), child.pid not in (None, first))[1])
    assert deaths == [-signal.SIGKILL]
    assert child.restarts == 1
    child.stop()
    assert child.pid is None


def test_a_child_that_keeps_dying_is_started_ever_more_rarely(tmp_path: Path) -> None:
    child = Child("failing", [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log")
    child.start()
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        child.keep_running()
        time.sleep(0.02)
    assert 1 <= child.restarts <= 2


def test_a_child_that_ignores_the_polite_signal_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = Child("stubborn", [sys.executable, "-c", script], log=tmp_path / "log", grace_seconds=0.3)
    child.start()
    wait_until(lambda: child.tail().strip().isdigit())
    grandchild = int(child.tail())
    child.stop()
    assert not is_alive(grandchild)
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


@on_linux
def test_children_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = (
        "from alignment_app.processes.children import Child\n"
        "import sys, time\n"
        "child = Child('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], log=None)\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_alive(pid))
