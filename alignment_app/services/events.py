"""Append events to a run's log and notify followers after the commit."""

from __future__ import annotations

from typing import Literal

from django.db import transaction
from django.db.models import F

from alignment_app.models import Run, RunEvent, Stage
from alignment_app.models.payloads import LogPayload, Payload, RunPayload, StagePayload
from alignment_app.services import publish


def append(run_id: int, payload: Payload) -> int:
    """Append an event and return its sequence number. Followers are notified after the commit."""
    with transaction.atomic(savepoint=False):  # if the event cannot be written, its change is rolled back too
        # The update locks the run's row, so numbers have no gaps and follow the order of commits.
        Run.objects.filter(pk=run_id).update(last_seq=F("last_seq") + 1)
        seq = Run.objects.values_list("last_seq", flat=True).get(pk=run_id)
        RunEvent.objects.create(run_id=run_id, seq=seq, kind=payload.event, payload=payload.as_data())
        transaction.on_commit(lambda: publish.run_event(run_id, seq))
    return seq


def log(run_id: int, text: str, level: Literal["info", "warning", "error"] = "info") -> int:
    """Append a message to the run's log."""
    return append(run_id, LogPayload(level=level, text=text))


def run_changed(run: Run) -> int:
    """Append the run's status and reason."""
    return append(run.pk, RunPayload(status=run.status, label=run.get_status_display(), reason=run.status_reason))


def stage_changed(stage: Stage) -> int:
    """Append the stage's status, counts and rate."""
    left = (stage.total - stage.done) / stage.rate if stage.rate and stage.total > stage.done else None
    return append(
        stage.iteration.run_id,
        StagePayload(
            stage=stage.pk,
            iteration=stage.iteration.number,
            kind=stage.kind,
            label=stage.get_kind_display(),
            status=stage.status,
            reason=stage.reason,
            done=stage.done,
            total=stage.total,
            unit=stage.unit,
            rate=stage.rate,
            seconds_left=left,
            progress=stage.progress,
            result=stage.result,
        ),
    )
