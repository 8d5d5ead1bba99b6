"""Configs that cannot be: refused with a sentence at every door."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from alignment_app.services.configs import build_config
from tests.support.documents import DOCUMENTS
from training.config import ConfigError

pytestmark = pytest.mark.django_db


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
