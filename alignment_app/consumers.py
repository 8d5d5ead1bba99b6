"""WebSocket consumer of the run page."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model
from django.db import DatabaseError

from alignment_app.feeds import following, frame
from alignment_app.selectors import events
from alignment_app.services.people import can_read

log = logging.getLogger(__name__)

#: Maximum time a socket stays open after its user has lost access (s).
CHECK_SECONDS: Final = 10.0

#: Close codes after which the page must not reconnect.
NOT_LOGGED_IN: Final = 4401
NOT_ALLOWED: Final = 4403
NO_SUCH_RUN: Final = 4404
#: The page sent an invalid message.
BAD_MESSAGE: Final = 4400
#: Server error; the page may reconnect.
TRY_AGAIN: Final = 1011


class RunConsumer(AsyncWebsocketConsumer):
    """Streams the events of one run.

    The page sends ``{"cursor": n}`` and receives ``{"events": [...]}`` frames: each event after n, once and in order,
    and at least one frame, which may be empty. A later cursor restarts from there.
    """

    # The sockets of a run share its feed, so they need no channel and do not depend on the channel layer.
    channel_layer_alias = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.run_id = 0
        self._sending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._welcome = False

    async def connect(self) -> None:
        """Accept first, so that the page receives a refusal as a close code, not as a failed handshake."""
        self.run_id = self.scope["url_route"]["kwargs"]["run_id"]
        await self.accept()
        if code := await database_sync_to_async(self._refusal)():
            await self.close(code)
        else:
            self._welcome = True
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Close the socket when its user loses access: role removed, account disabled, password changed."""
        may_read = True
        while may_read:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                may_read = await database_sync_to_async(self._may_still_read)()
            except DatabaseError:  # temporary; checked again later
                log.warning("could not check whether the reader of run %s still has access", self.run_id)
        await self._stop_sending()
        self._welcome = False
        await self.close(NOT_ALLOWED)

    def _may_still_read(self) -> bool:
        then = self.scope["user"]
        now = get_user_model().objects.filter(pk=then.pk).first()
        return now is not None and can_read(now) and now.get_session_auth_hash() == then.get_session_auth_hash()

    def _refusal(self) -> int:
        user = self.scope["user"]
        if not user.is_authenticated:
            return NOT_LOGGED_IN
        if not can_read(user):
            return NOT_ALLOWED
        return 0 if events.last_seq(self.run_id) is not None else NO_SUCH_RUN

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self._welcome:
            return  # sent before the refusal arrived
        cursor = _cursor(text_data)
        if cursor is None:
            await self.close(BAD_MESSAGE)
            return
        await self._stop_sending()
        self._sending = asyncio.create_task(self._send_after(cursor))

    async def disconnect(self, code: int) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._stop_sending()

    async def _send_after(self, cursor: int) -> None:
        async with following(self.run_id) as feed:
            try:
                if feed.head <= cursor:
                    await self.send(text_data=frame([]))  # confirms the connection even without new events
                while True:
                    cursor, text = await feed.next_frame(cursor)
                    await self.send(text_data=text)
            except OSError:  # the client disconnected (uvicorn's ClientDisconnected) and will reconnect with its cursor
                log.debug("a socket of run %s was disconnected", self.run_id)
            except Exception:
                log.exception("closed a socket of run %s; its page will reconnect", self.run_id)
                await self.close(TRY_AGAIN)

    async def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None


def _cursor(text: str | None) -> int | None:
    """Return the cursor of a page's message, or ``None`` if it is not valid."""
    try:
        message = json.loads(text or "")
    except ValueError:
        return None
    cursor = message.get("cursor") if isinstance(message, dict) else None
    return cursor if type(cursor) is int and 0 <= cursor < 2**63 else None
