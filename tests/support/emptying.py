"""Emptying the tables after a test with real transactions: only those that have rows, and no migration's own rows."""

from __future__ import annotations

from typing import Any

from django.db import connections, transaction

#: What the migrations made; no test changes it.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}


def empty_tables(case: Any) -> None:
    """Stand in for ``TransactionTestCase._fixture_teardown``.

    Django's own empties every table by ``flush`` and then creates content types and permissions anew, which takes 50 ms
    on SQLite and 100 ms on PostgreSQL. Here one query names the tables that have rows; the migrations' rows stay.
    """
    from alignment_app.services.people import ROLES

    for alias in case._databases_names(include_mirrors=False):
        connection = connections[alias]
        quote = connection.ops.quote_name
        with connection.cursor() as cursor:
            names = [name for name in connection.introspection.table_names(cursor) if name not in KEPT]
            found = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quote(name)})" for name in names)
            cursor.execute(found)
            filled = [name for (name,) in cursor.fetchall()]
        # Constraints are checked at the end of the transaction, so the order of the tables does not matter.
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            for name in filled:
                if name == "auth_group":
                    marks = ", ".join(["%s"] * len(ROLES))
                    cursor.execute(f"DELETE FROM {quote(name)} WHERE name NOT IN ({marks})", list(ROLES))
                else:
                    cursor.execute(f"DELETE FROM {quote(name)}")
