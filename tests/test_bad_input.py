"""Bad input at every door: a clear sentence each time, never a stack trace, never a half-made run or data set."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from alignment_app import env
from alignment_app.forms import LaunchForm
from alignment_app.models import Dataset, Prompt, Run
from alignment_app.selectors.launching import dataset_choices
from alignment_app.services.configs import MAX_YAML, build_config
from alignment_app.services.errors import Refused
from alignment_app.services.imports import import_rows
from tests.alignment_app.doors import person, small_config
from tests.conftest import ROOT
from training.config import ConfigError, RunConfig

pytestmark = pytest.mark.django_db
NUL, HALF = "\x00", "\ud800"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return small_config(tmp_path)


@pytest.fixture
def nothing_made(config: dict[str, Any]) -> Iterator[None]:
    """Whatever is sent, there is no run afterwards and the data sets are as they were."""
    before = (Dataset.objects.count(), Prompt.objects.count())
    yield
    assert not Run.objects.exists()
    assert (Dataset.objects.count(), Prompt.objects.count()) == before


@pytest.fixture
def lead() -> Client:
    client = Client()
    client.force_login(person("lead"))
    return client


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=person('admin')).key}")
    return client


# ------------------------------------------------------------------------------------------------ config and YAML

DOCUMENTS: dict[str, tuple[str, str]] = {
    "empty": ("", "is empty"),
    "only a comment": ("# nothing", "must be a mapping"),
    "a list": ("- a\n- b", "must be a mapping"),
    "a sentence": ("hello there", "must be a mapping"),
    "tabs": ("name: x\n\tparadigm: y", "not valid YAML at line 2"),
    "an open bracket": ("name: [x", "not valid YAML"),
    "a tag that runs code": ("name: !!python/object/apply:os.system ['true']", "not valid YAML"),
    "an alias bomb": (BOMB, "YAML alias"),
    "a date as the name": ("name: 2026-01-01", "quotation marks"),
    "a number as a field name": ("1: x", "is not text"),
    "deep nesting": ("a: " + "[" * 3000 + "]" * 3000, "not valid YAML|nested too deep"),
    "too large": ("name: " + "x" * MAX_YAML, "at most"),
    "an endless number": ("training: {max_grad_norm: .inf}", "finite"),
    "not a number": ("training: {beta: .nan}", "finite"),
    "a control character": ('name: "a\\0b"', "NUL|cannot be shown"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_is_refused_with_a_reason(name: str) -> None:
    text, words = DOCUMENTS[name]
    with pytest.raises(ConfigError, match=words):
        build_config(yaml=text)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "name"),
    "a long name": ({"name": "x" * 121}, "name"),
    "an unknown paradigm": ({"paradigm": "magic"}, "paradigm"),
    "too many iterations": ({"iterations": 21}, "iterations"),
    "half an iteration": ({"iterations": 1.5}, "iterations"),
    "a negative seed": ({"seed": -1}, "seed"),
    "a seed beyond any": ({"seed": 10**30}, "seed"),
    "no model": ({"student": {}}, "student.model"),
    "a section that is a number": ({"student": 3}, "student"),
    "a misspelt field": ({"training": {"betta": 0.1}}, "training.betta"),
    "a misspelt section": ({"trainning": {}}, "trainning"),
    "a beta of nothing": ({"training": {"beta": 0}}, "training.beta"),
    "a probability above one": ({"candidates": {"top_p": 1.1}}, "candidates.top_p"),
    "one candidate": ({"candidates": {"n": 1}}, "candidates.n"),
    "no teacher for teacher reward": ({"paradigm": "teacher_reward"}, "teacher.kind"),
    "a judge prompt that is not there": ({"judging": {"template": "additive_6"}}, "judging.template"),
    "a server that is no address": ({"teacher": {"base_url": "localhost:8001"}}, "teacher.base_url"),
    "a password in an address": ({"engine": {"base_url": "https://me:secret@host/v1"}}, "engine.base_url"),
    "demonstrations by nobody": (
        {
            "paradigm": "teacher_demonstration",
            "candidates": {"from_dataset": "scored"},
            "judging": {"recorded_scores": "self"},
        },
        "teacher.kind",
    ),
    "a data set that is not there": ({"sft": {"datasets": ["nowhere"]}}, "sft.datasets"),
    "a data set of another kind": ({"sft": {"datasets": ["prompts"]}}, "sft.datasets"),
    "a model folder that is not there": ({"student": {"model": "/nowhere/at/all"}}, "student.model"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_bad_field_is_named_at_the_api_and_at_the_command(
    name: str, config: dict[str, Any], api: APIClient, tmp_path: Path, nothing_made: None
) -> None:
    changes, field = FIELDS[name]
    data = config | changes
    answer = api.post("/api/v1/runs/", {"config": data})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"], answer.json()
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(CommandError, match=field):
        call_command("launch", str(path), stdout=io.StringIO())


# ------------------------------------------------------------------------------------------------ the launch form

TYPED = {
    "no name": {"name": ""},
    "letters for a number": {"seed": "many"},
    "an endless number": {"training.beta": "1e999"},
    "not a number": {"training.beta": "nan"},
    "a comma for a point": {"training.beta": "0,1"},
    "a huge number": {"iterations": "9" * 5000},
    "a value that no list has": {"paradigm": "magic"},
    "a NUL in the name": {"name": f"a{NUL}b"},
    "a line break in the name": {"name": "a\nb"},
    "a data set that is not there": {"prompts.dataset": "nowhere"},
    "a model that is not there": {"student.model": "/nowhere"},
    "YAML in a number": {"iterations": "[1, 2]"},
    "an unknown preset and clone": {"name": "", "preset": "../../etc/passwd", "clone": "9" * 30},
}


def sent_form(config: dict[str, Any]) -> dict[str, Any]:
    """The launch form of a config, as a browser sends it."""
    form = LaunchForm.from_data(RunConfig.parse(config).to_dict(), dataset_choices())
    sent = {item.path: item.value for item in form.fields if item.kind != "switch"}
    switches = {item.path: "on" for item in form.fields if item.kind == "switch" and item.value}
    return sent | switches | {"preset": "", "clone": ""}


@pytest.mark.parametrize("name", TYPED)
def test_what_is_typed_wrong_in_the_form_is_said_in_place(
    name: str, config: dict[str, Any], lead: Client, nothing_made: None
) -> None:
    for address in ("launch-check", "launch"):
        answer = lead.post(reverse(address), sent_form(config) | TYPED[name])
        assert answer.status_code in (200, 400, 422), answer.status_code
        assert b"Traceback" not in answer.content
    assert answer.status_code == 422
    assert b"wrong" in answer.content


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_in_the_form_is_shown_with_its_problem(name: str, lead: Client, nothing_made: None) -> None:
    answer = lead.post(reverse("launch"), {"import": "1", "yaml": DOCUMENTS[name][0]})
    assert answer.status_code == 422
    assert b'class="wrong"' in answer.content


def test_the_form_that_these_tests_spoil_does_launch_unspoilt(config: dict[str, Any], lead: Client) -> None:
    assert lead.post(reverse("launch"), sent_form(config)).status_code == 302
    assert Run.objects.count() == 1


def test_a_file_that_is_no_text_is_refused_by_the_form(lead: Client, nothing_made: None) -> None:
    file = SimpleUploadedFile("run.yaml", b"\xff\xfe\x00\x01")
    answer = lead.post(reverse("launch"), {"import": "1", "file": file})
    assert answer.status_code == 422


PAGES = ("runs", "launch", "checkpoints", "compare", "data", "system")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "query",
    [
        "page=abc", "page=-1", "page=99999999999999999999", "q=%00", "q=%ff%fe", "q=" + "x" * 3000,
        "preset=%00&clone=%00&status=%00&kind=%00", "run=abc&run=99999999999999999999&checkpoint=-1&checkpoint=%00",
        "iteration=%F0%9F%98%80",
    ],
)  # fmt: skip
def test_a_page_with_a_spoilt_address_still_answers(page: str, query: str, lead: Client, nothing_made: None) -> None:
    answer = lead.get(f"{reverse(page)}?{query}")
    assert answer.status_code in (200, 400, 404)


@pytest.mark.parametrize(
    "address",
    ["/runs/99999999999999999999/", "/runs/0/", "/data/99999999999999999999/", "/checkpoints/99999999999999999999/",
     "/runs/1/part/%00/", "/data/import/..%2f..%2fetc%2fpasswd/", "/data/import/%00/", "/runs/1/samples/?iteration=x"],
)  # fmt: skip
def test_an_address_of_nothing_is_not_found(address: str, lead: Client, nothing_made: None) -> None:
    assert lead.get(address).status_code in (302, 400, 404)


# ------------------------------------------------------------------------------------------------ the API

BODIES: dict[str, tuple[str, Any, int]] = {
    "no JSON": ("runs/", "{", 400),
    "JSON of the wrong kind": ("runs/", "[]", 400),
    "a number": ("runs/", "3", 400),
    "NaN": ("runs/", '{"config": {"seed": NaN}}', 400),
    "deep nesting": ("runs/", '{"config": ' + "[" * 100_000 + "]" * 100_000 + "}", 400),
    "a number with too many digits": ("runs/", '{"config": {"seed": ' + "9" * 5000 + "}}", 400),
    "half a character": ("runs/", '{"config": {"name": "\\ud800"}}', 400),
    "bytes that are no text": ("runs/", b'{"name": "\xff"}', 400),
    "nothing": ("runs/", "", 400),
    "config and preset at once": ("runs/", {"config": {}, "preset": "x"}, 400),
    "an unknown preset": ("runs/", {"preset": "../../etc/passwd"}, 400),
    "an unknown field": ("runs/", {"configuration": {}}, 400),
    "a NUL in a config": ("runs/", {"config": {"name": "a\x00"}}, 400),
    "overrides that are a list": ("runs/", {"preset": "x", "overrides": ["a"]}, 400),
    "an override of nothing": ("runs/", {"preset": "miniature-teacher-reward", "overrides": {"": 1}}, 400),
    "an override into a value": ("runs/", {"preset": "miniature-teacher-reward", "overrides": {"name.x": 1}}, 400),
    "an import without a name": ("datasets/import/", {"rows": [{"prompt": "p"}]}, 400),
    "an import of nothing": ("datasets/import/", {"name": "x", "rows": []}, 400),
    "neither file nor rows": ("datasets/import/", {"name": "x"}, 400),
    "rows that are numbers": ("datasets/import/", {"name": "x", "rows": [1, 2]}, 400),
    "rows that are an object": ("datasets/import/", {"name": "x", "rows": {"a": 1}}, 400),
    "an unknown kind": ("datasets/import/", {"name": "x", "kind": "poems", "rows": [{"prompt": "p"}]}, 400),
    "a mapping that is a list": ("datasets/import/", {"name": "x", "mapping": [1], "rows": [{"prompt": "p"}]}, 400),
    "a mapping of no such meaning": (
        "datasets/import/", {"name": "x", "kind": "prompts", "mapping": {"soul": "p"}, "rows": [{"prompt": "p"}]}, 400,
    ),
    "a judge of no such source": (
        "datasets/import/", {"name": "x", "kind": "scored", "judges": {"god": "s"}, "rows": [{"prompt": "p"}]}, 400,
    ),
    "a name with a line break": (
        "datasets/import/", {"name": "a\nb", "kind": "prompts", "rows": [{"prompt": "p"}]}, 400,
    ),
    "an export of no kind": ("exports/", {"kind": "pears"}, 400),
    "an export of no run": ("exports/", {"kind": "pairs", "run": 999}, 404),
    "an export of a run by name": ("exports/", {"kind": "pairs", "run": "last"}, 400),
    "an export of an endless number": ("exports/", {"kind": "pairs", "run": 10**40}, 400),
    "a token for nobody": ("token/", {"username": "x" * 151, "password": "y"}, 400),
    "a token with a NUL": ("token/", {"username": "a\x00", "password": "y"}, 400),
    "a token for a number": ("token/", {"username": {"a": 1}, "password": "y"}, 400),
    "a clone of nothing": ("runs/999/clone/", {}, 404),
    "a pause of a number without end": ("runs/" + "9" * 40 + "/pause/", {}, 404),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_request_is_answered_in_the_one_shape(name: str, api: APIClient, nothing_made: None) -> None:
    address, body, status = BODIES[name]
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer = api.generic("POST", f"/api/v1/{address}", content, content_type="application/json")
    assert answer.status_code == status, answer.content[:500]
    error = answer.json()["error"]
    assert error["message"]
    assert "Traceback" not in answer.content.decode()


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_refused(kind: str, api: APIClient, nothing_made: None) -> None:
    assert api.generic("POST", "/api/v1/runs/", "name=x", content_type=kind).status_code == 415


def test_a_body_beyond_the_limit_is_refused(api: APIClient, settings: Any, nothing_made: None) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert api.post("/api/v1/runs/", {"yaml": "x" * 2000}).status_code == 413


@pytest.mark.parametrize(
    "address",
    ["runs/?status=odd", "runs/?cloned_from=x", "runs/?page=0", "runs/?page_size=x&page=z", "runs/?search=" + "x" * 300,
     "responses/?cursor=%FF", "responses/?run=-1", "responses/?run=99999999999999999999", "judgements/?unparsed=maybe",
     "pairs/?nonsense=1", "prompts/?search=%00", "runs/1/events/?after=x", "checkpoints/?number=1.5", "datasets/x/"],
)  # fmt: skip
def test_a_bad_question_is_answered_in_the_one_shape(address: str, api: APIClient) -> None:
    answer = api.get(f"/api/v1/{address}")
    assert answer.status_code in (400, 404), answer.content[:300]
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("header", ["Token nonsense", "Token", "Token a b", "Bearer x", "Token \xff"])
def test_a_bad_token_is_no_way_in(header: str) -> None:
    answer = APIClient().get("/api/v1/runs/", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"]


# ------------------------------------------------------------------------------------------------ import

FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.jsonl", b"", "empty"),
    "only white space": ("a.jsonl", b" \n\n ", "empty"),
    "a picture": ("a.png", b"\x89PNG\r\n\x1a\n\x00\x00", "binary|none of"),
    "packed": ("a.jsonl.gz", b"\x1f\x8b\x08\x00abc", "unpack"),
    "a zip": ("a.zip", b"PK\x03\x04abc", "unpack"),
    "no Parquet": ("a.parquet", b"hello", "is not"),
    "broken Parquet": ("a.parquet", b"PAR1" + b"\x00" * 100 + b"PAR1", "cannot be read"),
    "a sentence": ("a.txt", b"hello there", "none of"),
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
    assert 'role="alert"' in page or "cannot be used" in page
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


# ------------------------------------------------------------------------------------------------ commands

COMMANDS: dict[str, tuple[list[str], str]] = {
    "launch nothing": (["launch"], "give one of them"),
    "launch a folder": (["launch", "."], "is a folder"),
    "launch two things": (["launch", "manage.py", "--preset", "x"], "only one of them"),
    "launch no YAML": (["launch", "manage.py"], "cannot be used|not valid YAML|mapping"),
    "launch no preset": (["launch", "--preset", "magic"], "there is no preset"),
    "set nothing": (["launch", "--preset", "miniature-teacher-reward", "--set", "seed"], "not of the form"),
    "set a list": (["launch", "--preset", "miniature-teacher-reward", "--set", "seed=[1]"], "seed"),
    "set broken YAML": (["launch", "--preset", "miniature-teacher-reward", "--set", "seed={"], "not valid YAML"),
    "launch for nobody": (
        ["launch", "--preset", "miniature-teacher-reward", "--user", "nobody"],
        "no account|data set",
    ),
    "pause no run": (["pause", "12345"], "no run 12345"),
    "cancel a huge number": (["cancel", "9" * 40], "no run"),
    "resume a word": (["resume", "last"], "invalid int"),
    "import a mapping of nothing": (["import_data", "x.jsonl", "--map", "prompt"], "not of the form"),
    "import a mapping twice": (["import_data", "x.jsonl", "--map", "a=b", "--map", "a=c"], "twice"),
    "import with a NUL": (["import_data", "a\x00b"], "cannot be read|no file"),
    "export to nowhere": (["export_data", "pairs", "--output", "/nowhere/at/all/x.jsonl"], "no folder"),
    "export a data set of nobody": (["export_data", "pairs", "--dataset", "nowhere"], "no data set"),
    "export by nobody": (["export_data", "judgements", "--source", "nobody"], "no source"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_command_says_one_sentence(name: str, nothing_made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, words = COMMANDS[name]
    monkeypatch.chdir(ROOT)
    with pytest.raises(CommandError, match=words):
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())


# ------------------------------------------------------------------------------------------------ environment

ENVIRONMENT: dict[str, tuple[str, str, str]] = {
    "a switch that is neither": ("DEBUG", "perhaps", "neither yes nor no"),
    "a short key": ("SECRET_KEY", "short", "shorter than 32"),
    "a folder nobody can make": ("PLUMBLINE_HOME", "/proc/nowhere", "PLUMBLINE_HOME"),
    "an unknown database": ("DATABASE_URL", "oracle://x", "not supported"),
    "no address of a database": ("DATABASE_URL", "plumbline", "not supported"),
    "an unknown queue": ("REDIS_URL", "http://x", "must begin with"),
    "a lease of words": ("LEASE_SECONDS", "long", "whole number"),
    "a lease of nothing": ("LEASE_SECONDS", "0", "out of range"),
    "a grace without end": ("CANCEL_GRACE_SECONDS", "999999999", "out of range"),
}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_bad_setting_ends_the_start_with_its_name_and_the_remedy(name: str, tmp_path: Path) -> None:
    variable, value, words = ENVIRONMENT[name]
    given = os.environ | {"PLUMBLINE_HOME": str(tmp_path), variable: value}
    done = subprocess.run(
        [sys.executable, "-c", "import alignment_app.settings"],
        env=given, cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert variable in done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("")
    monkeypatch.setenv("PLUMBLINE_HOME", str(path))
    with pytest.raises(SystemExit, match="PLUMBLINE_HOME"):
        env.home()
