"""WebSocket of the run page: permissions, and each event once and in order, even after failures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.db import OperationalError, connections
from django.test import AsyncClient

from alignment_app import feeds
from alignment_app.consumers import RunConsumer
from alignment_app.models import Run
from alignment_app.services import events, publish

pytestmark = pytest.mark.django_db(transaction=True)


def person(role: str) -> Any:
    user = get_user_model().objects.create_user(role, password="a long pass phrase")
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


@pytest.fixture
def run() -> Run:
    return Run.objects.create(name="r", config={}, config_hash="0", paradigm="self_reward")


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Feeds of a test end with it, not some seconds later, and so does the connection of the sockets' thread.

    The channel layer goes first: its receiver keeps a connection for up to five seconds that a feed's end waits for.
    """
    yield
    layer = get_channel_layer()
    if layer is not None:
        await layer.flush()
    for feed in list(feeds._feeds.get(asyncio.get_running_loop(), {}).values()):
        await feed.close()
    feeds._feeds.pop(asyncio.get_running_loop(), None)
    await database_sync_to_async(connections.close_all)()


@pytest.fixture
def reader() -> Any:
    return person("viewer")


def append(run: Run, count: int) -> None:
    for _ in range(count):
        events.log(run.pk, "x")


async def socket(run_id: int, user: Any) -> WebsocketCommunicator:
    page = WebsocketCommunicator(RunConsumer.as_asgi(), f"/ws/runs/{run_id}/")
    page.scope["url_route"] = {"kwargs": {"run_id": run_id}}
    page.scope["user"] = user
    connected, _ = await page.connect()
    assert connected
    return page


async def ask(page: WebsocketCommunicator, cursor: Any) -> None:
    await page.send_to(text_data=json.dumps({"cursor": cursor}))


async def seqs(page: WebsocketCommunicator, until: int) -> list[int]:
    """Collect frames until one contains ``until``."""
    found: list[int] = []
    while not found or found[-1] < until:
        found += [event["seq"] for event in json.loads(await page.receive_from(timeout=5))["events"]]
    return found


async def test_a_page_gets_what_came_after_its_cursor_and_then_follows(valkey: Any, run: Run, reader: Any) -> None:
    await database_sync_to_async(append)(run, 5)
    page = await socket(run.pk, reader)
    await ask(page, 2)
    assert await seqs(page, 5) == [3, 4, 5]
    await database_sync_to_async(append)(run, 3)
    assert await seqs(page, 8) == [6, 7, 8]
    await page.disconnect()


async def test_a_page_that_is_even_hears_at_once_that_its_socket_carries(valkey: Any, run: Run, reader: Any) -> None:
    page = await socket(run.pk, reader)
    await ask(page, 0)
    assert json.loads(await page.receive_from(timeout=5)) == {"events": []}
    await page.disconnect()


