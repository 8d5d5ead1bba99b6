"""Life cycle of a stage: queued, claimed with a lease, renewed, finished or stopped. The database is authoritative.

Workers write only inside :func:`leased`, so an attempt that lost its lease cannot write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from alignment_app.models import Checkpoint, Iteration, Run, Stage, StageAttempt
from alignment_app.services import events, queues
from alignment_app.services.errors import LeaseLost
from training.plan.spec import StageData

Command = Literal["go on", "pause", "cancel"]


def open_attempt(run: Run) -> StageAttempt | None:
    """Return the open attempt of a run, if any. Its lease may have expired before the monitor ended it."""
    return StageAttempt.objects.filter(stage__iteration__run=run, outcome=StageAttempt.Outcome.OPEN).first()


def queue_stage(stage: Stage) -> None:
    """Make a stage available to the workers of its queue."""
    stage.status, stage.queued_at, stage.reason = Stage.Status.QUEUED, timezone.now(), ""
    stage.save(update_fields=["status", "queued_at", "reason"])
    events.stage_changed(stage)
    run_id, queue = stage.iteration.run_id, stage.queue
    transaction.on_commit(lambda: queues.enqueue(run_id, queue))


def start_next_stage(run: Run) -> None:
    """Queue the first unfinished stage, or mark the run as finished."""
    settled = (Stage.Status.DONE, Stage.Status.SKIPPED)
    stage = Stage.objects.select_related("iteration").filter(iteration__run=run).exclude(status__in=settled).first()
    if stage is None:
        run.status, run.finished_at, run.status_reason = Run.Status.FINISHED, timezone.now(), "All stages are finished."
        run.save(update_fields=["status", "finished_at", "status_reason"])
        Iteration.objects.filter(run=run, finished_at__isnull=True).update(finished_at=timezone.now())
        events.run_changed(run)
        return
    iteration = stage.iteration
    if iteration.input_checkpoint_id is None:
        iteration.input_checkpoint = Checkpoint.objects.get(run=run, number=iteration.number)
        iteration.save(update_fields=["input_checkpoint"])
        Iteration.objects.filter(run=run, number__lt=iteration.number, finished_at__isnull=True).update(
            finished_at=timezone.now()
        )
    if stage.spec.waits_for_people:
        _wait_for_review(run, stage)
    else:
        queue_stage(stage)


def _wait_for_review(run: Run, stage: Stage) -> None:
    now = timezone.now()
    stage.status, stage.started_at = Stage.Status.WAITING, stage.started_at or now
    stage.total = stage.iteration.pairs.count()
    stage.save(update_fields=["status", "started_at", "total"])
    events.stage_changed(stage)
    run.status = Run.Status.WAITING
    run.status_reason = f"{stage.total} pairs wait for review. Approve the review to start training."
    run.save(update_fields=["status", "status_reason"])
    events.run_changed(run)


@transaction.atomic
def claim(run_id: int, queue: str, *, worker: str, host: str, pid: int) -> StageAttempt | None:
    """Claim the run's queued stage of this queue; ``None`` if there is none, since a job can be enqueued twice."""
    run = Run.objects.select_for_update().filter(pk=run_id, status__in=[Run.Status.QUEUED, Run.Status.RUNNING]).first()
    if run is None:
        return None
    stage = (
        Stage.objects.select_related("iteration")
        .filter(iteration__run=run, queue=queue, status=Stage.Status.QUEUED)
        .first()
    )
    if stage is None or open_attempt(run):
        return None
    now = timezone.now()
    stage.status, stage.started_at, stage.reason = Stage.Status.RUNNING, stage.started_at or now, ""
    stage.rate = None
    stage.save(update_fields=["status", "started_at", "reason", "rate"])
    attempt = StageAttempt.objects.create(
        stage=stage,
        number=stage.attempts.count() + 1,
        worker=worker,
        host=host,
        pid=pid,
        lease_expires_at=now + timedelta(seconds=settings.LEASE_SECONDS),
    )
    Iteration.objects.filter(pk=stage.iteration_id, started_at__isnull=True).update(started_at=now)
    run.status, run.started_at = Run.Status.RUNNING, run.started_at or now
    run.status_reason = f"{stage.get_kind_display()}, iteration {stage.iteration.number} of {last_iteration(run)}."
    run.save(update_fields=["status", "started_at", "status_reason"])
    events.run_changed(run)
    events.stage_changed(stage)
    return attempt


