"""A whole Plumbline as a user has it: ``manage.py up`` on an empty data folder, and a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support.paths import ROOT
from tests.support.students import save_little_student

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
START_SECONDS = 120
#: Items of a queue at the desk.
ITEMS = 30


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


def ready(page: Page, *, not_task: str = "") -> str:
    """Wait until an item is on the screen and nothing is being saved. Returns its task."""
    page.wait_for_function(
        """(old) => { const desk = document.getElementById("desk");
        return desk.dataset.state === "done" ||
          (desk.dataset.state === "ready" && desk.dataset.busy !== "1" && desk.dataset.task !== old); }""",
        arg=not_task,
    )
    return page.locator("#desk").get_attribute("data-task") or ""
