"""A database that version 0.1.0 wrote migrates, loses no row, and every URL answers on it, with torch blocked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db

#: Routes for which no address can be made, and why.
UNCOVERED = {"admin:view_on_site": "no model has a page of its own in the admin's sense"}
#: URLs that answer otherwise than by 200: a pattern, the status, and why.
OTHERS = (
    (r"/", 302, "goes on to the list of runs"),
    (r"/accounts/login/|/admin/login/", 302, "who asks is logged in"),
    (r"/admin/\w+/\w+/\w+/", 302, "goes on to the page on which the row is changed"),
    (r"/admin/authtoken/tokenproxy/0+/(\w+/)?", 302, "the admin names a token by its user and not by its key"),
    (r"/admin/\w+/\w+/(add|\d+/delete)/", 403, "the admin reads these rows and changes none"),
    (r"/admin/no-such-page/", 404, "the admin's answer to an unknown address"),
    (r"/checkpoints/\d+/(metrics\.csv|data/)", 404, "no run trained the checkpoint"),
    (r"/api/v1/checkpoints/\d+/metrics/", 404, "no run trained the checkpoint"),
    (r"/runs/\d+/iteration/\d+/step/\d+/", 404, "the first step has none before it"),
    (r"/chat/turn/1/|/judges/trial/", 404, "the session has no question and no trial"),
    (r"/judges/of/(additive_5|buckets_5|hundred|pairwise)/edit/", 404, "the built-in judges are not edited"),
    (r"/data/import/none/", 302, "no file of that name was uploaded"),
    (r"/api/v1/tasks/\d+/differences", 409, "an admin has no item"),
)
#: Pages that take POST alone.
FORMS = set(
    "launch-check run-act study-check study-act person-role person-active person-password key-act chat-send chat-new "
    "judge-check judge-read judge-try dataset-remove review-act review-judges-measure review-decide "
    "review-line".split()
)
#: Tables of the project that version 0.1.0 left empty.
EMPTY = {"auth_user_user_permissions"}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """What :mod:`tests.support.crawl` found: on SQLite, or on a database of its own in the tests' PostgreSQL."""
    home = tmp_path_factory.mktemp("old")
    environment = os.environ | {"PLUMBLINE_HOME": str(home), "PYTHONPATH": str(ROOT), "LOG_LEVEL": "ERROR"}
    environment.pop("DATABASE_URL", None)
    with django_db_blocker.unblock(), database() as url:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.crawl"],
            cwd=ROOT,
            env=environment | url,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
    assert done.returncode == 0, done.stderr[-8000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr[-8000:]}


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """The environment that names the database to crawl on; empty for SQLite in the data folder."""
    from django.db import connection

    if connection.vendor != "postgresql":
        yield {}
        return
    import psycopg

    at = connection.settings_dict
    name = f"{at['NAME']}_of_0_1_0"
    with psycopg.connect(
        host=at["HOST"], port=at["PORT"], user=at["USER"], password=at["PASSWORD"], dbname="postgres", autocommit=True
    ) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{name}"')
        server.execute(f'CREATE DATABASE "{name}"')
        yield {"DATABASE_URL": f"postgresql://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}/{name}"}
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def is_right(url: str, status: int) -> bool:
    return status == 200 or any(status == other and re.fullmatch(pattern, url) for pattern, other, _ in OTHERS)


def test_every_url_answers(crawled: dict[str, Any]) -> None:
    takes_get = {url: status for url, status in crawled["admin"].items() if status != 405}
    wrong = {url: status for url, status in takes_get.items() if not is_right(url, status)}
    assert wrong == {}, crawled["stderr"]
    assert len(takes_get) > 1000


def test_every_route_was_asked_for(crawled: dict[str, Any]) -> None:
    assert set(crawled["uncovered"]) == set(UNCOVERED)
    pages = {name for name in crawled["post_only"] if not name.startswith("api-")}
    assert pages == FORMS


def test_an_annotator_reaches_the_desks(crawled: dict[str, Any]) -> None:
    answers = crawled["annotator"]
    pages = {url: status for url, status in answers.items() if not url.endswith("/differences")}
    assert {url for url, status in pages.items() if not is_right(url, status)} == set()
    assert {"/review/", "/review/1/", "/api/v1/queues", "/api/v1/queues/1/progress"} <= set(pages)
    # 200: the item is with this person; 400: no text to compare with was sent; 409: the item is with nobody or another
    assert {answers[url] for url in answers if url.endswith("/differences")} <= {200, 400, 409}


def test_no_row_is_lost(crawled: dict[str, Any]) -> None:
    before, after = crawled["before"], crawled["after"]
    assert {table for table, rows in before.items() if not rows} == EMPTY
    assert {table: (rows, after[table]) for table, rows in before.items() if after.get(table, rows) < rows} == {}


def test_the_web_process_loads_nothing_that_trains(crawled: dict[str, Any]) -> None:
    assert crawled["loaded"] == []