def last_iteration(run: Run) -> int:
    """Return the number of the run's last iteration."""
    return run.typed_config.iterations


@contextmanager
def leased(attempt: StageAttempt) -> Iterator[None]:
    """Transaction in which this attempt may write. Raises :class:`LeaseLost` when its lease is not valid.

    The update renews the lease and locks the attempt's row, so that the stage cannot be taken over meanwhile.
    """
    now = timezone.now()
    with transaction.atomic():
        renewed = StageAttempt.objects.filter(
            pk=attempt.pk, outcome=StageAttempt.Outcome.OPEN, lease_expires_at__gt=now
        ).update(heartbeat_at=now, lease_expires_at=now + timedelta(seconds=settings.LEASE_SECONDS))
        if renewed != 1:
            raise LeaseLost(f"attempt {attempt.pk} lost its lease; another attempt repeats its unsaved work")
        yield


def heartbeat(attempt: StageAttempt) -> Command:
    """Renew the lease and return the requested command, if any. Raises :class:`LeaseLost`."""
    with leased(attempt):
        run = Run.objects.only("pause_requested", "cancel_requested_at").get(iterations__stages__pk=attempt.stage_id)
    if run.cancel_requested_at:
        return "cancel"
    return "pause" if run.pause_requested else "go on"


def progress(
    attempt: StageAttempt,
    *,
    done: int,
    total: int,
    rate: float | None,
    overlapping_stage: Stage | None = None,
    **figures: Any,
) -> None:
    """Save and publish the progress of a stage.

    Args:
        attempt: the open attempt.
        done: completed rows (or steps) of ``total``.
        total: rows (or steps) in total; 0 until known.
        rate: units per second; ``None`` until known.
        overlapping_stage: a later stage that the attempt works on in parallel.
        **figures: changed fields of the stage's progress model.
    """
    with leased(attempt):
        stage = Stage.objects.select_related("iteration").get(
            pk=overlapping_stage.pk if overlapping_stage else attempt.stage_id
        )
        stage.done, stage.total, stage.rate = done, total, rate
        stage.progress = _changed(stage, figures)
        stage.save(update_fields=["done", "total", "rate", "progress"])
        events.stage_changed(stage)


def end_overlap(attempt: StageAttempt, overlapping_stage: Stage) -> None:
    """Publish that the attempt no longer works on the overlapping stage."""
    with leased(attempt):
        _clear_rate(Stage.objects.select_related("iteration").get(pk=overlapping_stage.pk))


def _clear_rate(stage: Stage) -> None:
    stage.rate, stage.progress = None, _changed(stage, {"in_flight": 0})
    stage.save(update_fields=["rate", "progress"])
    events.stage_changed(stage)


def note(attempt: StageAttempt, **figures: Any) -> None:
    """Change and publish fields of the stage's progress model."""
    with leased(attempt):
        stage = Stage.objects.select_related("iteration").get(pk=attempt.stage_id)
        stage.progress = _changed(stage, figures)
        stage.save(update_fields=["progress"])
        events.stage_changed(stage)


def _changed(stage: Stage, figures: dict[str, Any]) -> dict[str, Any]:
    """Return the changed progress. Raises :class:`pydantic.ValidationError` for an undeclared field."""
    return stage.spec.progress.read(stage.progress).changed(figures).as_data()


