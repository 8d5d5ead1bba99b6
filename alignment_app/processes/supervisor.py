"""Run all processes of one machine, and stop all of them at the end.

    with Supervisor(port=8000) as supervisor:   # lock, port, Valkey, web, worker, chat, monitor
        supervisor.wait()                       # until SIGINT or SIGTERM; restarts dead processes

Call it from the main thread: the kernel kills the children when the thread that started them ends.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connections

from alignment_app.processes.children import Child
from alignment_app.processes.lock import HomeLock, holder
from alignment_app.processes.valkey import EmbeddedValkey, is_embedded
from alignment_app.services.queues import INTERACTIVE, QUEUES

WATCH_SECONDS: Final = 0.2
WEB_START_SECONDS: Final = 90.0
BACKLOG: Final = 1024


class CannotStart(Exception):
    """A precondition is not met; the message has the remedy."""


class Supervisor:
    """The processes of one data folder; see the module."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 1,
        queues: Sequence[str] = QUEUES,
        say: Callable[[str], None] = print,
        logs_to_terminal: bool = False,
    ) -> None:
        self.home: Path = settings.HOME
        self.host = host
        self.port = port
        self.workers = workers
        self.queues = tuple(queues)
        self.say = say
        self.logs = None if logs_to_terminal else self.home / "logs"
        self.children: dict[str, Child] = {}
        self.valkey = EmbeddedValkey(self.home)
        self._lock = HomeLock(self.home)
        self._listener: socket.socket | None = None
        self._stop_requested = False
        self._former_handlers: dict[int, Any] = {}

    @property
    def url(self) -> str:
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{shown}:{self.port}/"

    def start(self) -> None:
        """Lock the folder, bind the port, start every process, and return when the web process responds.

        Raises :class:`CannotStart`, :class:`~.lock.AlreadyRunning` or :class:`~.valkey.ValkeyProblem`, after
        stopping all processes.
        """
        self._lock.take()
        end_leftovers(self.home)
        self._lock.describe()
        self._catch_signals()
        try:
            self._listener = listen(self.host, self.port)
            self.port = self._listener.getsockname()[1]
            for folder in (self.home / "logs", Path(settings.STATIC_ROOT)):
                folder.mkdir(exist_ok=True)
            prepare_database()
            self._start_valkey()
            descriptor = self._listener.fileno()
            self._start_child("web", [sys.executable, "-m", "alignment_app.processes.web", str(descriptor)], descriptor)
            for number in range(1, self.workers + 1):
                name = "worker" if self.workers == 1 else f"worker-{number}"
                self._start_child(name, manage("worker", "--queues", ",".join(self.queues)))
            self._start_child("chat", manage("worker", "--queues", INTERACTIVE))
            self._start_child("monitor", manage("monitor"))
            self._describe()
            self._wait_for_web()
        except BaseException:
            self.stop()
            raise

    def keep_running(self) -> bool:
        """Restart dead processes; return whether a stop was requested.

        :meth:`wait` calls this. Call it yourself during long operations.
        """
        before = self._pids()
        for child in self.children.values():
            child.keep_running()
        if self._pids() != before:
            self._describe()
        return self._stop_requested

    def wait(self, until: Callable[[], bool] = lambda: False) -> bool:
        """Keep the processes running until ``until()`` or a signal. Returns whether ``until()`` was true."""
        while not self.keep_running():
            if until():
                return True
            time.sleep(WATCH_SECONDS)
        return False

    def request_stop(self) -> None:
        """Make :meth:`wait` return."""
        self._stop_requested = True

    @property
    def stop_requested(self) -> bool:
        return self._stop_requested

    def stop(self) -> None:
        """Stop every process, the queue server last, and release the folder and the port."""
        order = sorted(self.children.values(), key=lambda child: child.name == "valkey")
        for child in order:
            if child.name != "valkey":
                child.ask_to_stop()
        for child in order:
            child.stop()
        self.children.clear()
        if is_embedded():
            self.valkey.socket.unlink(missing_ok=True)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._lock.release()
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)
        self._former_handlers.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _pids(self) -> list[int]:
        return [child.pid for child in self.children.values() if child.pid is not None]

    def _describe(self) -> None:
        self._lock.describe(url=self.url, children=self._pids())

    def _start_valkey(self) -> None:
        if not is_embedded():
            return
        self.valkey.stop()  # one may have been started manually
        server = self.valkey.child()
        server.on_death = self._report
        self.children["valkey"] = server
        server.start()
        self.valkey.wait_until_it_answers(server)

    def _start_child(self, name: str, argv: list[str], *descriptors: int) -> None:
        child = Child(
            name,
            argv,
            log=self.logs / f"{name}.log" if self.logs else None,
            env={"PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "alignment_app.settings"} | self._threads(),
            pass_fds=descriptors,
            on_death=self._report,
        )
        child.start()
        self.children[name] = child

    def _threads(self) -> dict[str, str]:
        """Divide the cores among several workers, unless the environment sets the number of threads."""
        if self.workers == 1 or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.workers))}

    def _report(self, child: Child, code: int) -> None:
        how = f"was killed (signal {-code})" if code < 0 else f"ended (code {code})"
        self.say(f"The {child.name} process {how}; restarting it.")
        if code > 0 and (end := child.tail(4)):
            self.say(f"Its log ({child.log}) ends:\n{end}")

    def _wait_for_web(self) -> None:
        deadline = time.monotonic() + WEB_START_SECONDS
        web = self.children["web"]
        while not self._stop_requested:
            # A killed process is restarted as usual; one that exits by itself reports the error in its log.
            ended = web.process is not None and (web.process.poll() or 0) > 0
            if ended or time.monotonic() > deadline:
                raise CannotStart(f"The web process did not start. Its log ({web.log or 'above'}) ends:\n{web.tail()}")
            if web.is_running() and self._answers():
                return
            self.keep_running()
            time.sleep(0.1)

    def _answers(self) -> bool:
        client = http.client.HTTPConnection(self.url.split("/")[2], timeout=2)
        try:
            client.request("GET", "/accounts/login/", headers={"Host": "localhost"})
            return client.getresponse().status < 500
        except OSError:
            return False
        finally:
            client.close()

    def _catch_signals(self) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self._stop_requested = True

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._former_handlers[number] = signal.signal(number, handle)


