"""The system page: status, warnings, and rendering while services are offline."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rq import Queue, Worker

from alignment_app.models import Iteration, Run, Stage, StageAttempt
from alignment_app.pages import system as selectors
from alignment_app.services import queues

pytestmark = pytest.mark.django_db

AsRole = Callable[[str], Client]


@pytest.fixture
def away(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the queue server unreachable."""
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setattr(queues, "_pool", None)


@pytest.fixture
def stage() -> Stage:
    run = Run.objects.create(name="a run", config={}, config_hash="0", paradigm="self_reward")
    iteration = Iteration.objects.create(run=run, number=1)
    return Stage.objects.create(iteration=iteration, kind="responses", position=1, queue="generation", status="queued")


def register(names: list[str], pid: int) -> Worker:
    """Register a worker with the queue server, as at its start."""
    client = queues.connection()
    worker = Worker([Queue(name, connection=client) for name in names], name=f"here:{pid}", connection=client)
    worker.pid, worker.hostname = pid, socket.gethostname()
    worker.register_birth()
    return worker


def attempt(stage: Stage, seconds_left: float) -> StageAttempt:
    now = timezone.now()
    return StageAttempt.objects.create(
        stage=stage, number=1, worker="w", host="laptop", pid=4242, heartbeat_at=now - timedelta(seconds=12),
        lease_expires_at=now + timedelta(seconds=seconds_left),
    )  # fmt: skip


def test_the_page_warns_while_the_queue_server_is_offline(as_role: AsRole, away: None, stage: Stage) -> None:
    page = as_role("viewer").get(reverse("system"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "offline" in text
    assert "Nothing is lost" in text


def test_while_the_server_is_away_workers_and_bells_are_unknown_and_not_zero(away: None, stage: Stage) -> None:
    rows = {row.name: row for row in selectors.system().queues}
    assert rows["generation"].workers is None
    assert rows["generation"].jobs is None
    assert rows["generation"].waiting == 1


def test_without_a_worker_the_page_says_how_to_start_one(as_role: AsRole, valkey: Any) -> None:
    text = as_role("viewer").get(reverse("system")).content.decode()
    assert "No worker is running" in text
    assert "python manage.py worker" in text


def test_queues_without_workers_are_named_with_their_queued_stages(valkey: Any, stage: Stage) -> None:
    register(["light", "training"], os.getpid())
    (queues_warning, chat_warning) = selectors.system().warnings
    assert queues_warning.startswith("No worker serves generation, teacher. Queued stages: 1.")
    assert queues_warning.endswith("--queues generation,teacher.")
    assert "chat" in chat_warning


def test_with_every_queue_served_there_is_no_warning(valkey: Any) -> None:
    register([*queues.QUEUES, queues.INTERACTIVE], os.getpid())
    assert selectors.system().warnings == []


def test_a_worker_without_a_process_is_not_counted(valkey: Any) -> None:
    register(list(queues.QUEUES), 2**22 - 3)  # above any process number of this machine
    found = selectors.system()
    assert found.workers[0].lost
    assert {row.workers for row in found.queues} == {0}
    assert "No worker is running" in found.warnings[0]


def test_open_attempts_are_listed_with_the_time_since_their_last_heartbeat(
    as_role: AsRole, valkey: Any, stage: Stage
) -> None:
    attempt(stage, seconds_left=20)
    (row,) = selectors.work_now()
    assert row.live
    assert 11 < row.silent_seconds < 30
    text = as_role("viewer").get(reverse("system")).content.decode()
    assert "laptop, process 4242" in text


def test_an_attempt_whose_lease_ran_out_is_warned_about(valkey: Any, stage: Stage) -> None:
    attempt(stage, seconds_left=-5)
    assert any("No heartbeat" in warning for warning in selectors.system().warnings)


def test_bells_are_counted_by_queue(valkey: Any) -> None:
    Queue("light", connection=queues.connection()).enqueue_call("training.jobs.work", args=(1, "light"))
    rows = {row.name: row.jobs for row in selectors.system().queues}
    assert rows["light"] == 1
    assert rows["training"] == 0


def test_storage_is_summed_by_kind(valkey: Any, home: Path) -> None:
    (home / "runs" / "1").mkdir(parents=True, exist_ok=True)
    (home / "runs" / "1" / "weights").write_bytes(b"0" * 5000)
    rows = {row.label: row.bytes for row in selectors.storage()}
    assert rows["Checkpoints"] >= 5000
    assert rows["Database"] > 0
    (home / "runs" / "1" / "weights").unlink()


def test_versions_are_read_without_importing_the_packages() -> None:
    found = dict(selectors.versions())
    assert found["Django"].startswith("5.2")
    assert found["torch"].startswith("2.")


def test_a_look_by_htmx_gets_only_the_part_that_changes(as_role: AsRole, valkey: Any) -> None:
    page = as_role("viewer").get(reverse("system"), headers={"HX-Request": "true"})
    assert page.content.decode().lstrip().startswith('<div id="live"')
