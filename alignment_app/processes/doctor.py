"""Checks of this machine, each with a remedy. Does not load torch."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

import psutil
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError
from rq import Worker

from alignment_app import env
from alignment_app.models import Dataset, Stage
from alignment_app.processes.lock import holder
from alignment_app.services import queues
from training.hardware import Hardware

Level = Literal["ok", "warn", "fail"]
GB: Final = 10**9
LOW_DISK, NO_DISK = 5 * GB, GB // 2
LOW_MEMORY: Final = 2 * GB
SOCKET_PATH: Final = 103  # bytes, the maximum length of a Unix socket path
PORT: Final = 8000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: subject, status, and for a warning or failure what to do."""

    level: Level
    what: str
    found: str
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """Run all checks in order. A check that raises is reported as a failure, and the others still run."""
    for check in CHECKS:
        try:
            yield from check()
        except Exception as error:
            name = check.__name__.strip("_").replace("_", " ")
            yield Finding("fail", name, f"{type(error).__name__}: {error}", "Report this with the lines above.")


def _python() -> Iterator[Finding]:
    have = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "Python", f"{have} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    missing, different = [], []
    pins = _pins()
    for name, wanted in pins.items():
        try:
            have = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if have != wanted:
            different.append(f"{name} {have} (tested: {wanted})")
    if missing:
        yield Finding("fail", "packages", f"missing: {', '.join(missing)}", "Run 'make install'.")
    if different:
        yield Finding("warn", "packages", "; ".join(different), "Run 'make install' for the tested versions.")
    if not missing and not different:
        yield Finding("ok", "packages", f"all {len(pins)} at the tested versions")


def _pins() -> dict[str, str]:
    """Name and version of every pinned requirement of the base."""
    text = (settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8")
    pins = (
        re.match(r"([\w.-]+)(?:\[.*\])?==([\w.]+)", item) for item in tomllib.loads(text)["project"]["dependencies"]
    )
    return {found[1]: found[2] for found in pins if found}


def _accelerator() -> Iterator[Finding]:
    gpus = Hardware.detect().gpus
    try:
        build = version("torch")
    except PackageNotFoundError:
        return  # reported by the packages check
    names = ", ".join(f"{gpu.name} ({gpu.memory_bytes / GB:.0f} GB)" for gpu in gpus)
    if gpus and "+cpu" in build:
        yield Finding(
            "warn",
            "GPU",
            f"{names}, but torch {build} cannot use the GPU",
            "Install the CUDA build: remove .venv and run 'PLUMBLINE_TORCH=cuda make install'.",
        )
    elif gpus:
        yield Finding("ok", "GPU", f"{names}, torch {build}")
    else:
        yield Finding("ok", "GPU", f"none; torch {build} uses the CPU")


def _space() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.HOME).free
    remedy = f"Free disk space at {settings.HOME}, or set PLUMBLINE_HOME to a folder on a larger disk."
    level: Level = "fail" if free < NO_DISK else "warn" if free < LOW_DISK else "ok"
    yield Finding(level, "disk", f"{free / GB:.1f} GB free", remedy if level != "ok" else "")
    memory = psutil.virtual_memory().available
    if memory < LOW_MEMORY:
        yield Finding(
            "warn", "memory", f"{memory / GB:.1f} GB free", "Close other programs; training needs 2 GB or more."
        )
    else:
        yield Finding("ok", "memory", f"{memory / GB:.1f} GB free")


def _data_folder() -> Iterator[Finding]:
    try:
        with tempfile.NamedTemporaryFile(dir=settings.HOME):
            pass
    except OSError as error:
        yield Finding(
            "fail",
            "data folder",
            f"{settings.HOME} is not writable ({error.strerror})",
            "Change its owner (chown), or set PLUMBLINE_HOME to a writable folder.",
        )
        return
    if not env.text("REDIS_URL") and len(str(settings.HOME / "valkey.sock").encode()) > SOCKET_PATH:
        yield Finding(
            "fail",
            "data folder",
            f"the path {settings.HOME} is too long for the queue's socket",
            "Set PLUMBLINE_HOME to a folder with a shorter path.",
        )
        return
    yield Finding("ok", "data folder", str(settings.HOME))


