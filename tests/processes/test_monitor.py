"""Monitor: machine metrics of active runs, and independence of its duties from each other's failures."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import Iteration, Run, RunEvent, Stage
from alignment_app.processes import machine_metrics
from alignment_app.processes.monitor import Monitor
from alignment_app.services import queues, reaping, stages
from labeling.services import reviews
from labeling.services.answers import Answer
from labeling.services.queues import NewQueue, make_queue
from tests.support.people import person
from tests.support.review import take, waiting_run

pytestmark = pytest.mark.django_db(transaction=True)


def queued_run() -> Run:
    run = Run.objects.create(name="r", config={"iterations": 0}, config_hash="0", paradigm="self_reward")
    iteration = Iteration.objects.create(run=run, number=0)
    Stage.objects.create(iteration=iteration, kind="evaluation", position=0, queue="light", status="queued")
    return run


def test_a_lost_job_is_enqueued_again(valkey: Any) -> None:
    run = queued_run()
    Monitor().tick()
    assert queues.is_enqueued(run.pk, "light")


def test_machine_metrics_are_written_for_runs_that_work_on_this_machine_alone(valkey: Any) -> None:
    here, elsewhere, waiting = queued_run(), queued_run(), queued_run()
    stages.claim(here.pk, "light", worker="w", host=reaping.this_host(), pid=os.getpid())
    stages.claim(elsewhere.pk, "light", worker="w", host="another", pid=1)
    monitor = Monitor()
    monitor.tick()
    monitor.tick()  # immediately: too early for the next reading
    [event] = RunEvent.objects.filter(kind="gauge")
    assert event.run_id == here.pk
    assert event.payload["memory_total"] > event.payload["memory"] > 0
    assert event.payload["disk_free"] > 0
    assert 0 <= event.payload["cpu"] <= 100
    assert waiting.events.filter(kind="gauge").count() == 0


def test_what_people_settled_reaches_the_waiting_run_at_the_next_tick_and_is_told_once(valkey: Any) -> None:
    iteration = waiting_run()
    new = NewQueue("pairs", "pair", min_seconds=0.0)
    queue = make_queue(new, by=person("lead", "lena"), iteration=iteration)
    reviews.submit(take(queue, person("annotator", "ana")), Answer("flip"))
    told = RunEvent.objects.filter(run=iteration.run_id, kind="stage", payload__done=1)
    assert not told.exists()
    Monitor().tick()
    Monitor().tick()
    assert iteration.stages.get(kind="review").done == 1
    assert told.count() == 1


def test_a_duty_that_fails_keeps_none_of_the_others_from_its_turn(
    valkey: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(reaping, "reap_dead", fail)
    run = queued_run()
    Monitor().tick()
    assert queues.is_enqueued(run.pk, "light")
    assert "could not check for dead processes" in caplog.text


def test_the_gpus_are_read_from_the_drivers_own_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 1024, 143771, 37'\necho 'GRID, A40, [N/A], 46068, [N/A]'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    first, second = machine_metrics.gpus()
    assert first == {"name": "NVIDIA H200", "memory": 1024 * 2**20, "memory_total": 143771 * 2**20, "utilisation": 37}
    assert second == {"name": "GRID, A40", "memory": None, "memory_total": 46068 * 2**20, "utilisation": None}


def test_a_machine_without_the_tool_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine_metrics.gpus() == []
