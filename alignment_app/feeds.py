"""Event feed per run and web process: reads new events once for all sockets of the run.

The feed is notified through the channel layer (fast, may lose messages) and also polls the database every two seconds.
A socket keeps its own cursor and takes frames from the feed's newest events, or from the database if it is further
behind.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from alignment_app.selectors import events
from alignment_app.services.publish import group_of

log = logging.getLogger(__name__)

KEPT: Final = 2000  # newest events in memory
COALESCE_SECONDS: Final = 0.06  # notifications within this time cause one read and one frame
POLL_SECONDS: Final = 2.0  # polling interval without notifications
LISTEN_AGAIN_SECONDS: Final = 2.0
LINGER_SECONDS: Final = 5.0  # a feed stays this long after its last socket, for fast reconnects


def frame(found: list[str]) -> str:
    """Return one frame (also the HTTP response body): encoded events in order."""
    return '{"events":[' + ",".join(found) + "]}"


def encode(event: dict[str, Any]) -> str:
    return json.dumps(event, separators=(",", ":"))


class RunFeed:
    """The newest events of one run, for the sockets of one event loop."""

    def __init__(self, run_id: int, head: int) -> None:
        self.run_id = run_id
        self.head = head  # the newest known sequence number
        self.followers = 0
        self._kept: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._frames: dict[int, str] = {}  # cursor → frame up to the head, shared by sockets at the same cursor
        self._moved = asyncio.Event()
        self._news = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._read())]

    async def next_frame(self, cursor: int) -> tuple[int, str]:
        """Wait for events after ``cursor``; return the last sequence number in the frame, and the frame."""
        while self.head <= cursor:
            await self._moved.wait()
        if self._kept and self._kept[0][0] <= cursor + 1 and self.head - cursor <= events.PAGE:
            if cursor not in self._frames:
                behind = self.head - cursor
                newest = [text for seq, text in list(self._kept)[-behind:] if seq > cursor]
                self._frames[cursor] = frame(newest)
            return self.head, self._frames[cursor]
        found = await database_sync_to_async(events.after)(self.run_id, cursor)
        if not found:  # the rows were deleted: nothing to send, and no immediate retry
            return self.head, frame([])
        return found[-1]["seq"], frame([encode(event) for event in found])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        """Read new events at each notification, and every :data:`POLL_SECONDS`."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._news.wait()
                await asyncio.sleep(COALESCE_SECONDS)
            except TimeoutError:
                pass
            self._news.clear()
            try:
                while await self._read_page() == events.PAGE:
                    pass
            except Exception:
                log.exception("could not read the events of run %s; trying again", self.run_id)
                await asyncio.sleep(POLL_SECONDS)

    async def _read_page(self) -> int:
        found = await database_sync_to_async(events.after)(self.run_id, self.head)
        if found:
            self._kept.extend((event["seq"], encode(event)) for event in found)
            self._frames.clear()
            self.head = found[-1]["seq"]
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        return len(found)

    async def _listen(self) -> None:
        """Wake the reader at each notification; reconnect if the channel layer is not available."""
        while True:
            try:
                await self._listen_until_it_breaks()
            except Exception as error:
                log.warning("run %s is followed by polling (%s: %s)", self.run_id, type(error).__name__, error)
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen_until_it_breaks(self) -> None:
        layer = get_channel_layer()
        if layer is None:
            return
        group, channel = group_of(self.run_id), await layer.new_channel()
        try:
            await layer.group_add(group, channel)
            self._news.set()
            while True:
                message = await layer.receive(channel)
                if message["seq"] > self.head:
                    self._news.set()
        finally:
            await asyncio.shield(layer.group_discard(group, channel))


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, RunFeed]] = WeakKeyDictionary()


@asynccontextmanager
async def following(run_id: int) -> AsyncIterator[RunFeed]:
    """Get or start the run's feed in this process; it ends shortly after its last follower has left."""
    loop = asyncio.get_running_loop()
    feeds = _feeds.setdefault(loop, {})
    if run_id not in feeds:
        head = await database_sync_to_async(events.last_seq)(run_id) or 0
        if run_id not in feeds:  # another socket may have started it meanwhile
            feeds[run_id] = RunFeed(run_id, head)
    feed = feeds[run_id]
    feed.followers += 1
    try:
        yield feed
    finally:
        feed.followers -= 1
        if feed.followers == 0:
            loop.call_later(LINGER_SECONDS, _end_if_idle, feeds, feed)


def _end_if_idle(feeds: dict[int, RunFeed], feed: RunFeed) -> None:
    if feed.followers == 0 and feeds.get(feed.run_id) is feed:
        del feeds[feed.run_id]
        _closing.add(task := asyncio.ensure_future(feed.close()))
        task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