def end_leftovers(home: Path) -> None:
    """Kill leftover children of a killed supervisor, where the kernel does not (not on Linux).

    Call it with the lock acquired, so that the recorded processes belong to no running supervisor.
    """
    for pid in holder(home).get("children", []):
        with contextlib.suppress(psutil.Error, TypeError, ValueError):
            process = psutil.Process(pid)
            # A process id may have been reused; our processes have the folder in their environment.
            if process.environ().get("PLUMBLINE_HOME", "") in ("", str(home)) and _is_ours(process.cmdline()):
                process.kill()


def _is_ours(command: list[str]) -> bool:
    marks = ("alignment_app.processes.web", str(settings.BASE_DIR / "manage.py"), "valkey-server")
    return any(mark in part for part in command for mark in marks)


def prepare_database() -> None:
    """Apply all migrations. Raises :class:`CannotStart` when the database cannot be used."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        raise CannotStart(
            f"The database cannot be used: {error}. Check DATABASE_URL and that the server runs."
        ) from None
    finally:
        connections.close_all()


def manage(*arguments: str) -> list[str]:
    """Return the command line of a management command."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises :class:`CannotStart` with the remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotStart(
            f"{host} is not an address of this machine ({error.strerror}). Use --host 127.0.0.1."
        ) from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            remedy = f"is in use by another program. Stop it, or choose another port, for example --port {port + 1}."
        elif error.errno == errno.EACCES:
            remedy = "needs root. Choose a port above 1023, for example --port 8000."
        else:
            remedy = f"cannot be used ({os.strerror(error.errno or 0)}). Choose another with --host and --port."
        raise CannotStart(f"Port {port} on {host} {remedy}") from None
    return listener
