"""The database that version 0.1.0 wrote, on SQLite or PostgreSQL. ``fixtures/version_0_1_0/make.py`` made it."""

from __future__ import annotations

import gzip
import sqlite3
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import Model

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "version_0_1_0"
DUMP = FIXTURES / "database.sql.gz"
SNAPSHOTS = FIXTURES / "snapshots.tar.gz"
#: The migrations that version 0.1.0 ended with.
OLD = [("alignment_app", "0013_stands_for"), ("labeling", "0003_roots_and_reasons")]


def load() -> None:
    """Fill the empty database and the data folder of the settings with what version 0.1.0 left."""
    from django.conf import settings
    from django.db import connection

    with tarfile.open(SNAPSHOTS) as archive:
        archive.extractall(settings.HOME, filter="data")
    if connection.vendor == "sqlite":
        _restore(str(settings.DATABASES["default"]["NAME"]))
        return
    source = str(settings.HOME / "old.sqlite3")
    _restore(source)
    _copy(source)


def migrate() -> None:
    """Migrate to the present version."""
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def count_rows() -> dict[str, int]:
    """How many rows each table of the project has."""
    from django.db import connection

    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        counts = {}
        for name in (name for name in names if name.startswith(("alignment_app_", "labeling_", "auth_user"))):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(name)}")
            counts[name] = int(cursor.fetchone()[0])
    return counts


def _restore(target: str) -> None:
    database = sqlite3.connect(target)
    with gzip.open(DUMP, "rt", encoding="utf-8") as file:
        database.executescript(file.read())
    database.close()


def _copy(source: str) -> None:
    """Copy each row from SQLite into PostgreSQL's tables as version 0.1.0 had them, through its models."""
    from django.db import connection, connections, transaction
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in dict(OLD)]
    state = executor.migrate([*others, *OLD])
    connections.databases["old"] = {**connections.databases["default"], "ENGINE": "django.db.backends.sqlite3",
                                    "NAME": source, "OPTIONS": {}}  # fmt: skip
    models = [model for model in state.apps.get_models(include_auto_created=True) if not model._meta.proxy]
    with transaction.atomic(), connection.constraint_checks_disabled():
        for model in models:
            model._default_manager.all().delete()  # what the migrations themselves made
        for model in models:
            _copy_rows(model)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(_no_style(), models):
            cursor.execute(statement)


def _copy_rows(model: type[Model]) -> None:
    rows: Any = model._base_manager.using("old").order_by("pk").iterator(500)
    model._base_manager.using("default").bulk_create(rows, batch_size=500)


def _no_style() -> Any:
    from django.core.management.color import no_style

    return no_style()