def _database() -> Iterator[Finding]:
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        open_steps = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        first = (str(error).strip().splitlines() or [""])[0]
        yield Finding("fail", "database", first, "Check DATABASE_URL, and that the server runs and accepts the login.")
        return
    if open_steps:
        yield Finding(
            "warn",
            "database",
            f"{connection.vendor}, {len(open_steps)} migrations not applied",
            "Run 'python manage.py migrate'; 'make up' does this too.",
        )
        return
    yield Finding("ok", "database", f"{connection.vendor}, all migrations applied")
    if not get_user_model().objects.filter(is_superuser=True, is_active=True).exists():
        yield Finding(
            "warn", "admin", "no admin account", "Run 'python manage.py make_admin'; 'make up' does this too."
        )


def _queue() -> Iterator[Finding]:
    try:
        queues.connection().ping()
        workers = Worker.all(connection=queues.connection())
    except (RedisError, OSError) as error:
        if env.text("REDIS_URL"):
            yield Finding("fail", "queue", str(error), "Check REDIS_URL, and that the Redis or Valkey server runs.")
        else:
            yield Finding("warn", "queue", "the embedded Valkey is not running", "'make up' starts it.")
        return
    yield Finding("ok", "queue", "responds" if env.text("REDIS_URL") else "the embedded Valkey responds")
    served = {name for worker in workers for name in worker.queue_names()}
    if not workers:
        yield Finding("warn", "workers", "no worker is running", "Run 'make up', or 'python manage.py worker'.")
    else:
        yield Finding("ok", "workers", f"{len(workers)}, for {', '.join(sorted(served))}")
    try:
        waiting = set(Stage.objects.filter(status=Stage.Status.QUEUED).values_list("queue", flat=True)) - served
    except DatabaseError:
        return  # reported by the database check
    if workers and waiting:
        names = ", ".join(sorted(waiting))
        yield Finding(
            "warn",
            "workers",
            f"no worker serves the queues with work: {names}",
            f"Run 'python manage.py worker --queues {names}'.",
        )


def _miniature() -> Iterator[Finding]:
    if not (settings.HOME / "miniature" / "seed-0" / "manifest.json").is_file():
        yield Finding("ok", "miniature", "not built; 'make demo' builds it in a few minutes")
        return
    try:
        known = Dataset.objects.filter(name="miniature-prompts").exists()
    except DatabaseError:
        return  # reported by the database check
    if known:
        yield Finding("ok", "miniature", "built, its data sets are imported")
    else:
        yield Finding("warn", "miniature", "built, its data sets are not imported", "Run 'make demo'.")


def _port() -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", PORT)) == 0
    running = _running_at()
    if running:
        yield Finding("ok", "pages", f"Plumbline runs at {running}")
    elif taken:
        yield Finding("ok", "pages", f"port {PORT} is in use by another program; 'make up' uses the next free port")
    else:
        yield Finding("ok", "pages", f"not running; port {PORT} is free")


def _running_at() -> str:
    """Return the URL of the supervisor that locks this data folder, if it is running."""
    facts = holder(settings.HOME)
    return str(facts.get("url") or "") if facts and psutil.pid_exists(int(facts.get("pid") or 0)) else ""


def _safety() -> Iterator[Finding]:
    if settings.DEBUG:
        yield Finding("warn", "settings", "DEBUG is on", "Unset DEBUG if other people can reach the pages.")
    if "*" in settings.ALLOWED_HOSTS:
        yield Finding("warn", "settings", "any host name is accepted", "List the hosts in ALLOWED_HOSTS.")
    local = {"localhost", "127.0.0.1", "[::1]"}
    if set(settings.ALLOWED_HOSTS) - local and not settings.SECURE_COOKIES:
        yield Finding("warn", "settings", "cookies are sent without encryption", "Use HTTPS and set SECURE_COOKIES=1.")
    mode = _others_may_read(settings.HOME / "secret_key")
    if mode:
        path = settings.HOME / "secret_key"
        yield Finding("warn", "settings", f"other users can read {path}", f"Run 'chmod 600 {path}'.")


def _others_may_read(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o077)


CHECKS: Final[tuple[Callable[[], Iterator[Finding]], ...]] = (
    _python,
    _packages,
    _accelerator,
    _space,
    _data_folder,
    _database,
    _queue,
    _miniature,
    _port,
    _safety,
)
