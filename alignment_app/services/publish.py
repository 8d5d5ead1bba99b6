"""Tells the pages that a run has news. Fast, and never a reason for a write to fail.

Each process keeps one thread with one event loop for the channel layer: a loop for every message would open a
connection for every message. Only the newest number of a run is sent; a page reads what it has missed from the table.
What is lost here (the server away, a process killed) is found by the pages' own safety poll.
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
COMPLAINT_SECONDS: Final = 60.0  # at most one line about a server that is away in this time


def group_of(run_id: int) -> str:
    """The channel group of everybody who follows a run."""
    return f"run.{run_id}"


def run_event(run_id: int, seq: int) -> None:
    """Tell the followers of a run that its events reach up to ``seq``. Returns at once and never raises."""
    _publisher().send(run_id, seq)


def flush(timeout: float = 0.5) -> None:
    """Wait until what was handed over has been sent (s at most): for a process that is about to end."""
    if _current is not None and _current.pid == os.getpid():
        _current.idle.wait(timeout)


class _Publisher:
    """One thread, one loop, the newest sequence number of each run that has news."""

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
        except Exception as error:  # whatever went wrong, the event is in the table and the page will find it
            if time.monotonic() - self._complained_at > COMPLAINT_SECONDS:
                self._complained_at = time.monotonic()
                log.warning("could not publish (%s: %s); pages follow by polling", type(error).__name__, error)


_current: _Publisher | None = None
_creation = threading.Lock()


def _publisher() -> _Publisher:
    """This process's publisher. A forked child makes its own: threads do not cross a fork."""
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
