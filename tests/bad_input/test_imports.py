"""Files and rows that cannot be imported: refused by command and form, no half-made data set."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from alignment_app.services.errors import Refused
from alignment_app.services.imports import import_rows

pytestmark = pytest.mark.django_db
NUL = "\x00"


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "empty"),
    "only white space": ("a.jsonl", b" \n\n ", "empty"),
    "a picture": ("a.png", b"\x89PNG\r\n\x1a\n\x00\x00", "is binary"),
    "packed": ("a.jsonl.gz", b"\x1f\x8b\x08\x00abc", "decompress"),
    "a zip": ("a.zip", b"PK\x03\x04abc", "decompress"),
    "no Parquet": ("a.parquet", b"hello", "is not"),
    "broken Parquet": ("a.parquet", b"PAR1" + b"\x00" * 100 + b"PAR1", "cannot be read"),
    "a sentence": ("a.txt", b"hello there", "[Uu]nknown file format"),
    "a broken line": ("a.jsonl", b'{"prompt": "a"}\n{"prompt": ', "[Ll]ine 2"),
    "a list a line": ("a.jsonl", b'{"prompt": "a"}\n[1]', "line 2 is not an object"),
    "a number a line": ("a.jsonl", b'{"prompt": "a"}\n7', "line 2 is not an object"),
    "NaN": ("a.jsonl", b'{"prompt": "a", "x": NaN}', "NaN"),
    "no prompt": ("a.jsonl", b'{"text_of_mine": "a"}', "has no prompt"),
    "an empty prompt": ("a.jsonl", b'{"prompt": "  "}', "is empty"),
    "a prompt that is a number": ("a.jsonl", b'{"prompt": 5}', "must be text"),
    "a prompt that is a list": ("a.jsonl", b'{"prompt": [1]}', "turn 1"),
    "an unknown role": ("a.jsonl", b'{"messages": [{"role": "god", "content": "a"}]}', "role"),
    "a turn without content": ("a.jsonl", b'{"messages": [{"role": "user"}]}', "is missing"),
    "a NUL": ("a.jsonl", b'{"prompt": "a\\u0000"}', "NUL"),
    "half a character": ("a.jsonl", b'{"prompt": "\\ud800"}', "UTF-8"),
    "Latin-1": ("a.jsonl", '{"prompt": "Grüße"}'.encode("latin-1"), "UTF-8"),
    "deep nesting": ("a.jsonl", b'{"prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
    "a number with too many digits": ("a.jsonl", b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}", "digits"),
    "an array that is cut off": ("a.json", b'[{"prompt": "a"}, {"prom', "not valid JSON"),
    "an array of numbers": ("a.json", b"[1, 2]", "not an object"),
    "a table with one column twice": ("a.csv", b"prompt,prompt\na,b\n", "twice"),
    "a table with a long row": ("a.csv", b"prompt,x\na,b,c\n", "3 cells"),
    "a table with an open quote": ("a.csv", b'prompt\n"a', "quotation"),
    "a header alone": ("a.csv", b"prompt,x\n", "no row"),
    "a response without text": ("a.jsonl", b'{"prompt": "p", "responses": [{"scores": {}}]}', "response 1 is missing"),
    "no responses": ("a.jsonl", b'{"prompt": "p", "responses": []}', "at least one"),
    "a pair of the same": ("a.jsonl", b'{"prompt": "p", "chosen": "a", "rejected": "a"}', "the same text"),
    "a pair without a prompt": ("a.jsonl", b'{"chosen": "a", "rejected": "b"}', "has no prompt"),
    "a pair that parts early": (
        "a.jsonl",
        json.dumps(
            {
                "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}],
                "rejected": [{"role": "user", "content": "b"}, {"role": "assistant", "content": "y"}],
            }
        ).encode(),
        "last turn",
    ),
    "weights out of range": (
        "a.jsonl", b'{"prompt": "p", "completion": "abc", "weights": [[0, 9, 2]]}', "weights must be",
    ),
    "weights that are words": ("a.jsonl", b'{"prompt": "p", "completion": "abc", "weights": "heavy"}', "weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_by_the_command_and_shown_by_the_form(
    name: str, tmp_path: Path, lead: Client, nothing_made: None
) -> None:
    file_name, content, words = FILES[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    said = io.StringIO()
    with pytest.raises(CommandError, match=words):
        call_command("import_data", str(path), "--name", "new", stdout=io.StringIO(), stderr=said)
    answer = lead.post(reverse("data-import"), {"file": SimpleUploadedFile(file_name, content)}, follow=True)
    assert answer.status_code in (200, 400, 422)
    page = answer.content.decode()
    assert 'role="alert"' in page or (answer.redirect_chain and '<h2 id="bad">' in page)
    if answer.redirect_chain:
        last = answer.redirect_chain[-1][0]
        again = lead.post(last, {"name": "new", "import": "1"})
        assert again.status_code == 422


SCORES: dict[str, tuple[Any, str]] = {
    "above five": (7, "outside 0 to 5"),
    "below zero": (-0.5, "outside 0 to 5"),
    "a word": ("good", "must be a number"),
    "a list": ([1], "must be a number"),
    "yes": (True, "must be a number"),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_is_none_is_refused(name: str, nothing_made: None) -> None:
    value, words = SCORES[name]
    rows = [{"prompt": "p", "responses": [{"text": "a", "scores": {"j": value}}]}]
    with pytest.raises(Refused, match=words):
        import_rows("new", "scored", rows, judges={"self": "j"})


@pytest.mark.parametrize("name", ["", "   ", "x" * 121, "a\nb", f"a{NUL}b"])
def test_a_name_that_is_none_is_refused(name: str, nothing_made: None) -> None:
    with pytest.raises(Refused, match="name"):
        import_rows(name, "prompts", [{"prompt": "p"}])
