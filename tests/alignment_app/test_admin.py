"""Django admin: all models, fast lists, search by number, streamed exports, for admins only."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet
import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from alignment_app.admin.base import MOST_COUNTED, QuickPaginator
from alignment_app.models import Dataset, Export, Judgement, Prompt, Response, Run
from alignment_app.services.imports import import_rows
from tests.support.people import person

pytestmark = pytest.mark.django_db
MODELS = list(apps.get_app_config("alignment_app").get_models())


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(person("admin"))
    return client


@pytest.fixture
def rows() -> None:
    import_rows("pairs", "preferences", [{"prompt": f"prompt {n}", "chosen": "a", "rejected": "b"} for n in range(3)])
    scored = [{"prompt": "p", "responses": [{"text": "x", "scores": {"j": -1}}, {"text": "y", "scores": {"j": 3}}]}]
    import_rows("scored", "scored", scored, judges={"self": "j"})
    Run.objects.create(name="a run", config={}, config_hash="", paradigm="self_reward")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_record_has_a_list_and_a_page(client: Client, rows: None, model: Any) -> None:
    assert admin.site.is_registered(model)
    name = f"admin:alignment_app_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    assert client.get(reverse(f"{name}_changelist"), {"q": "3 nothing run:1"}).status_code == 200
    row = model.objects.first()
    if row is not None:
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
    assert client.get(reverse(f"{name}_add")).status_code == 403


@pytest.mark.parametrize("role", ["lead", "viewer", "annotator"])
def test_only_admins_come_in(role: str) -> None:
    client = Client()
    client.force_login(person(role))
    assert client.get(reverse("admin:alignment_app_run_changelist")).status_code in (302, 403)


def test_a_whole_table_is_neither_counted_nor_skipped_over(client: Client, rows: None) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(reverse("admin:alignment_app_response_changelist")).status_code == 200
    said = [query["sql"].upper() for query in queries if "ALIGNMENT_APP_RESPONSE" in query["sql"].upper()]
    assert said
    assert not [sql for sql in said if "COUNT(" in sql or "OFFSET" in sql]


def test_pages_of_a_table_cover_every_row_once_also_where_rows_are_gone(rows: None) -> None:
    Response.objects.filter(pk__in=list(Response.objects.values_list("pk", flat=True)[1:4])).delete()
    for order in ("-pk", "pk"):
        paginator = QuickPaginator(Response.objects.order_by(order), 2)
        seen = [row.pk for number in paginator.page_range for row in paginator.page(number)]
        assert seen == list(Response.objects.order_by(order).values_list("pk", flat=True))


def test_a_narrowed_list_is_counted_up_to_a_limit(rows: None) -> None:
    paginator = QuickPaginator(Prompt.objects.filter(dataset__name="pairs").order_by("-pk"), 2)
    assert (paginator.count, paginator.num_pages) == (3, 2)
    assert MOST_COUNTED == 10_000
    assert len(paginator.page(2)) == 1


def test_a_number_in_the_search_box_finds_by_index(client: Client, rows: None) -> None:
    prompt = Prompt.objects.get(dataset__name="scored")
    address = reverse("admin:alignment_app_response_changelist")
    found = client.get(address, {"q": f"prompt:{prompt.pk}"}).context["cl"].result_list
    assert len(found) == 2
    response = Response.objects.first()
    assert response is not None
    assert [row.pk for row in client.get(address, {"q": str(response.pk)}).context["cl"].result_list] == [response.pk]


@pytest.mark.parametrize(("table", "kind", "rows_out"), [
    ("preferencepair", "pairs", 3), ("response", "responses", 8), ("judgement", "judgements", 2),
])  # fmt: skip
def test_marked_rows_are_exported_as_a_stream(client: Client, rows: None, table: str, kind: str, rows_out: int) -> None:
    model = apps.get_model("alignment_app", table)
    marked = list(model.objects.values_list("pk", flat=True))
    answer = client.post(
        reverse(f"admin:alignment_app_{table}_changelist"),
        {"action": f"export_{kind}_jsonl", "_selected_action": marked},
    )
    assert answer.streaming  # type: ignore[attr-defined]
    assert len([json.loads(line) for line in answer.getvalue().splitlines()]) == rows_out  # type: ignore[attr-defined]
    record = Export.objects.get()
    assert (record.row_count, record.author, record.kind) == (rows_out, "admin", kind)


def test_all_rows_of_a_data_set_are_exported_from_its_line(client: Client, rows: None) -> None:
    dataset = Dataset.objects.get(name="scored")
    answer = client.post(
        reverse("admin:alignment_app_dataset_changelist"),
        {"action": "export_judgements_parquet", "_selected_action": [dataset.pk]},
    )
    file = pyarrow.parquet.ParquetFile(io.BytesIO(answer.getvalue()))  # type: ignore[attr-defined]
    assert file.metadata.num_rows == Judgement.objects.count() == 2
    assert Export.objects.get().selection["marked"] == {"table": "dataset", "numbers": [dataset.pk]}
