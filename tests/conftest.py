"""What every test stands on: a data folder of its own, a real Valkey, SQLite on disk or PostgreSQL by the environment.

Set before Django loads, so this file and not pyproject.toml names the settings module:

- ``PLUMBLINE_TEST_DATABASE_URL`` runs the database tests on PostgreSQL (``tests.support.postgres`` starts one).
- ``PLUMBLINE_TEST_DATA`` and ``PLUMBLINE_TEST_MODELS`` name folders with real data and a real model.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

# Short, because a Unix socket's path may have 107 characters at most.
HOME = Path(tempfile.mkdtemp(prefix="plumbline-"))
OWNER = os.getpid()


@atexit.register
def _remove_home() -> None:
    """Also run where a test's forked child ends: the folder is its parent's."""
    if os.getpid() == OWNER:
        shutil.rmtree(HOME, ignore_errors=True)


# A developer's own settings must not decide what a test sees.
for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "DEBUG", "ALLOWED_HOSTS", "GEMINI_API_KEY", "OPENAI_API_KEY"):
    os.environ.pop(name, None)
os.environ["PLUMBLINE_HOME"] = str(HOME)
os.environ["DJANGO_SETTINGS_MODULE"] = "alignment_app.settings"
if os.environ.get("PLUMBLINE_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["PLUMBLINE_TEST_DATABASE_URL"]
# No test asks the network for a model, and a warm cache must not hide that one does.
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", DO_NOT_TRACK="1", HF_HOME=str(HOME / "hub"))
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Load Django now, after the environment is as above; pytest-django would have done so before."""
    import django

    django.setup()
    if getattr(config.option, "numprocesses", None):
        # A worker of pytest-xdist that inherits this would load Django before it has a data folder of its own.
        del os.environ["DJANGO_SETTINGS_MODULE"]


#: Where the files lie that take longest.
LONGEST = ("test_old_database.py", "processes", "training/jobs", "training/trainers", "training/miniature")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no core is left alone with one of them at the end."""
    tests = ROOT / "tests"
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("vllm")}

    def place(item: pytest.Item) -> tuple[bool, int]:
        path = item.path.relative_to(tests).as_posix()
        found = (number for number, start in enumerate(LONGEST) if path.startswith(start))
        return item.path not in slow, next(found, len(LONGEST))

    items.sort(key=place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude all imported objects from garbage collection, which engines ask for when they close.

    A collection over the objects of the training libraries takes half a second, so these are imported first if a test
    of the training was collected.
    """
    if any(item.path.is_relative_to(ROOT / "tests" / "training" / "jobs") for item in session.items):
        importlib.import_module("training.jobs.train")
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """A hasher that does not take its time: passwords in tests guard nothing."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session", autouse=True)
def _quick_emptying() -> None:
    """A test with real transactions empties the tables that it filled, and not all of them."""
    from django.test import TransactionTestCase

    from tests.support.emptying import empty_tables

    TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """SQLite in a file, as in use: WAL, locks and other processes behave as they will."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    if "sqlite" in str(database["ENGINE"]):
        database.setdefault("TEST", {})["NAME"] = str(HOME / "test.sqlite3")


@pytest.fixture(scope="session")
def home() -> Path:
    """The data folder that the settings of this test session use."""
    return HOME


class TestValkey:
    """A real Valkey on the socket where the settings look for it; started again where a test has ended it."""

    __test__ = False

    def __init__(self, home: Path) -> None:
        from alignment_app.processes.valkey import binary

        self.socket = home / "valkey.sock"
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--dir": str(home),
            "--save": "",
            "--appendonly": "no",
        }
        self.command = [str(binary()), *(part for pair in options.items() for part in pair)]
        self.process: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        if self.process is not None and self.process.poll() is None and self.socket.exists():
            return
        self.stop()
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self.socket.exists():
            assert self.process.poll() is None, f"Valkey ended with code {self.process.returncode}"
            assert time.monotonic() < deadline, "Valkey did not start in 20 seconds"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


@pytest.fixture(scope="session")
def valkey_server(home: Path) -> Iterator[TestValkey]:
    """The session's Valkey."""
    server = TestValkey(home)
    yield server
    server.stop()


@pytest.fixture
def valkey(valkey_server: TestValkey) -> Iterator[Any]:
    """A client to the session's Valkey, empty at the start of each test."""
    import redis
    from django.conf import settings

    valkey_server.ensure()
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def child_environment() -> dict[str, str]:
    """The environment with which another process sees this test's database, Valkey and data folder."""
    from django.db import connection

    given = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{given['NAME']}"
    else:
        password = f":{given['PASSWORD']}" if given["PASSWORD"] else ""
        url = f"postgresql://{given['USER']}{password}@{given['HOST']}:{given['PORT']}/{given['NAME']}"
    return os.environ | {"DATABASE_URL": url, "PLUMBLINE_HOME": str(HOME), "PYTHONPATH": str(ROOT)}


def _folder(variable: str, default: Path, holds: str) -> Path:
    folder = Path(os.environ.get(variable) or default).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set {variable} to a folder with {holds} to run this test")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder of real data files; the test is skipped where there is none."""
    return _folder("PLUMBLINE_TEST_DATA", ROOT / ".." / "shared" / "data", "real data files")


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """A folder of real, small checkpoints; the test is skipped where there is none."""
    return _folder("PLUMBLINE_TEST_MODELS", ROOT / ".." / "shared" / "models", "small checkpoints")
