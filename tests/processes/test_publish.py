"""Publishing: fast, batched, fork-safe, and never an error for the writer."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest
from channels.layers import get_channel_layer

from alignment_app.services import publish


async def heard(count: int, during: Any, run_id: int = 5) -> list[dict[str, Any]]:
    """Return the first messages that a follower receives while ``during()`` runs in a thread."""
    layer = get_channel_layer()
    assert layer
    channel = await layer.new_channel()
    await layer.group_add(publish.group_of(run_id), channel)
    await asyncio.to_thread(during)
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.append(await layer.receive(channel))
    await layer.flush()
    return found


async def test_a_follower_hears_the_run_and_the_newest_number(valkey: Any) -> None:
    [message] = await heard(1, lambda: publish.run_event(5, 12))
    assert message == {"type": "run.event", "run": 5, "seq": 12}


async def test_many_events_at_once_become_few_messages_that_end_with_the_newest(valkey: Any) -> None:
    def write() -> None:
        for seq in range(1, 2001):
            publish.run_event(5, seq)
        publish.flush(5)

    [first] = await heard(1, write)
    assert first["seq"] >= 1
    assert publish._publisher().idle.is_set()


async def test_a_forked_child_publishes_too(valkey: Any) -> None:
    def fork() -> None:
        publish.run_event(9, 1)  # the parent's thread is running
        publish.flush(5)
        pid = os.fork()
        if pid == 0:
            publish.run_event(5, 2)
            publish.flush(5)
            os._exit(0)
        os.waitpid(pid, 0)

    [message] = await heard(1, fork)
    assert message["seq"] == 2


def test_without_the_server_it_takes_no_time_and_one_line_in_the_log(
    settings: Any, home: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = settings.CHANNEL_LAYERS["default"] | {"CONFIG": {"hosts": [f"unix://{home}/nobody.sock"]}}
    settings.CHANNEL_LAYERS = {"default": backend}
    began = time.monotonic()
    for seq in range(50):
        publish.run_event(5, seq)
    assert time.monotonic() - began < 0.2
    publish.flush(5)
    for seq in range(50):
        publish.run_event(6, seq)
    publish.flush(5)
    assert len([record for record in caplog.records if "publishing failed" in record.message]) <= 1
