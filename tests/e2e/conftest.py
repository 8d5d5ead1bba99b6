"""A whole Plumbline as a user has it: ``manage.py up`` on an empty data folder, and a real Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.little_student import save_little_student

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.live_server_helper import LiveServer

    from labeling.models import Queue

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_SECONDS = 120
#: Items of a queue at the desk.
ITEMS = 30

expect.set_options(timeout=20_000)


@dataclass(frozen=True)
class Site:
    """A running Plumbline: where it is, who may log in, and its data folder."""

    url: str
    password: str
    home: Path
    environment: dict[str, str]
    student: Path

    def manage(self, *words: str) -> str:
        """Run a management command on this site's data."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _environment(home: Path) -> dict[str, str]:
    keep = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "DEBUG")}
    return keep | {"PLUMBLINE_HOME": str(home), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "2"}


@contextmanager
def plumbline(home: Path) -> Iterator[Site]:
    """Everything that ``make up`` starts on an empty data folder, stopped again by Ctrl-C."""
    environment = _environment(home)
    server = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", "0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        url, password = _read_welcome(server)
        yield Site(url, password, home, environment, save_little_student(home / "little-student"))
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)


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


def _read_welcome(server: subprocess.Popen[str]) -> tuple[str, str]:
    """The address and the password that the first start prints."""
    assert server.stdout is not None
    said, until = "", time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        line = server.stdout.readline()
        said += line
        url, password = re.search(r"http://\S+", said), re.search(r"password\s+(\S+)", said)
        if url and password:
            return url[0].rstrip("/"), password[1]
        if not line and server.poll() is not None:
            break
    raise AssertionError(f"the server did not come up:\n{said}")


def find_browser() -> str | None:
    """Chromium's path, wherever it is on this machine."""
    return os.environ.get("PLUMBLINE_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def chromium(executable: str) -> Iterator[Browser]:
    """A browser that asks nobody for anything."""
    arguments = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


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


def new_context(browser: Browser, *, width: int = 1440, theme: str = "light") -> BrowserContext:
    """A browser window of its own."""
    return browser.new_context(
        viewport={"width": width, "height": 900 if width > 600 else 844},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )


def watch(page: Page, complaints: list[str]) -> None:
    """Collect script errors and refusals of the content policy."""
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"{page.url}: {message.text}")
            if message.type == "error" and "Content Security Policy" in message.text
            else None
        ),
    )


def log_in(page: Page, site: Site) -> None:
    """As a user does."""
    page.goto(site.url)
    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill(site.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


@pytest.fixture(scope="session", autouse=True)
def _records_beside_the_browser() -> Iterator[None]:
    """Playwright keeps an event loop in this thread; the record is read between its calls, never during one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture
def crew() -> list[User]:
    from tests.labeling.stories import person

    return [person("lena", "lead"), person("ana", "annotator"), person("ben", "annotator")]


@pytest.fixture
def make(crew: list[User]) -> Callable[..., Queue]:
    """A queue of a run that waits for people."""

    def build(kind: str = "pair", items: int = ITEMS, **fields: object) -> Queue:
        from labeling.services.queues import NewQueue, make_queue
        from tests.labeling.stories import waiting_run

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


def ready(page: Page, *, not_task: str = "") -> str:
    """Wait until an item is on the screen and nothing is being saved. Returns its task."""
    page.wait_for_function(
        """(old) => { const desk = document.getElementById("desk");
        return desk.dataset.state === "done" ||
          (desk.dataset.state === "ready" && desk.dataset.busy !== "1" && desk.dataset.task !== old); }""",
        arg=not_task,
    )
    return page.locator("#desk").get_attribute("data-task") or ""
