"""Requests that make no sense: one shape of error, nothing made."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
NUL = "\x00"


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
