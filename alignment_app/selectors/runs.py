"""Runs with their stages, progress and elapsed time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import OuterRef, Prefetch, Subquery
from django.utils import timezone

from alignment_app.models import Checkpoint, Iteration, Run, RunEvent, Stage

#: Time of the last status change of a run.
CHANGED_AT: Final = Subquery(
    RunEvent.objects.filter(run=OuterRef("pk"), kind=RunEvent.Kind.RUN).order_by("-seq").values("created_at")[:1]
)


def load(run_id: int) -> Run:
    """Load a run for its page. ``last_seq`` is read first, so later events can be applied on top."""
    checkpoints = Checkpoint.objects.select_related("evaluation__against", "evaluation__judge").order_by("number")
    return (
        Run.objects.annotate(changed_at=CHANGED_AT)
        .select_related("created_by", "cloned_from", "study_place__study")
        .prefetch_related(
            Prefetch("iterations", queryset=Iteration.objects.select_related("input_checkpoint", "snapshot")),
            Prefetch("iterations__stages", queryset=Stage.objects.order_by("position")),
            Prefetch("checkpoints", queryset=checkpoints),
        )
        .get(pk=run_id)
    )


def stages_of(run: Run) -> list[Stage]:
    """Return the stages of a run in order, each with its iteration."""
    found = []
    for iteration in run.iterations.all():
        for stage in iteration.stages.all():
            stage.iteration = iteration
            found.append(stage)
    return found


def current_stage(stages: Iterable[Stage]) -> Stage | None:
    """Return the first stage that is neither done nor skipped."""
    over = (Stage.Status.DONE, Stage.Status.SKIPPED)
    return next((stage for stage in stages if stage.status not in over), None)


def share_done(stage: Stage) -> float:
    """Return the completed share of a stage, 0 to 1."""
    if stage.status == Stage.Status.DONE:
        return 1.0
    return min(1.0, stage.done / stage.total) if stage.total else 0.0


def progress(stages: Iterable[Stage]) -> float:
    """Return the completed share of a run, 0 to 1, with equal weight per stage."""
    counted = [share_done(stage) for stage in stages if stage.status != Stage.Status.SKIPPED]
    return sum(counted) / len(counted) if counted else 0.0


def elapsed(run: Run) -> float | None:
    """Return the seconds from the start of the first stage to the end, to the last stop, or to now if active.

    The run must be annotated with :data:`CHANGED_AT` as ``changed_at``.
    """
    if run.started_at is None:
        return None
    stopped_at = None if run.status in Run.ACTIVE else getattr(run, "changed_at", None)
    end = run.finished_at or stopped_at or timezone.now()
    return max(0.0, (end - run.started_at).total_seconds())
