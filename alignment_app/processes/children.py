"""A child process that is restarted when it dies and ends with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

FIRST_BACKOFF_SECONDS: Final = 0.5
LAST_BACKOFF_SECONDS: Final = 15.0
#: Seconds after which a child that ends restarts with the shortest back-off.
STEADY_SECONDS: Final = 30.0
STEADY_IF_KILLED_SECONDS: Final = 4.0
LOG_BYTES: Final = 5_000_000  # a larger log is rotated at the next start


def die_with_parent(parent: int | None = None) -> None:
    """Make the kernel kill this process when its parent ends (Linux only; no effect elsewhere).

    Linux ties this to the parent's *thread*: fork from the main thread. ``parent``: pid of the expected parent.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(1)  # the parent ended before prctl


class Child:
    """A supervised program. Its output goes to ``log``. It leads its own session, so that Ctrl-C in the terminal
    reaches only the supervisor, which then stops its children in order."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path | None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        grace_seconds: float = 8.0,
        on_death: Callable[[Child, int], None] | None = None,
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = {**os.environ, **(env or {})}
        self.pass_fds = tuple(pass_fds)
        self.grace_seconds = grace_seconds
        self.on_death = on_death
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self._started_at = 0.0
        self._backoff = FIRST_BACKOFF_SECONDS
        self._start_again_at: float | None = None

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.is_running() and self.process else None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the program. Call it from the main thread."""
        parent = os.getpid()
        with self._output() as output:
            self.process = subprocess.Popen(
                self.argv,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if self.log else None,
                pass_fds=self.pass_fds,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )
        self._started_at = time.monotonic()
        self._start_again_at = None

    def keep_running(self) -> None:
        """Restart the program if it died, with exponential back-off. Call this often."""
        if self.is_running() or self.process is None:
            return
        now = time.monotonic()
        if self._start_again_at is None:
            steady = STEADY_IF_KILLED_SECONDS if self.process.returncode < 0 else STEADY_SECONDS
            was_steady = now - self._started_at > steady
            self._backoff = FIRST_BACKOFF_SECONDS if was_steady else min(self._backoff * 2, LAST_BACKOFF_SECONDS)
            self._start_again_at = now + self._backoff
            if self.on_death:
                self.on_death(self, self.process.returncode)
        elif now >= self._start_again_at:
            self.restarts += 1
            self.start()

    def ask_to_stop(self) -> None:
        if self.process is not None and self.is_running():
            self.process.terminate()

    def stop(self) -> None:
        """Stop the program and its descendants: SIGTERM first, SIGKILL after ``grace_seconds``."""
        if self.process is None:
            return
        family = _descendants(self.process.pid)
        self.ask_to_stop()
        try:
            self.process.wait(self.grace_seconds)
        except subprocess.TimeoutExpired:
            family += _descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(family, timeout=2)

    def tail(self, lines: int = 12) -> str:
        """Return the end of the log."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def _output(self) -> _Output:
        if self.log is not None and self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".old.log"))
        return _Output(self.log)


class _Output:
    """The log opened for appending; ``None`` (the parent's output) if there is no log."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("ab") if path else None

    def __enter__(self) -> int | None:
        return self._file.fileno() if self._file else None

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
