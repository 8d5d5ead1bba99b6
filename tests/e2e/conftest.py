"""Fixtures for a whole Plumbline, a browser, and a desk at which people work."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import ITEMS, Site, chromium, find_browser, log_in, new_context, plumbline, watch

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.live_server_helper import LiveServer

    from labeling.models import Queue

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A Plumbline of its own for the session."""
    home = Path(tempfile.mkdtemp(prefix="plumbline-e2e-"))
    try:
        with plumbline(home) as running:
            yield running
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def data(site: Site) -> Site:
    """Three small data sets, imported as a user would import files."""
    questions = [f"What is {first} plus {second}?" for first in range(8) for second in range(9)]
    prompts = _write(site.home / "prompts.jsonl", [{"prompt": text} for text in questions[:64]])
    site.manage("import_data", prompts, "--name", "training prompts")
    held_out = _write(site.home / "held-out.jsonl", [{"prompt": text} for text in questions[64:]])
    site.manage("import_data", held_out, "--name", "held-out prompts")
    rows = [{"prompt": f"Say {number}.", "response": str(number)} for number in range(40)]
    site.manage("import_data", _write(site.home / "rows.jsonl", rows), "--name", "seed rows")
    return site


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, or a skip that says how to have one."""
    found = find_browser()
    if not found:
        pytest.skip("no Chromium here: install one, or set PLUMBLINE_CHROMIUM to its path")
    with chromium(found) as browser:
        yield browser


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console said that no page of ours may make it say."""
    return []


@pytest.fixture
def page(browser: Browser, site: Site, complaints: list[str]) -> Iterator[Page]:
    """A logged-in page at 1440 pixels; errors of scripts and of the content policy fail the test."""
    context = new_context(browser)
    page = context.new_page()
    watch(page, complaints)
    log_in(page, site)
    yield page
    context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="session", autouse=True)
def _records_beside_the_browser() -> Iterator[None]:
    """Playwright keeps an event loop in this thread; the record is read between its calls, never during one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture
def crew() -> list[User]:
    from tests.support.people import person

    return [person("lead", "lena"), person("annotator", "ana"), person("annotator", "ben")]


@pytest.fixture
def make(crew: list[User]) -> Callable[..., Queue]:
    """A queue of a run that waits for people."""

    def build(kind: str = "pair", items: int = ITEMS, **fields: object) -> Queue:
        from labeling.services.queues import NewQueue, make_queue
        from tests.support.review import waiting_run

        new = NewQueue(**{"name": "Pairs to review", "kind": kind, "order": "arrival"} | fields)  # type: ignore[arg-type]
        iteration = waiting_run(tuple((1.0, 4.0) for _ in range(items)), name=f"run of {new.name}")
        return make_queue(new, by=crew[0], iteration=iteration)

    return build


@pytest.fixture
def open_desk(browser: Browser, live_server: LiveServer, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """A page at a queue's desk, or at an address, for one person, with the session that a login makes."""
    contexts: list[BrowserContext] = []

    def build(at: Queue | str, who: User, *, width: int = 1440, theme: str = "light") -> Page:
        from django.test import Client

        client = Client()
        client.force_login(who)
        context = new_context(browser, width=width, theme=theme)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        contexts.append(context)
        page = context.new_page()
        watch(page, complaints)
        page.goto(live_server.url + (at if isinstance(at, str) else f"/review/{at.pk}/"))
        return page

    yield build
    for context in contexts:
        context.close()
    assert not complaints, "\n".join(complaints)
