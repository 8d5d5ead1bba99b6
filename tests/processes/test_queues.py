"""Enqueueing a run: once, on the correct queue, and never an error for the caller."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rq import Queue

from alignment_app.models import Iteration, Run, Stage
from alignment_app.selectors.queues import place_in_queue
from alignment_app.services import queues

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_names_run_and_queue_and_waits_on_its_queue(valkey: Any) -> None:
    queues.enqueue(7, "generation")
    [job] = Queue("generation", connection=queues.connection()).jobs
    assert job.func_name == "training.jobs.work"
    assert tuple(job.args) == (7, "generation")
    assert job.id.startswith("run-7-generation-")
    assert Queue("light", connection=queues.connection()).count == 0


def test_a_run_that_waits_already_is_not_enqueued_again(valkey: Any) -> None:
    for _ in range(3):
        queues.enqueue(7, "light")
    queues.enqueue(70, "light")
    assert Queue("light", connection=queues.connection()).count == 2
    assert queues.is_enqueued(7, "light")
    assert not queues.is_enqueued(7, "training")


def test_inside_a_transaction_the_job_is_enqueued_at_the_commit(valkey: Any) -> None:
    with transaction.atomic():
        queues.enqueue(7, "light")
        assert not queues.is_enqueued(7, "light")
    assert queues.is_enqueued(7, "light")


def test_a_transaction_that_is_rolled_back_enqueues_nothing(valkey: Any) -> None:
    with transaction.atomic():
        queues.enqueue(7, "light")
        transaction.set_rollback(True)
    assert not queues.is_enqueued(7, "light")


def test_without_the_server_enqueueing_is_a_line_in_the_log_and_no_error(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, home: Any
) -> None:
    settings.REDIS_URL = f"unix://{home}/nobody.sock"
    monkeypatch.setattr(queues, "_pool", None)
    queues.enqueue(7, "light")
    assert "could not enqueue run 7" in caplog.text
    assert not queues.is_up()


def test_the_place_in_the_queue_counts_those_that_came_before_on_the_same_queue() -> None:
    now = timezone.now()
    stages = []
    for minutes, queue in [(3, "generation"), (2, "generation"), (1, "generation"), (9, "training")]:
        run = Run.objects.create(name="r", config={}, config_hash="0", paradigm="self_reward")
        iteration = Iteration.objects.create(run=run, number=0)
        queued_at = now - timedelta(minutes=minutes)
        stages.append(
            Stage.objects.create(
                iteration=iteration, kind="evaluation", position=0, queue=queue, status="queued", queued_at=queued_at
            )
        )
    assert [place_in_queue(stage) for stage in stages] == [1, 2, 3, 1]
    stages[0].status = "running"
    stages[0].save()
    assert [place_in_queue(stage) for stage in stages[:3]] == [0, 1, 2]
