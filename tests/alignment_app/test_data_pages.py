"""Data set pages: list, rows, import with preview, exports, and permissions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from alignment_app.models import Dataset, Export, Judgement, Prompt
from alignment_app.services.imports import import_rows
from tests.support.people import person

pytestmark = pytest.mark.django_db
SCORED = {
    "prompt": "How are you?",
    "responses": [
        {"text": "Well <b>indeed</b>.", "scores": {"own": -1, "big": 4}},
        {"text": "Go.", "scores": {"big": 1}},
    ],
}


def browser(role: str) -> Client:
    client = Client()
    client.force_login(person(role))
    return client


def upload(client: Client, content: bytes, name: str = "rows.jsonl") -> str:
    """Upload a file and return the URL of its preview."""
    answer = client.post(reverse("data-import"), {"file": SimpleUploadedFile(name, content)})
    assert answer.status_code == 302, answer.content[:2000]
    return str(answer["Location"])


@pytest.fixture(autouse=True)
def _no_uploads_of_other_tests() -> None:
    for file in kept():
        file.unlink()


def kept() -> list[Path]:
    return list((Path(settings.HOME) / "uploads").glob("*"))


def test_the_list_says_what_to_do_first_and_then_what_is_there() -> None:
    lead = browser("lead")
    assert b"No data yet" in lead.get(reverse("data")).content
    import_rows("first", "prompts", [{"prompt": "p"}])
    page = lead.get(reverse("data")).content
    assert b"first" in page
    assert b"No data set found" in lead.get(reverse("data"), {"q": "zzz"}).content


def test_rows_show_scores_by_source_and_escape_what_models_wrote() -> None:
    import_rows("scored", "scored", [SCORED], judges={"self": "own", "teacher": "big"})
    page = browser("viewer").get(reverse("dataset", args=[Dataset.objects.get().pk])).content.decode()
    assert "Well &lt;b&gt;indeed&lt;/b&gt;." in page
    assert "unparsed" in page
    assert "1 prompt, 2 responses, 3 scores" in page


def test_every_page_of_a_long_set_is_reached_by_position(django_assert_max_num_queries: object) -> None:
    import_rows("long", "prompts", [{"prompt": f"prompt number {n:03}"} for n in range(45)])
    viewer, address = browser("viewer"), reverse("dataset", args=[Dataset.objects.get().pk])
    seen = b"".join(viewer.get(address, {"page": number}).content for number in (1, 2, 3))
    assert all(f"prompt number {n:03}".encode() in seen for n in range(45))
    found = viewer.get(address, {"q": "number 044"}).content
    assert b"prompt number 044" in found
    assert b"prompt number 043" not in found


def test_an_import_shows_how_the_file_is_read_before_anything_is_stored() -> None:
    lead = browser("lead")
    address = upload(lead, json.dumps(SCORED).encode())
    page = lead.get(address).content.decode()
    assert "Select the judge of each score column" in page
    assert 'name="judge.own"' in page
    assert "Well &lt;b&gt;indeed" in page
    assert not Dataset.objects.exists()
    form = {"name": "mine", "kind": "scored", "column": ["own", "big"], "judge.own": "self", "judge.big": "teacher"}
    assert lead.post(address, form | {"again": "1"}).status_code == 200
    answer = lead.post(address, form | {"import": "1", "source": "imported"})
    assert answer.status_code == 302
    assert Judgement.objects.filter(source="self", score=None).count() == 1
    assert not kept()


def test_a_mapping_is_changed_in_the_form() -> None:
    lead = browser("lead")
    address = upload(lead, b'{"frage": "Warum?"}\n{"frage": "Wie?"}')
    assert b"has no prompt" in lead.get(address).content
    form = {"name": "own", "kind": "prompts", "map.prompt": "frage"}
    assert b"2 valid rows" in lead.post(address, form).content
    lead.post(address, form | {"import": "1"})
    assert set(Prompt.objects.values_list("text", flat=True)) == {"Warum?", "Wie?"}


def test_bad_lines_are_shown_and_nothing_is_stored_unless_the_good_are_asked_for() -> None:
    lead = browser("lead")
    address = upload(lead, b'{"prompt": "fine"}\n{broken\n')
    form = {"name": "own", "kind": "prompts", "import": "1"}
    answer = lead.post(address, form)
    assert answer.status_code == 422
    assert b"Line 2 is not valid JSON" in answer.content
    assert not Dataset.objects.exists()
    assert lead.post(address, form | {"keep_good": "on"}).status_code == 302
    assert Prompt.objects.count() == 1


def test_an_upload_belongs_to_who_sent_it_and_may_be_dropped() -> None:
    lead = browser("lead")
    address = upload(lead, b'{"prompt": "fine"}')
    assert browser("admin").get(address).status_code == 302  # gone, for anybody else
    assert lead.post(address, {"drop": "1"}).status_code == 302
    assert not kept()


def test_viewers_read_and_do_not_bring_in_or_take_out() -> None:
    import_rows("pairs", "preferences", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    viewer = browser("viewer")
    assert viewer.get(reverse("data-import")).status_code == 403
    assert viewer.get(reverse("data-exports")).status_code == 403
    assert viewer.post(reverse("dataset-remove", args=[Dataset.objects.get().pk])).status_code == 403
    assert viewer.get(reverse("dataset", args=[Dataset.objects.get().pk])).status_code == 200


def test_an_admin_exports_from_the_page_and_the_record_of_it_stays() -> None:
    import_rows("pairs", "preferences", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    admin = browser("admin")
    form = {"kind": "pairs", "dataset": Dataset.objects.get().pk, "format": "jsonl"}
    answer = admin.post(reverse("data-exports"), form)
    assert json.loads(answer.getvalue())["rejected"][0]["content"] == "b"  # type: ignore[attr-defined]
    export = Export.objects.get()
    assert export.content_hash[:8].encode() in admin.get(reverse("data-exports")).content
    assert admin.get(reverse("data-manifest", args=[export.pk])).json()["rows"] == 1
    assert admin.post(reverse("data-exports"), {"kind": "pairs", "run": "99"}).status_code == 302


def test_a_data_set_is_removed_when_no_run_needs_it() -> None:
    import_rows("first", "prompts", [{"prompt": "p"}])
    lead = browser("lead")
    lead.post(reverse("dataset-remove", args=[Dataset.objects.get().pk]))
    assert not Prompt.objects.exists()


def test_checks_of_a_verifier_are_shown_before_and_after_an_import() -> None:
    lead = browser("lead")
    rows = b'{"prompt": "Explain <tides>.", "checks": [{"kind": "words", "at_most": 40, "points": 2}]}\n'
    address = upload(lead, rows)
    page = lead.get(address).content.decode()
    assert page.count('class="checks"') == 1
    assert 'value="checks"' in page  # the field of the file
    lead.post(address, {"name": "checked", "kind": "prompts", "source": "imported", "import": "1"})
    dataset = Dataset.objects.get(name="checked")
    assert dataset.prompts.get().checks == [{"kind": "words", "at_most": 40, "points": 2}]
    page = lead.get(reverse("dataset", args=[dataset.pk])).content.decode()
    assert page.count('class="checks"') == 1
    bad = upload(lead, rows.replace(b"words", b"tone"))
    assert lead.get(bad).content.decode().count("Invalid lines") == 1