def _locked_run(attempt: StageAttempt) -> Run:
    """Return the attempt's run, locked until the transaction ends."""
    return Run.objects.select_for_update().get(iterations__stages__pk=attempt.stage_id)


def _close(attempt: StageAttempt, outcome: str, reason: str = "", *, code: str = "", traceback: str = "") -> Stage:
    """Close an open attempt. Raises :class:`LeaseLost` when it was already closed."""
    closed = StageAttempt.objects.filter(pk=attempt.pk, outcome=StageAttempt.Outcome.OPEN).update(
        outcome=outcome, reason=reason, reason_code=code, traceback=traceback, finished_at=timezone.now()
    )
    if closed != 1:
        raise LeaseLost(f"attempt {attempt.pk} is already closed")
    return Stage.objects.select_related("iteration__run").get(pk=attempt.stage_id)


def finish(attempt: StageAttempt, result: StageData | None = None) -> None:
    """Store the stage's result, then queue the next stage or apply a requested pause or cancel.

    Raises :class:`TypeError` when the result is not of the declared result model. ``None`` is a result without fields.
    """
    expected = attempt.stage.spec.result
    result = expected() if result is None else result
    if type(result) is not expected:
        raise TypeError(f"{attempt.stage} returned {type(result).__name__}, but declares {expected.__name__}")
    with leased(attempt):
        stage = _close(attempt, StageAttempt.Outcome.FINISHED)
        stage.status, stage.finished_at = Stage.Status.DONE, timezone.now()
        stage.result = result.as_data()
        stage.save(update_fields=["status", "finished_at", "result"])
        events.stage_changed(stage)
        run = Run.objects.select_for_update().get(pk=stage.iteration.run_id)
        if run.cancel_requested_at:
            _end(run, Run.Status.CANCELLED, "Cancelled; all saved rows are kept.")
        elif run.pause_requested:
            _end(run, Run.Status.PAUSED, "Paused; resume to continue.")
        else:
            start_next_stage(run)


def stop(attempt: StageAttempt, command: Command) -> None:
    """Stop the attempt at a safe point, as requested."""
    with leased(attempt):
        run = _locked_run(attempt)
        # A cancel requested after the pause takes precedence.
        cancelled = command == "cancel" or run.cancel_requested_at is not None
        outcome = StageAttempt.Outcome.CANCELLED if cancelled else StageAttempt.Outcome.PAUSED
        _stop_stage(_close(attempt, outcome), "")
        if cancelled:
            _end(run, Run.Status.CANCELLED, "Cancelled; all saved rows are kept.")
        else:
            _end(run, Run.Status.PAUSED, "Paused; resume to continue.")


def pause_with_reason(attempt: StageAttempt, reason: str, code: str) -> None:
    """Pause the run with a reason, because the stage needs attention before it can continue."""
    with leased(attempt):
        run = _locked_run(attempt)
        _stop_stage(_close(attempt, StageAttempt.Outcome.PAUSED, reason, code=code), reason)
        events.log(run.pk, reason, "warning")
        if run.cancel_requested_at:
            _end(run, Run.Status.CANCELLED, "Cancelled; all saved rows are kept.")
        else:
            _end(run, Run.Status.PAUSED, reason)


def fail(attempt: StageAttempt, reason: str, code: str, traceback: str = "") -> None:
    """Fail the attempt. ``reason`` names the cause and what to do; ``code`` is a :class:`StageAttempt.Reason`."""
    with leased(attempt):
        run = _locked_run(attempt)
        _stop_stage(_close(attempt, StageAttempt.Outcome.FAILED, reason, code=code, traceback=traceback), reason)
        if run.cancel_requested_at:
            _end(run, Run.Status.CANCELLED, "Cancelled; all saved rows are kept.")
        else:
            _end(run, Run.Status.FAILED, reason)
            events.log(run.pk, reason, "error")


