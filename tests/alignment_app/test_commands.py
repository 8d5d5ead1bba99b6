"""Management commands: actions, one-line errors and exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.db import connection

from alignment_app.management.base import Error
from alignment_app.management.commands import launch
from alignment_app.models import Dataset, Export, Prompt, Run
from alignment_app.services import runs
from tests.support.launchable import small_config
from tests.support.paths import ROOT
from tests.support.people import person
from training.config import RunConfig

pytestmark = pytest.mark.django_db


def said(*args: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(small_config(tmp_path)))
    return path


def test_a_run_is_launched_listed_paused_resumed_and_cancelled(config_file: Path) -> None:
    assert "is queued: Small" in said("launch", str(config_file))
    run = Run.objects.get()
    assert "Small" in said("runs")
    assert "paused" in said("pause", str(run.pk))
    assert "queued" in said("resume", str(run.pk))
    assert "cancelled" in said("cancel", str(run.pk))
    assert json.loads(said("runs", "--json"))["status"] == "cancelled"
    assert said("runs", "--status", "finished").startswith("No runs")


def test_a_yaml_with_changes_gives_the_config_that_the_form_would(config_file: Path) -> None:
    user = person("lead")
    said("launch", str(config_file), "--set", "training.beta=0.3", "--name", "Other", "--user", "lead")
    run = Run.objects.get()
    expected = RunConfig.parse(yaml.safe_load(config_file.read_text()) | {"training": {"beta": 0.3}, "name": "Other"})
    assert (run.config, run.config_hash, run.created_by) == (expected.to_dict(), expected.config_hash, user)


def test_a_config_is_checked_without_starting_anything(config_file: Path) -> None:
    assert "is valid" in said("launch", str(config_file), "--check")
    assert not Run.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("failed", 1), ("cancelled", 1), ("waiting", 0)])
def test_waiting_ends_with_the_run_and_its_outcome(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    monkeypatch.setattr(launch, "LOOK_SECONDS", 0.05)

    def end_soon() -> None:
        try:
            while not (run := Run.objects.first()):
                time.sleep(0.05)
            Run.objects.filter(pk=run.pk).update(status=status, status_reason="As the test had it.")
        finally:
            connection.close()

    ender = threading.Thread(target=end_soon)
    ender.start()
    try:
        if code:
            with pytest.raises(Error) as caught:
                said("launch", str(config_file), "--wait")
            assert caught.value.returncode == code
        else:
            assert "As the test had it." in said("launch", str(config_file), "--wait")
    finally:
        ender.join()


def test_the_progress_line_names_the_stage_at_work(config_file: Path) -> None:
    said("launch", str(config_file))
    run = Run.objects.get()
    stage = run.iterations.get(number=0).stages.order_by("position")[0]
    assert launch.progress_line(run) == "iteration 0: dataset (queued)"
    type(stage).objects.filter(pk=stage.pk).update(status="running", done=3, total=9, unit="rows")
    assert launch.progress_line(run) == "iteration 0: dataset 3/9 rows"
    runs.cancel(run)
    run.refresh_from_db()
    assert launch.progress_line(run).startswith("cancelled: ")


def test_a_file_is_previewed_and_imported_with_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"q": "one"}\n{"q": "two"}\n')
    assert "2 rows can be used" in said("import_data", str(path), "--map", "prompt=q", "--preview")
    assert not Dataset.objects.exists()
    assert "mine: 2 rows added." in said("import_data", str(path), "--map", "prompt=q")
    assert "2 there already" in said("import_data", str(path), "--map", "prompt=q")
    assert Prompt.objects.count() == 2


def test_scores_are_imported_by_judge_and_exported_again(tmp_path: Path) -> None:
    path = tmp_path / "scored.csv"
    path.write_text("prompt,response,own,big\np,a,-1,4\np,b,2,\n")
    said("import_data", str(path), "--kind", "scored", "--judge", "self=own", "--judge", "teacher=big")
    out = tmp_path / "out.jsonl"
    said("export_data", "judgements", "--dataset", "scored", "--output", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted((row["source"], row["score"]) for row in rows if not row["unparsed"]) == [("self", 2), ("teacher", 4)]
    assert Export.objects.get().row_count == len(rows) == 3


def test_an_export_never_leaves_half_a_file_and_writes_over_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    said("export_data", "pairs", "--output", str(out))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "out.parquet.manifest.json"]
    with pytest.raises(Error, match="exists"):
        said("export_data", "pairs", "--output", str(out))
    said("export_data", "pairs", "--output", str(out), "--force")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["launch", "nowhere.yaml"], 2, "there is no file nowhere.yaml"),
        (["cancel", "999"], 1, "there is no run 999"),
        (["import_data", "nowhere.jsonl"], 2, "There is no file nowhere.jsonl"),
        (["runs", "--limit", "0"], 2, "--limit must be between"),
        (["export_data", "pears"], 2, "invalid choice: 'pears'"),
    ],
)
def test_from_a_terminal_a_refusal_is_one_sentence_and_an_exit_code(
    child_environment: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=child_environment,
        cwd=os.path.dirname(__file__),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
