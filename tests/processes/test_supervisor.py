"""``manage.py up``: starts everything, restarts dead processes, leaves none running; errors have a remedy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = {"valkey-server": "valkey", "processes.web": "web", "light,generation": "worker", "interactive": "chat"}


class Up:
    """``manage.py up`` in a separate process and data folder."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.log = home / "up.log"
        environment = {key: value for key, value in os.environ.items() if key not in ("REDIS_URL", "DATABASE_URL")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", "0", *arguments],
                cwd=ROOT, stdout=log, stderr=log, env=environment | {"PLUMBLINE_HOME": str(home)},
            )  # fmt: skip

    def end(self) -> None:
        """Kill the process in any state."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def outcome(self) -> int:
        """Return the exit code of the process; kill it and fail the test if it does not end."""
        try:
            return self.process.wait(60)
        finally:
            self.end()

    @property
    def url(self) -> str:
        try:
            facts = json.loads((self.home / "up.lock").read_text() or "{}")
        except (OSError, ValueError):
            return ""
        return str(facts.get("url", "")) if facts.get("pid") == self.process.pid else ""

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}accounts/login/", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False

    def children(self) -> dict[str, int]:
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                command = " ".join(child.cmdline())
            except psutil.Error:  # the process has just ended
                continue
            name = next((name for mark, name in NAMES.items() if mark in command), command.rsplit(" ", 1)[-1])
            found[name] = child.pid
        return found


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A data folder with a path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="plumbline-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def running() -> Iterator[Up]:
    """Start a system and wait until its pages respond."""
    with short_folder() as home:
        system = Up(home)
        try:
            wait_until(system.answers)
            # Pages respond before the start is complete; the output reports completion.
            wait_until(lambda: "Plumbline is at" in system.log.read_text())
            yield system
        finally:
            system.end()


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.fixture
def up() -> Iterator[Up]:
    """A system for one test, which stops it."""
    with running() as system:
        yield system


@pytest.fixture(scope="module")
def shared_up() -> Iterator[Up]:
    """One shared system for tests that do not stop it."""
    with running() as system:
        yield system


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_leaves_nothing_running(up: Up) -> None:
    wait_until(lambda: len(up.children()) == 5)
    assert set(up.children()) == {"valkey", "web", "worker", "chat", "monitor"}
    pids = [child.pid for child in psutil.Process(up.process.pid).children(recursive=True)]
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    assert alive(pids) == []
    assert not (up.home / "valkey.sock").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_takes_its_processes_along_and_the_next_start_works(up: Up) -> None:
    pids = [child.pid for child in psutil.Process(up.process.pid).children(recursive=True)]
    up.process.kill()
    up.process.wait()
    wait_until(lambda: not alive(pids), 10)
    again = Up(up.home)
    try:
        wait_until(again.answers)
    finally:
        again.process.terminate()
        assert again.process.wait(30) == 0


@pytest.mark.slow
def test_each_process_that_is_killed_is_started_again_and_the_pages_answer(shared_up: Up) -> None:
    up = shared_up
    before = up.children()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(up.children()) == set(before) and not set(up.children().values()) & set(before.values()))
    wait_until(up.answers)
    assert "The web process was killed (signal 9)" in up.log.read_text()


@pytest.mark.slow
def test_a_second_one_on_the_same_folder_is_refused_and_says_where_the_first_is(shared_up: Up) -> None:
    up = shared_up
    assert Up(up.home).outcome() == 1
    said = up.log.read_text()
    assert f"already running on {up.home} at {up.url} (process {up.process.pid})" in said
    assert "Traceback" not in said
    assert up.answers()


@pytest.mark.slow
def test_a_taken_port_is_refused_with_the_remedy_and_nothing_is_left(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        system = Up(folder, "--port", str(port))
        assert system.outcome() == 1
    said = system.log.read_text()
    assert f"Port {port} on 127.0.0.1 is in use by another program" in said
    assert f"--port {port + 1}" in said
    assert "Traceback" not in said
    assert not (folder / "valkey.sock").exists()


@pytest.mark.slow
def test_a_database_that_cannot_be_used_is_said_in_a_sentence(folder: Path) -> None:
    (folder / "plumbline.sqlite3").write_text("this is no database, however long one looks at it")
    system = Up(folder)
    assert system.outcome() == 1
    said = system.log.read_text()
    assert "The database cannot be used" in said
    assert "Traceback" not in said
