"""Commands given nonsense: one sentence each."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.support.paths import ROOT

pytestmark = pytest.mark.django_db
NUL = "\x00"


COMMANDS: dict[str, tuple[list[str], str]] = {
    "launch nothing": (["launch"], "give one of them"),
    "launch a folder": (["launch", "."], "is a folder"),
    "launch two things": (["launch", "manage.py", "--preset", "x"], "only one of them"),
    "launch no YAML": (["launch", "manage.py"], "cannot be used|not valid YAML|mapping"),
    "launch no preset": (["launch", "--preset", "magic"], "unknown preset"),
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
    "export a data set of nobody": (["export_data", "pairs", "--dataset", "nowhere"], "unknown data set"),
    "export by nobody": (["export_data", "judgements", "--source", "nobody"], "Unknown source"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_command_says_one_sentence(name: str, nothing_made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, words = COMMANDS[name]
    monkeypatch.chdir(ROOT)
    with pytest.raises(CommandError, match=words):
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
