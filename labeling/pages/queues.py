"""Lists of queues: those that a person may open, with progress and source."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from alignment_app.models import DatasetSnapshot, Stage
from labeling.models import Assignment, Queue
from labeling.services.access import can_annotate, can_lead
from training.plan import REVIEW


def queues_of(person: User) -> QuerySet[Queue]:
    """Queues that this person may open: for a lead all, for an annotator open ones that name them or nobody."""
    queues = Queue.objects.select_related("iteration__run", "evaluation__checkpoint", "dataset")
    if can_lead(person):
        return queues
    if not can_annotate(person):
        return queues.none()
    return queues.filter(Q(people=person) | Q(people__isnull=True), is_open=True).distinct()


def waiting_for(person: User) -> int:
    """Upper bound on the items that this person can still answer in their open queues."""
    now = timezone.now()
    queues = queues_of(person).filter(is_open=True).filter(Q(deadline__isnull=True) | Q(deadline__gt=now))
    figures = list(queues.order_by().values_list("pk", "task_count", "done_count"))
    behind = Assignment.objects.filter(
        person=person,
        queue__in=[pk for pk, _, _ in figures],
        state__in=[Assignment.State.DONE, Assignment.State.SKIPPED],
    )
    mine = dict(behind.order_by().values_list("queue").annotate(n=Count("pk")))
    return sum(max(0, min(total - done, total - mine.get(pk, 0))) for pk, total, done in figures)


def is_awaited(queue: Queue) -> bool:
    """Whether the run of the queue's iteration has not passed its review stage."""
    ahead = (Stage.Status.PENDING, Stage.Status.WAITING, Stage.Status.STOPPED)
    return Stage.objects.filter(iteration=queue.iteration_id, kind=REVIEW.kind, status__in=ahead).exists()


def is_stale(queue: Queue) -> bool:
    """Whether decisions after the freeze made the snapshot of the queue's iteration stale."""
    frozen = DatasetSnapshot.objects.filter(iteration=queue.iteration_id, kind=DatasetSnapshot.Kind.PREFERENCE)
    return bool(queue.iteration_id) and frozen.exclude(stale_reason="").exists()


def source_of(queue: Queue) -> str:
    """Description of the source of a queue's items."""
    if queue.iteration:
        return f"{queue.iteration.run.name}, iteration {queue.iteration.number}"
    if queue.evaluation:
        return f"{queue.evaluation.checkpoint.name} against the previous checkpoint"
    return queue.dataset.name if queue.dataset else ""


def as_json(queue: Queue) -> dict[str, Any]:
    """The API representation of a queue."""
    return {
        "id": queue.pk,
        "name": queue.name,
        "kind": queue.kind,
        "source": source_of(queue),
        "is_open": queue.is_open,
        "blind": queue.blind,
        "half_points": queue.half_points,
        "with_scores": queue.with_scores,
        "overlap": queue.overlap,
        "lease_seconds": queue.lease_seconds,
        "deadline": queue.deadline.isoformat() if queue.deadline else None,
        "done": queue.done_count,
        "total": queue.task_count,
    }
