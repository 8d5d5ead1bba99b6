"""Notify pages of new run events. Fast, and never makes a write fail.

Each process has one thread with one event loop for the channel layer, because a loop per message would open a
connection per message. Only the newest sequence number of a run is sent; pages read the events from the database.
Lost messages (server not available, process killed) are recovered by the pages' polling.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Final

from channels.layers import get_channel_layer

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 2.0
COMPLAINT_SECONDS: Final = 60.0  # log at most one connection failure in this period


def group_of(run_id: int) -> str:
    """Return the channel group of a run's followers."""
    return f"run.{run_id}"


def run_event(run_id: int, seq: int) -> None:
    """Notify the followers of a run that events up to ``seq`` exist. Returns immediately and never raises."""
    _publisher().send(run_id, seq)


def flush(timeout: float = 0.5) -> None:
    """Wait up to ``timeout`` seconds until all messages are sent. Call it before the process exits."""
    if _current is not None and _current.pid == os.getpid():
        _current.idle.wait(timeout)


class _Publisher:
    """One thread with one event loop, and the newest sequence number per run to send."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.idle = threading.Event()
        self.idle.set()
        self._news: dict[int, int] = {}
        self._lock = threading.Lock()
        self._sending = False
        self._complained_at = -COMPLAINT_SECONDS
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="publish", daemon=True).start()

    def send(self, run_id: int, seq: int) -> None:
        with self._lock:
            self._news[run_id] = max(seq, self._news.get(run_id, 0))
            self.idle.clear()
            if self._sending:
                return
            self._sending = True
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        while True:
            with self._lock:
                news, self._news = self._news, {}
                if not news:
                    self._sending = False
                    self.idle.set()
                    return
            for run_id, seq in news.items():
                await self._send_one(run_id, seq)

    async def _send_one(self, run_id: int, seq: int) -> None:
        layer = get_channel_layer()
        if layer is None:
            return
        message = {"type": "run.event", "run": run_id, "seq": seq}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await layer.group_send(group_of(run_id), message)
        except Exception as error:  # the event is in the database, so pages find it by polling
            if time.monotonic() - self._complained_at > COMPLAINT_SECONDS:
                self._complained_at = time.monotonic()
                log.warning("publishing failed (%s: %s); pages fall back to polling", type(error).__name__, error)


_current: _Publisher | None = None
_creation = threading.Lock()


def _publisher() -> _Publisher:
    """Return this process's publisher. A forked child creates its own, because threads do not survive a fork."""
    global _current
    if _current is None or _current.pid != os.getpid():
        with _creation:
            if _current is None or _current.pid != os.getpid():
                _current = _Publisher()
    return _current


def _after_fork() -> None:
    global _current, _creation
    _current, _creation = None, threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