@transaction.atomic
def crash(attempt: StageAttempt, reason: str, code: str) -> bool:
    """Close the attempt of a dead worker, and queue the stage again or stop after too many crashes.

    With the code ``worker_stopped`` the worker was stopped deliberately, and the attempt is not counted as a crash.
    Returns whether this call closed the attempt.
    """
    try:
        stopped = code == StageAttempt.Reason.WORKER_STOPPED
        outcome = StageAttempt.Outcome.PAUSED if stopped else StageAttempt.Outcome.CRASHED
        stage = _close(attempt, outcome, reason, code=code)
    except LeaseLost:
        return False
    run = Run.objects.select_for_update().get(pk=stage.iteration.run_id)
    _stop_stage(stage, reason)
    if run.cancel_requested_at:
        _end(run, Run.Status.CANCELLED, "Cancelled; the worker was stopped. All saved rows are kept.")
    elif run.pause_requested:
        _end(run, Run.Status.PAUSED, "Paused; the worker was stopped. Resume to continue.")
    elif tries := _too_many_crashes(stage):
        _end(
            run,
            Run.Status.CRASHED,
            f"{stage.get_kind_display()} crashed {tries} times in a row: {reason} Look at the worker's output and "
            "memory, then resume.",
        )
    else:
        run.status, run.status_reason = Run.Status.QUEUED, f"{reason} The stage continues with the missing rows."
        run.save(update_fields=["status", "status_reason"])
        events.run_changed(run)
        events.log(run.pk, run.status_reason, "warning")
        queue_stage(stage)
    return True


def _too_many_crashes(stage: Stage) -> int:
    """Return the number of consecutive crashes since the last resume if it is too high, else 0.

    The limit is lower for attempts that wrote no rows.
    """
    attempts = stage.attempts.filter(number__gt=stage.forgiven).order_by("-number")
    in_a_row = list(
        itertools.takewhile(
            lambda attempt: attempt[0] == StageAttempt.Outcome.CRASHED,
            attempts.values_list("outcome", "rows_written"),
        )
    )
    fruitless = len(list(itertools.takewhile(lambda attempt: not attempt[1], in_a_row)))
    if fruitless >= settings.MAX_FRUITLESS_CRASHES:
        return fruitless
    return len(in_a_row) if len(in_a_row) >= settings.MAX_CRASHES else 0


def _stop_stage(stage: Stage, reason: str) -> None:
    for overlapping_stage in Stage.objects.select_related("iteration").filter(
        iteration=stage.iteration_id, status=Stage.Status.PENDING, rate__isnull=False
    ):
        _clear_rate(overlapping_stage)
    stage.status, stage.reason, stage.rate = Stage.Status.STOPPED, reason, None
    stage.save(update_fields=["status", "reason", "rate"])
    events.stage_changed(stage)


def _end(run: Run, status: str, reason: str) -> None:
    run.status, run.status_reason = status, reason
    run.pause_requested = False
    if status in (Run.Status.CANCELLED, Run.Status.FAILED, Run.Status.CRASHED):
        run.finished_at = timezone.now()
    run.save(update_fields=["status", "status_reason", "pause_requested", "finished_at"])
    events.run_changed(run)


def reap_expired() -> int:
    """End every attempt whose lease has expired. Returns the number. Cheap, and safe to call anywhere."""
    expired = StageAttempt.objects.filter(outcome=StageAttempt.Outcome.OPEN, lease_expires_at__lte=timezone.now())
    return sum(
        crash(
            attempt,
            f"No heartbeat for {settings.LEASE_SECONDS} seconds: the worker process or its machine died.",
            StageAttempt.Reason.SILENT,
        )
        for attempt in expired
    )


def enqueue_due() -> None:
    """Enqueue every stage that can be claimed, because jobs can be lost with the queue server."""
    due = Stage.objects.filter(
        status=Stage.Status.QUEUED, iteration__run__status__in=[Run.Status.QUEUED, Run.Status.RUNNING]
    )
    for run_id, queue in due.values_list("iteration__run_id", "queue"):
        queues.enqueue(run_id, queue)
