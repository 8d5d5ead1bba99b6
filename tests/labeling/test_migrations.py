"""Migration of a database in which replaced pairs had no link to their originals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("labeling", "0002_scores_of_pairs")]


@pytest.fixture
def earlier() -> Iterator[Any]:
    """The models and tables before the migration; migrates to the newest state afterwards."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    # The tables of alignment_app stay those of the newest version.
    newest_record = next(node for node in executor.loader.graph.leaf_nodes() if node[0] == "alignment_app")
    yield executor.loader.project_state([*BEFORE, newest_record]).apps
    newest = MigrationExecutor(connection)
    newest.migrate(newest.loader.graph.leaf_nodes())


def test_the_migration_points_items_at_original_pairs_and_replacements_at_their_originals(earlier: Any) -> None:
    record, people = (lambda name, app=app: earlier.get_model(app, name) for app in ("alignment_app", "labeling"))
    dataset = record("Dataset").objects.create(name="old", kind="prompts")
    prompt = record("Prompt").objects.create(
        dataset=dataset, source="imported", messages=[], text="Why?", position=0, content_hash="h"
    )
    one, other = (
        record("Response").objects.create(
            prompt=prompt, source="imported", purpose="candidate", index=index, text=str(index)
        )
        for index in range(2)
    )
    pairs = record("PreferencePair").objects
    made = pairs.create(prompt=prompt, chosen=one, rejected=other, origin="self", state="excluded")
    stands = pairs.create(prompt=prompt, chosen=other, rejected=one, origin="self", state="overridden")
    queue = people("Queue").objects.create(name="old", kind="pair", dataset=dataset)
    # One item over the pair, whose flip made the stand-in, and one over the stand-in, flipped back.
    for rank, (pair, replacement) in enumerate([(made, stands), (stands, made)]):
        people("Task").objects.create(
            queue=queue, rank=rank, prompt=prompt, first=pair.chosen, second=pair.rejected, pair=pair,
            replacement=replacement,
        )  # fmt: skip
    newest = MigrationExecutor(connection)
    newest.migrate(newest.loader.graph.leaf_nodes())

    from alignment_app.models import PreferencePair
    from labeling.models import Task

    assert dict(PreferencePair.objects.values_list("pk", "stands_for")) == {made.pk: None, stands.pk: made.pk}
    assert list(Task.objects.order_by("rank").values_list("pair", "first")) == [(made.pk, one.pk), (made.pk, other.pk)]
