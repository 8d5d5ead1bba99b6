"""Export in TRL's preference format and Parquet: streaming, author, time, row count and content hash."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from alignment_app.export_formats import DEFAULT_FORMAT, EXPORT_FORMATS, ExportFormat, format_of_suffix
from alignment_app.models import (
    Dataset,
    DatasetSnapshot,
    Export,
    Iteration,
    Judgement,
    PreferencePair,
    Prompt,
    Response,
    Run,
    SnapshotItem,
)
from alignment_app.selectors.exports import Selection, manifest
from alignment_app.services.errors import Refused
from alignment_app.services.exports import export
from alignment_app.services.imports import import_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def pairs() -> Dataset:
    rows = [{"prompt": f"Question {n}?", "chosen": f"Größe {n}", "rejected": f"no {n}"} for n in range(7)]
    report = import_rows("pairs", "preferences", rows)
    assert report.dataset is not None
    return report.dataset


@pytest.fixture
def scored() -> Dataset:
    rows = [
        {"prompt": "p", "responses": [{"text": "a", "scores": {"x": 4, "y": -1}}, {"text": "b", "scores": {"x": None}}]}
    ]
    report = import_rows("scored", "scored", rows, judges={"teacher": "x", "self": "y"})
    assert report.dataset is not None
    return report.dataset


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def table(content: bytes) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(io.BytesIO(content))


def test_pairs_come_out_in_trl_s_preference_format(pairs: Dataset) -> None:
    stream = export(Selection("pairs", dataset=pairs.pk))
    rows = lines(b"".join(stream))
    assert len(rows) == 7
    assert rows[0]["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert rows[0]["chosen"] == [{"role": "assistant", "content": "Größe 0"}]
    assert rows[0]["rejected"] == [{"role": "assistant", "content": "no 0"}]


def test_the_record_of_an_export_holds_who_how_many_and_the_hash(pairs: Dataset) -> None:
    user = get_user_model().objects.create_superuser("ada")
    stream = export(Selection("pairs", dataset=pairs.pk), user=user)
    assert Export.objects.get().row_count is None  # not completed yet
    content = b"".join(stream)
    about = manifest(Export.objects.get())
    assert (about["exported_by"], about["rows"]) == ("ada", 7)
    assert about["sha256_of_rows_as_json_lines"] == hashlib.sha256(content).hexdigest()
    assert about["selection"] == {"kind": "pairs", "dataset": pairs.pk}


def test_parquet_holds_the_same_rows_and_the_manifest(pairs: Dataset) -> None:
    plain = export(Selection("pairs", dataset=pairs.pk))
    rows = lines(b"".join(plain))
    file = table(b"".join(export(Selection("pairs", dataset=pairs.pk), "parquet")))
    assert file.read().to_pylist() == rows
    about = file.metadata.metadata
    assert about[b"plumbline.rows"] == b"7"
    assert about[b"plumbline.sha256_of_rows_as_json_lines"].decode() == plain.export.content_hash


def test_an_unparsed_judgement_comes_out_as_null_and_says_so(scored: Dataset) -> None:
    rows = lines(b"".join(export(Selection("judgements", dataset=scored.pk))))
    assert [(row["judge"], row["score"], row["unparsed"]) for row in rows] == [("x", 4.0, False), ("y", None, True)]
    file = table(b"".join(export(Selection("judgements", dataset=scored.pk, source="self"), "parquet")))
    assert file.read().to_pylist()[0]["samples"] == [{"raw": "", "score": None, "seed": None}]
    assert len(lines(b"".join(export(Selection("responses", dataset=scored.pk))))) == 2


def test_rows_are_read_chunk_by_chunk(django_assert_max_num_queries: Any) -> None:
    rows = [
        {"prompt": f"p{n}", "response": f"r{n}", "weights": [[0, 1, 2.0]]}
        for n in range(2 * EXPORT_FORMATS["jsonl"].rows_at_once + 1)
    ]
    dataset = import_rows("many", "demonstrations", rows).dataset
    assert dataset is not None
    stream = export(Selection("responses", dataset=dataset.pk))
    with django_assert_max_num_queries(8):
        pieces = list(stream)
    assert len(pieces) == 3
    assert len(b"".join(pieces).splitlines()) == len(rows)
    assert Response.objects.count() == len(rows)


def test_excluded_pairs_stay_in_unless_asked_for(pairs: Dataset) -> None:
    PreferencePair.objects.filter(prompt__position__lt=2).update(state="excluded")
    assert len(lines(b"".join(export(Selection("pairs", dataset=pairs.pk))))) == 5
    assert len(lines(b"".join(export(Selection("pairs", dataset=pairs.pk, excluded=True))))) == 7


def test_a_snapshot_comes_out_as_it_was_frozen_though_a_pair_was_turned_round(pairs: Dataset) -> None:
    run = Run.objects.create(name="r", config={}, config_hash="", paradigm="self_reward")
    iteration = Iteration.objects.create(run=run, number=1)
    frozen = [
        {
            "prompt": pair.prompt.messages,
            "chosen": [{"role": "assistant", "content": pair.chosen.text}],
            "rejected": [{"role": "assistant", "content": pair.rejected.text}],
            "chosen_score": 5.0,
            "rejected_score": 3.5,
        }
        for pair in PreferencePair.objects.all()
    ]
    content = "".join(json.dumps(row) + "\n" for row in frozen)
    path = Path(settings.HOME) / "frozen.jsonl"
    path.write_text(content)
    snapshot = DatasetSnapshot.objects.create(
        iteration=iteration, kind="preference", content_hash="x", path="frozen.jsonl", row_count=7
    )
    for position, pair in enumerate(PreferencePair.objects.all()):
        SnapshotItem.objects.create(snapshot=snapshot, position=position, pair=pair)
    pair = PreferencePair.objects.order_by("pk")[0]
    PreferencePair.objects.filter(pk=pair.pk).update(chosen=pair.rejected, rejected=pair.chosen, state="overridden")
    rows = lines(b"".join(export(Selection("pairs", snapshot=snapshot.pk))))
    assert rows[0]["chosen"] == frozen[0]["chosen"]
    assert (rows[0]["margin"], rows[0]["pair_id"], rows[0]["state"]) == (1.5, pair.pk, "overridden")
    assert len(lines(b"".join(export(Selection("responses", snapshot=snapshot.pk))))) == 14
    path.unlink()
    with pytest.raises(Refused) as refusal:
        list(export(Selection("pairs", snapshot=snapshot.pk)))
    assert refusal.value.code == "file-gone"


def test_only_an_admin_exports() -> None:
    user = get_user_model().objects.create_user("eve")
    with pytest.raises(Refused, match="Only admins"):
        export(Selection("pairs"), user=user)
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("selection", "file_format", "code"),
    [
        (Selection("pears"), "jsonl", "unknown-kind"),
        (Selection("pairs"), "xlsx", "unknown-format"),
        (Selection("pairs", run=99), "jsonl", "not-found"),
        (Selection("judgements", source="me"), "jsonl", "unknown-source"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_recorded(
    selection: Selection, file_format: str, code: str
) -> None:
    with pytest.raises(Refused) as refusal:
        export(selection, file_format)
    assert refusal.value.code == code
    assert not Export.objects.exists()


def test_an_exported_file_loads_with_datasets_and_imports_again_as_the_same(pairs: Dataset, tmp_path: Path) -> None:
    import datasets

    path = tmp_path / "pairs.jsonl"
    call_command("export_data", "pairs", dataset="pairs", output=path)
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 7
    assert loaded[0]["chosen"][0]["role"] == "assistant"
    about = json.loads((tmp_path / "pairs.jsonl.manifest.json").read_text())
    assert about["sha256_of_rows_as_json_lines"] == hashlib.sha256(path.read_bytes()).hexdigest()
    report = import_rows("back", "preferences", path)
    assert report.added == 7
    assert Prompt.objects.filter(dataset__name="back").count() == 7
    assert import_rows("pairs", "preferences", path).added == 0


def test_judgements_without_any_row_make_an_empty_file_that_still_opens() -> None:
    assert not Judgement.objects.exists()
    file = table(b"".join(export(Selection("judgements"), "parquet")))
    assert (file.metadata.num_rows, "score" in file.schema_arrow.names) == (0, True)


@pytest.mark.parametrize("entry", EXPORT_FORMATS.values(), ids=lambda entry: entry.name)
def test_a_format_is_offered_and_named_after_its_entry(admin_client: Client, entry: ExportFormat) -> None:
    page = admin_client.get(reverse("data-exports")).content.decode()
    button = re.search(rf'name="format" value="{entry.name}">([^<]*)</button>', page)
    assert button is not None
    assert button[1].strip() == entry.label
    answer = admin_client.post(reverse("data-exports"), {"kind": "pairs", "format": entry.name})
    assert answer.headers["Content-Type"] == entry.media_type
    assert answer.headers["Content-Disposition"].endswith(f'.{entry.extension}"')
    assert b"".join(answer.streaming_content) or entry.name == "jsonl"
    record = Export.objects.get()
    assert (record.format, record.get_format_display(), record.row_count) == (entry.name, entry.label, 0)
    assert record.content_hash == hashlib.sha256(b"").hexdigest()
    assert format_of_suffix(f".{entry.extension}") == entry.name
    assert len(entry.name) <= (Export._meta.get_field("format").max_length or 0)


def test_a_file_of_another_suffix_has_the_default_format() -> None:
    assert format_of_suffix(".txt") == format_of_suffix("") == DEFAULT_FORMAT
