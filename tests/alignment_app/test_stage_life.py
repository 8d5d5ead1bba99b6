"""Life cycle of a stage: claimed once, protected by a lease, queued again after a crash."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from alignment_app.models import Dataset, Prompt, Response, Run, RunEvent, Stage, StageAttempt
from alignment_app.services import rows, runs, stages
from alignment_app.services.errors import LeaseLost, Refused
from tests.support.stages import claim, launch_queued, queued_config
from training.config import ConfigError
from training.domain.rows import ResponseDraft

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    return launch_queued()


def expire(attempt: StageAttempt) -> None:
    StageAttempt.objects.filter(pk=attempt.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def status_of(run: Run) -> str:
    run.refresh_from_db()
    return run.status


def test_a_launched_run_queues_its_first_stage_and_leaves_out_what_the_config_leaves_out(run: Run) -> None:
    kinds = {(stage.iteration.number, stage.kind): stage.status for stage in Stage.objects.select_related("iteration")}
    assert kinds[0, "sft"] == kinds[0, "dataset"] == kinds[0, "evaluation"] == Stage.Status.SKIPPED
    assert kinds[1, "prompts"] == Stage.Status.QUEUED
    assert kinds[1, "responses"] == Stage.Status.PENDING
    assert kinds[1, "review"] == Stage.Status.SKIPPED


def test_a_run_that_names_a_missing_data_set_is_not_recorded_at_all() -> None:
    with pytest.raises(ConfigError) as problem:
        runs.launch(queued_config())
    assert problem.value.problems == [("prompts.dataset", "there is no data set named 'questions'; import it first")]
    assert not Run.objects.exists()


def test_a_stage_is_claimed_once(run: Run) -> None:
    claim(run)
    assert stages.claim(run.pk, "light", worker="other", host="h", pid=2) is None
    assert status_of(run) == Run.Status.RUNNING


def test_finishing_a_stage_queues_the_next_one(run: Run) -> None:
    stages.finish(claim(run))
    stage = Stage.objects.get(iteration__number=1, kind="responses")
    assert stage.status == Stage.Status.QUEUED


def test_an_attempt_that_lost_its_lease_writes_nothing(run: Run) -> None:
    attempt = claim(run)
    prompt = Prompt.objects.first()
    assert prompt is not None
    expire(attempt)
    draft = ResponseDraft(prompt.pk, 0, "late", seed=1, token_count=1, finish_reason="stop")
    with pytest.raises(LeaseLost):
        rows.save_responses(attempt, attempt.stage.iteration, [draft], purpose="candidate", sampling={})
    with pytest.raises(LeaseLost):
        stages.finish(attempt)
    assert not Response.objects.exists()
    assert Stage.objects.get(pk=attempt.stage_id).status == Stage.Status.RUNNING


def test_a_text_with_a_sign_that_no_database_takes_is_kept_with_a_stand_in(run: Run) -> None:
    attempt = claim(run)
    prompt = Prompt.objects.first()
    assert prompt is not None
    draft = ResponseDraft(prompt.pk, 0, "a\x00b", seed=1, token_count=3, finish_reason="stop")
    rows.save_responses(attempt, attempt.stage.iteration, [draft], purpose="candidate", sampling={})
    assert Response.objects.get().text == "a\ufffdb"


def test_a_stale_attempt_that_comes_back_after_another_has_taken_over_writes_nothing(run: Run) -> None:
    stale = claim(run)
    expire(stale)
    assert stages.reap_expired() == 1
    claim(run)
    with pytest.raises(LeaseLost):
        stages.heartbeat(stale)
    with pytest.raises(LeaseLost):
        stages.fail(stale, "too late", StageAttempt.Reason.ERROR)
    assert status_of(run) == Run.Status.RUNNING


def test_a_crashed_stage_is_queued_again_and_says_why(run: Run) -> None:
    attempt = claim(run)
    expire(attempt)
    stages.reap_expired()
    attempt.refresh_from_db()
    assert attempt.outcome == StageAttempt.Outcome.CRASHED
    assert attempt.reason_code == StageAttempt.Reason.SILENT
    assert status_of(run) == Run.Status.QUEUED
    assert run.status_reason.startswith(attempt.reason)
    assert "No heartbeat" in attempt.reason


def test_a_stage_that_crashes_again_and_again_without_progress_is_given_up(run: Run, settings: object) -> None:
    settings.MAX_FRUITLESS_CRASHES = 2  # type: ignore[attr-defined]
    for _ in range(2):
        expire(claim(run))
        stages.reap_expired()
    assert status_of(run) == Run.Status.CRASHED
    runs.resume(run)
    assert status_of(run) == Run.Status.QUEUED
    # After a resume, crashes are counted from zero.
    expire(claim(run))
    stages.reap_expired()
    assert status_of(run) == Run.Status.QUEUED


def test_a_pause_is_heard_by_the_worker_and_ends_in_paused(run: Run) -> None:
    attempt = claim(run)
    runs.pause(run)
    assert status_of(run) == Run.Status.RUNNING
    assert stages.heartbeat(attempt) == "pause"
    stages.stop(attempt, "pause")
    assert status_of(run) == Run.Status.PAUSED
    runs.resume(run)
    claim(run)


def test_a_cancel_without_a_worker_takes_effect_at_once_and_can_be_resumed(run: Run) -> None:
    runs.cancel(run)
    assert status_of(run) == Run.Status.CANCELLED
    assert stages.claim(run.pk, "light", worker="w", host="h", pid=1) is None
    runs.resume(run)
    claim(run)


def test_a_cancelled_run_whose_worker_dies_is_cancelled_and_not_crashed(run: Run) -> None:
    attempt = claim(run)
    runs.cancel(run)
    assert status_of(run) == Run.Status.CANCELLING
    expire(attempt)
    stages.reap_expired()
    assert status_of(run) == Run.Status.CANCELLED


def test_a_cancel_that_comes_while_a_pause_is_obeyed_wins(run: Run) -> None:
    attempt = claim(run)
    runs.pause(run)
    assert stages.heartbeat(attempt) == "pause"
    runs.cancel(run)
    stages.stop(attempt, "pause")
    assert status_of(run) == Run.Status.CANCELLED


def test_a_stage_that_crashes_for_ever_though_it_gets_somewhere_is_given_up(run: Run, settings: object) -> None:
    settings.MAX_CRASHES = 4  # type: ignore[attr-defined]
    for _ in range(4):
        attempt = claim(run)
        StageAttempt.objects.filter(pk=attempt.pk).update(rows_written=1)
        expire(attempt)
        stages.reap_expired()
    assert status_of(run) == Run.Status.CRASHED


def test_a_failure_keeps_its_reason_and_the_stage_can_be_tried_again(run: Run) -> None:
    attempt = claim(run)
    stages.fail(attempt, "The disk is full. Free some space, then resume.", StageAttempt.Reason.ERROR, "Traceback …")
    assert status_of(run) == Run.Status.FAILED
    assert run.status_reason.startswith("The disk is full")
    runs.resume(run)
    assert claim(run).number == 2


def test_a_finished_run_refuses_what_no_longer_makes_sense(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status=Run.Status.FINISHED)
    for ask in (runs.pause, runs.resume, runs.cancel):
        with pytest.raises(Refused):
            ask(run)


def test_events_are_numbered_from_one_without_gaps(run: Run) -> None:
    stages.finish(claim(run))
    seqs = list(RunEvent.objects.filter(run=run).values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
    run.refresh_from_db()
    assert run.last_seq == seqs[-1]


def test_a_removed_run_leaves_no_rows_behind(run: Run) -> None:
    runs.cancel(run)
    runs.remove(run)
    assert not Run.objects.exists()
    assert not Stage.objects.exists()
    assert not RunEvent.objects.exists()
    assert Prompt.objects.count() == 2


def test_a_run_that_waits_for_review_trains_when_it_is_let_through() -> None:
    Dataset.objects.create(name="pairs", kind=Dataset.Kind.PREFERENCES)
    run = runs.launch(queued_config(pairs={"from_dataset": "pairs"}, review={"enabled": True}))
    stages.finish(claim(run))
    assert status_of(run) == Run.Status.WAITING
    runs.cancel(run)
    with pytest.raises(Refused):
        runs.approve_review(run.iterations.get(number=1))
    runs.resume(run)
    assert status_of(run) == Run.Status.WAITING
    runs.approve_review(run.iterations.get(number=1))
    assert Stage.objects.get(iteration__number=1, kind="dataset").status == Stage.Status.QUEUED
