"""Leases of items. A slot is taken by a conditional update, so that two people never get the same one.

An item has one slot per person who should answer it. :mod:`labeling.services.reviews` has the rule for late answers.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Value, When
from django.utils import timezone

from alignment_app.services.errors import Refused
from labeling.models import Assignment, Queue, Task
from labeling.services.access import require_queue_access
from training.domain.seeds import derive_seed

#: Leases per person and queue: the item on the screen and the prefetched one.
MAX_LEASES = 2


@transaction.atomic
def next_task(queue: Queue, person: User, *, beside: int | None = None) -> Assignment | None:
    """Lease the next item to a person, or return the one they hold already; ``None`` if no item is left.

    ``beside``: id of the item on the person's screen, if the next one is prefetched. Raises :class:`Refused` if the
    queue is closed, its deadline has passed, or the person may not work in it.
    """
    require_queue_access(person, queue)
    _check_open(queue)
    now = timezone.now()
    return_expired(queue, now)
    held = list(
        Assignment.objects.filter(person=person, queue=queue, state=Assignment.State.LEASED).order_by("leased_at", "id")
    )
    for assignment in held:
        if assignment.task_id != beside:
            _renew([assignment], queue, now)
            return _loaded(assignment, queue)
    if len(held) >= MAX_LEASES:
        return None
    return _take(queue, person, now, shown=beside is None)


def _check_open(queue: Queue) -> None:
    if not queue.is_open:
        raise Refused("queue-closed", f"The queue {queue.name} is closed. Ask a lead to open it again.")
    if queue.deadline and queue.deadline <= timezone.now():
        raise Refused("deadline-passed", f"The deadline of {queue.name} has passed. Ask a lead to move it.")


def _take(queue: Queue, person: User, now: datetime, *, shown: bool) -> Assignment | None:
    mine = Assignment.objects.filter(task=OuterRef("pk"), person=person).exclude(state=Assignment.State.RETURNED)
    wanted = Task.objects.filter(queue=queue, state=Task.State.OPEN).exclude(Exists(mine)).order_by("rank")
    if connection.features.has_select_for_update_skip_locked:
        # Concurrent requests skip the row that this one is about to take instead of waiting for it.
        wanted = wanted.select_for_update(skip_locked=True, of=("self",))
    for part in _search_order(wanted, queue, person):
        while (task_id := part.values_list("pk", flat=True).first()) is not None:
            if take_slot(task_id):
                return _lease(task_id, queue, person, now, shown=shown)
    return None


def _search_order(wanted: QuerySet[Task], queue: Queue, person: User) -> list[QuerySet[Task]]:
    """Querysets to search for a free item, in order.

    If several people answer each item, the items that this person has answered come first by rank. The search begins
    after their newest one and covers all items, including returned ones, only then.
    """
    if queue.overlap == 1:
        return [wanted]
    newest = Assignment.objects.filter(queue=queue, person=person).order_by("-pk").values_list("task__rank", flat=True)
    rank = newest.first()
    return [wanted] if rank is None else [wanted.filter(rank__gt=rank), wanted]


def take_slot(task_id: int) -> bool:
    """Take one free slot of an item. Returns false if none is free."""
    taken = Task.objects.filter(pk=task_id, free__gt=0).update(
        free=F("free") - 1, state=Case(When(free=1, then=Value(Task.State.HELD)), default=Value(Task.State.OPEN))
    )
    return taken == 1


def free_slot(task_id: int) -> None:
    """Make one slot of the item free again."""
    Task.objects.filter(pk=task_id).update(free=F("free") + 1, state=Task.State.OPEN)


def _lease(task_id: int, queue: Queue, person: User, now: datetime, *, shown: bool = False) -> Assignment:
    """Create or renew the person's assignment on an item whose slot they have taken.

    ``shown``: whether they see the item now, not prefetched.
    """
    expires = now + timedelta(seconds=queue.lease_seconds)
    # If they held it before, sides and draft stay, so that the item looks the same.
    assignment = Assignment.objects.filter(task=task_id, person=person).order_by().first()
    if assignment is None:
        rng = random.Random(derive_seed(queue.seed, "desk", task_id, person.pk))
        swapped, prefilled = rng.random() < 0.5, rng.random() < queue.prefill_share
        assignment = Assignment(
            task_id=task_id,
            person=person,
            queue=queue,
            swapped=swapped and queue.kind != Queue.Kind.SCORE,
            prefilled=prefilled,
        )
    assignment.state, assignment.leased_at, assignment.lease_expires_at = Assignment.State.LEASED, now, expires
    if shown and assignment.shown_at is None:
        assignment.shown_at = now
    assignment.save()
    return _loaded(assignment, queue)


def _loaded(assignment: Assignment, queue: Queue) -> Assignment:
    """The assignment with its item, prompt and responses loaded."""
    assignment.queue = queue
    assignment.task = Task.objects.select_related("prompt", "first", "second").get(pk=assignment.task_id)
    return assignment


def _renew(assignments: list[Assignment], queue: Queue, now: datetime) -> None:
    expires = now + timedelta(seconds=queue.lease_seconds)
    for assignment in assignments:
        assignment.lease_expires_at = expires
    Assignment.objects.filter(pk__in=[assignment.pk for assignment in assignments]).update(lease_expires_at=expires)


def return_expired(queue: Queue, now: datetime | None = None) -> int:
    """Return items whose lease has expired to the queue and keep their drafts. Returns the number of items."""
    now = now or timezone.now()
    returned = 0
    expired = Assignment.objects.filter(queue=queue, state=Assignment.State.LEASED, lease_expires_at__lte=now)
    for pk, task_id in expired.order_by().values_list("pk", "task_id"):
        returned += _end_lease(pk, task_id, Assignment.State.RETURNED, lease_expires_at__lte=now)
    return returned


def _end_lease(pk: int, task_id: int, state: str, **still: Any) -> int:
    """End a lease and free its slot. Returns 0 if it has ended already."""
    ended = Assignment.objects.filter(pk=pk, state=Assignment.State.LEASED, **still).update(state=state)
    if ended:
        free_slot(task_id)
    return ended


@transaction.atomic
def release(assignment: Assignment) -> None:
    """Return an item to the queue. Anyone may take it, this person included. A second call has no effect."""
    _end_lease(assignment.pk, assignment.task_id, Assignment.State.RETURNED)


@transaction.atomic
def renew(queue: Queue, person: User) -> datetime | None:
    """Renew the person's leases in this queue. Returns their new expiry, ``None`` if the person has no lease."""
    now = timezone.now()
    expires = now + timedelta(seconds=queue.lease_seconds)
    renewed = Assignment.objects.filter(
        queue=queue, person=person, state=Assignment.State.LEASED, lease_expires_at__gt=now
    ).update(lease_expires_at=expires)
    return expires if renewed else None


@transaction.atomic
def save_draft(assignment: Assignment, draft: dict[str, Any] | None) -> datetime:
    """Save a draft, and renew the lease if it has not expired. Returns the time of saving."""
    now = timezone.now()
    Assignment.objects.filter(pk=assignment.pk).update(draft=draft, draft_saved_at=now)
    Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.LEASED, lease_expires_at__gt=now).update(
        lease_expires_at=now + timedelta(seconds=assignment.queue.lease_seconds)
    )
    return now


def mark_shown(assignment: Assignment) -> None:
    """Record when the person first saw the item; their time on it begins. A second call has no effect."""
    now = timezone.now()
    if assignment.shown_at is None:
        Assignment.objects.filter(pk=assignment.pk, shown_at__isnull=True).update(shown_at=now)
        assignment.shown_at = now


def reveal(assignment: Assignment, answer: dict[str, Any]) -> None:
    """Store the person's first answer before the judge is shown to them. A second call has no effect."""
    if assignment.first_answer is None:
        Assignment.objects.filter(pk=assignment.pk, first_answer__isnull=True).update(first_answer=answer)
        assignment.first_answer = answer
