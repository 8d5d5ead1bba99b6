"""First-start data is created once; a build of the miniature can be stopped, and a failure has a reason."""

from __future__ import annotations

import json
import socket
import time
from io import StringIO
from pathlib import Path

import psutil
import pytest
from django.contrib.auth import authenticate, get_user_model

from alignment_app.management.commands.up import first_free_port
from alignment_app.management.progress import ProgressLine
from alignment_app.models import Dataset, Prompt, Run
from alignment_app.processes import miniature
from alignment_app.services import demo
from training.config import RunConfig, preset_data


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Files of a built miniature with a few rows each."""
    rows = {
        "ift.jsonl": [{"prompt": "Name a colour.", "completion": "Red."}],
        "eft.jsonl": [{"prompt": "Judge this.", "completion": "Score: 5", "weights": [[0, 5, 3.0]]}],
        "replay.jsonl": [{"messages": [], "completion": "A rose is red."}],
        "ranked.jsonl": [{"prompt": "Why?", "responses": [{"text": "So.", "rank": 1}, {"text": "No.", "rank": 2}]}],
        "prompts.jsonl": [{"prompt": f"Question {number}?"} for number in range(4)],
        "prompts_validation.jsonl": [{"prompt": "Another?"}],
        "prompts_test.jsonl": [{"prompt": "Held out?"}],
    }
    for name, lines in rows.items():
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return tmp_path


@pytest.mark.django_db
def test_the_first_admins_password_is_given_once() -> None:
    password = demo.ensure_admin()
    assert password is not None
    assert authenticate(username=demo.ADMIN, password=password) is not None
    assert demo.ensure_admin() is None
    assert get_user_model().objects.count() == 1


@pytest.mark.django_db
def test_the_miniatures_data_sets_are_imported_once(built: Path) -> None:
    first = demo.import_miniature(built)
    assert [dataset.name for dataset in first] == list(demo.DATASETS)
    prompts = Prompt.objects.count()
    assert demo.import_miniature(built) == first
    assert Prompt.objects.count() == prompts
    assert Prompt.objects.filter(dataset__name="miniature-test", source="evaluation").exists()


@pytest.mark.django_db
def test_an_older_build_keeps_its_rows_under_another_name(built: Path) -> None:
    older = demo.import_miniature(built)[3]
    (built / "prompts.jsonl").write_text(json.dumps({"prompt": "New world?"}) + "\n", encoding="utf-8")
    newer = demo.import_miniature(built)[3]
    older.refresh_from_db()
    assert newer.name == "miniature-prompts"
    assert older.name.startswith("miniature-prompts (")
    assert (older.prompts.count(), newer.prompts.count()) == (4, 1)
    assert Dataset.objects.count() == len(demo.DATASETS) + 1


def test_the_demo_run_uses_the_data_sets_that_are_imported() -> None:
    config = RunConfig.parse(preset_data(demo.DEMO_PRESET))
    named = {*config.sft.datasets, config.prompts.dataset, config.evaluation.dataset}
    assert named <= set(demo.DATASETS)
    assert config.iterations == 2


@pytest.mark.django_db
def test_the_demo_run_is_launched_once(built: Path) -> None:
    demo.ensure_admin()
    demo.import_miniature(built)
    run, launched = demo.ensure_demo_run()
    again, launched_again = demo.ensure_demo_run()
    assert (launched, launched_again) == (True, False)
    assert run == again
    assert run.created_by is not None
    assert run.created_by.get_username() == demo.ADMIN
    assert Run.objects.count() == 1


def test_a_build_that_is_stopped_leaves_no_process_and_no_half_built_folder(tmp_path: Path) -> None:
    steps: list[str] = []
    with pytest.raises(miniature.Stopped):
        miniature.build(tmp_path, 3, lambda step, done, total: steps.append(step), lambda: bool(steps))
    assert steps
    left = [child for child in psutil.Process().children(recursive=True) if "training.miniature" in child.cmdline()]
    assert left == []
    assert not (tmp_path / "miniature" / "seed-3").exists()


def test_a_build_that_fails_says_where_its_log_is(tmp_path: Path) -> None:
    (tmp_path / "miniature").write_text("in the way", encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(miniature.NotBuilt, match=r"miniature\.log"):
        miniature.build(tmp_path, 0, lambda step, done, total: None)
    assert time.monotonic() - began < 120


def test_a_taken_port_gives_way_to_the_next_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert first_free_port("127.0.0.1", port) > port


def test_progress_in_a_log_is_a_line_at_the_start_and_the_end_of_a_step() -> None:
    out = StringIO()
    show = ProgressLine(out)
    for done in (0, 10, 50, 100):
        show("Training M0", done, 100)
    show.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "0%" in lines[0]
    assert "100%" in lines[1]