async def test_far_behind_pages_and_even_ones_both_get_each_event_once_and_in_order(
    valkey: Any, run: Run, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignment_app.selectors.events.PAGE", 7)
    monkeypatch.setattr("alignment_app.selectors.events.after.__defaults__", (7,))
    await database_sync_to_async(append)(run, 40)
    even, behind = await socket(run.pk, reader), await socket(run.pk, reader)
    await ask(even, 40)
    await ask(behind, 0)
    await database_sync_to_async(append)(run, 10)
    assert await seqs(even, 50) == list(range(41, 51))
    assert await seqs(behind, 50) == list(range(1, 51))
    await even.disconnect()
    await behind.disconnect()


async def test_events_come_without_the_channel_layer_too(
    run: Run, reader: Any, settings: Any, home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "run_event", lambda run_id, seq: None)
    monkeypatch.setattr(feeds, "get_channel_layer", lambda: None)
    page = await socket(run.pk, reader)
    await ask(page, 0)
    assert json.loads(await page.receive_from(timeout=5)) == {"events": []}
    await database_sync_to_async(append)(run, 2)
    assert await seqs(page, 2) == [1, 2]
    await page.disconnect()


async def test_a_read_that_fails_closes_the_socket_so_that_its_page_comes_again(
    valkey: Any, run: Run, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database_sync_to_async(append)(run, 3)

    def fail(*_: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("alignment_app.selectors.events.after", fail)
    page = await socket(run.pk, reader)
    await ask(page, 0)
    assert (await page.receive_output(timeout=5))["code"] == 1011


@pytest.mark.parametrize(("role", "code"), [("annotator", 4403), ("viewer", None), ("lead", None), ("admin", None)])
async def test_only_those_who_may_read_runs_may_follow_one(valkey: Any, run: Run, role: str, code: int | None) -> None:
    user = await database_sync_to_async(person)(role)
    page = await socket(run.pk, user)
    if code:
        assert (await page.receive_output(timeout=5))["code"] == code
    else:
        await ask(page, 0)
        assert "events" in await page.receive_from(timeout=5)
    await page.disconnect()


async def test_who_is_not_logged_in_and_what_does_not_exist_are_closed_with_their_codes(run: Run, reader: Any) -> None:
    stranger = await socket(run.pk, AnonymousUser())
    assert (await stranger.receive_output(timeout=5))["code"] == 4401
    lost = await socket(run.pk + 1, reader)
    assert (await lost.receive_output(timeout=5))["code"] == 4404


@pytest.mark.parametrize(
    "message", ["null", "{", "[]", '{"cursor": "1"}', '{"cursor": -1}', '{"cursor": 1e3}', '{"x": 1}']
)
async def test_a_message_that_is_no_cursor_closes_the_socket(run: Run, reader: Any, message: str) -> None:
    page = await socket(run.pk, reader)
    await page.send_to(text_data=message)
    assert (await page.receive_output(timeout=5))["code"] == 4400


async def test_the_same_events_come_over_plain_http(run: Run, reader: Any) -> None:
    await database_sync_to_async(append)(run, 3)
    client = AsyncClient()
    await client.aforce_login(reader)
    answer = await client.get(f"/runs/{run.pk}/events/?after=1")
    assert [event["seq"] for event in answer.json()["events"]] == [2, 3]
    assert set(answer.json()["events"][0]) == {"seq", "kind", "payload", "at"}
    assert (await client.get(f"/runs/{run.pk}/events/?after=-1")).status_code == 400
    assert (await client.get(f"/runs/{run.pk + 1}/events/")).status_code == 404


async def test_plain_http_asks_for_a_login_and_for_a_role_as_the_socket_does(run: Run) -> None:
    client = AsyncClient()
    assert (await client.get(f"/runs/{run.pk}/events/")).status_code == 302
    await client.aforce_login(await database_sync_to_async(person)("annotator"))
    assert (await client.get(f"/runs/{run.pk}/events/")).status_code == 403


def _take_the_role(user: Any) -> None:
    user.groups.clear()


def _disable(user: Any) -> None:
    type(user).objects.filter(pk=user.pk).update(is_active=False)


def _new_password(user: Any) -> None:
    again = type(user).objects.get(pk=user.pk)
    again.set_password("another long pass phrase")
    again.save()


@pytest.mark.parametrize("revoke", [_take_the_role, _disable, _new_password])
async def test_an_open_socket_ends_with_its_reader_s_right_to_read(
    valkey: Any, run: Run, reader: Any, revoke: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alignment_app.consumers.CHECK_SECONDS", 0.05)
    page = await socket(run.pk, reader)
    await ask(page, 0)
    assert json.loads(await page.receive_from(timeout=5)) == {"events": []}
    await database_sync_to_async(revoke)(reader)
    assert await page.receive_output(timeout=5) == {"type": "websocket.close", "code": 4403}
    await database_sync_to_async(append)(run, 1)
    assert await page.receive_nothing()
