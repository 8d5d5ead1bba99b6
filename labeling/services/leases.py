"""Who has which item: taken by a conditional update, so that two people never get the same place.

The rule for a late save is in :mod:`labeling.services.reviews`.
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
from labeling.services.access import require_worker
from training.domain.seeds import derive_seed

#: A person may hold the item at hand and the one loaded ahead.
MOST_HELD = 2


@transaction.atomic
def next_task(queue: Queue, person: User, *, beside: int | None = None) -> Assignment | None:
    """The item that this person works at now, or the next one for them; ``None`` where none is left.

    ``beside`` names the task at hand when the next one is loaded ahead. An item that the person holds already comes
    first, so a reload shows the same one. Raises :class:`Refused` for a queue that gives out nothing.
    """
    require_worker(person, queue)
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
    if len(held) >= MOST_HELD:
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
        # Others who ask at the same moment pass over the row that we are about to take instead of waiting for it.
        wanted = wanted.select_for_update(skip_locked=True, of=("self",))
    for part in _parts(wanted, queue, person):
        while (task_id := part.values_list("pk", flat=True).first()) is not None:
            if take_place(task_id):
                return _lease(task_id, queue, person, now, shown=shown)
    return None


def _parts(wanted: QuerySet[Task], queue: Queue, person: User) -> list[QuerySet[Task]]:
    """Where to look, one after the other.

    Where several people answer each item, a person's own answers stand before the items that they have not seen: the
    search goes on from their newest one, and over all of them only at the end, for items that came back meanwhile.
    """
    if queue.overlap == 1:
        return [wanted]
    newest = Assignment.objects.filter(queue=queue, person=person).order_by("-pk").values_list("task__rank", flat=True)
    rank = newest.first()
    return [wanted] if rank is None else [wanted.filter(rank__gt=rank), wanted]


def take_place(task_id: int) -> bool:
    """Take one free place of an item; false where somebody else was first."""
    taken = Task.objects.filter(pk=task_id, free__gt=0).update(
        free=F("free") - 1, state=Case(When(free=1, then=Value(Task.State.HELD)), default=Value(Task.State.OPEN))
    )
    return taken == 1


def give_back_place(task_id: int) -> None:
    """One more person may take the item."""
    Task.objects.filter(pk=task_id).update(free=F("free") + 1, state=Task.State.OPEN)


def _lease(task_id: int, queue: Queue, person: User, now: datetime, *, shown: bool = False) -> Assignment:
    """The person's assignment on an item of which they have taken a place; ``shown``: they see it at once."""
    expires = now + timedelta(seconds=queue.lease_seconds)
    # It may have been theirs before and returned: sides and draft stay as they were, so it looks the same again.
    assignment = Assignment.objects.filter(task=task_id, person=person).order_by().first()
    if assignment is None:
        drawn = random.Random(derive_seed(queue.seed, "desk", task_id, person.pk))
        swapped, prefilled = drawn.random() < 0.5, drawn.random() < queue.prefill_share
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
    """The assignment with what the desk shows of its item."""
    assignment.queue = queue
    assignment.task = Task.objects.select_related("prompt", "first", "second").get(pk=assignment.task_id)
    return assignment


def _renew(assignments: list[Assignment], queue: Queue, now: datetime) -> None:
    expires = now + timedelta(seconds=queue.lease_seconds)
    for assignment in assignments:
        assignment.lease_expires_at = expires
    Assignment.objects.filter(pk__in=[assignment.pk for assignment in assignments]).update(lease_expires_at=expires)


def return_expired(queue: Queue, now: datetime | None = None) -> int:
    """Put items back whose lease has run out. Their drafts stay. Returns how many."""
    now = now or timezone.now()
    returned = 0
    expired = Assignment.objects.filter(queue=queue, state=Assignment.State.LEASED, lease_expires_at__lte=now)
    for pk, task_id in expired.order_by().values_list("pk", "task_id"):
        returned += _return(pk, task_id, Assignment.State.RETURNED, lease_expires_at__lte=now)
    return returned


def _return(pk: int, task_id: int, state: str, **still: Any) -> int:
    """End a lease once; whoever comes second changes nothing."""
    ended = Assignment.objects.filter(pk=pk, state=Assignment.State.LEASED, **still).update(state=state)
    if ended:
        give_back_place(task_id)
    return ended


@transaction.atomic
def release(assignment: Assignment) -> None:
    """Put an item back for anybody, this person included. Putting it back twice changes nothing."""
    _return(assignment.pk, assignment.task_id, Assignment.State.RETURNED)


@transaction.atomic
def renew(queue: Queue, person: User) -> datetime | None:
    """Prolong everything that the person holds in this queue. Returns the new end; ``None``: they hold nothing."""
    now = timezone.now()
    expires = now + timedelta(seconds=queue.lease_seconds)
    renewed = Assignment.objects.filter(
        queue=queue, person=person, state=Assignment.State.LEASED, lease_expires_at__gt=now
    ).update(lease_expires_at=expires)
    return expires if renewed else None


@transaction.atomic
def save_draft(assignment: Assignment, draft: dict[str, Any] | None) -> datetime:
    """Keep what the person has typed so far, and prolong the lease where it still holds. A draft is kept either way."""
    now = timezone.now()
    Assignment.objects.filter(pk=assignment.pk).update(draft=draft, draft_saved_at=now)
    Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.LEASED, lease_expires_at__gt=now).update(
        lease_expires_at=now + timedelta(seconds=assignment.queue.lease_seconds)
    )
    return now


def mark_shown(assignment: Assignment) -> None:
    """The person sees the item: their time at it begins. Seeing it again changes nothing."""
    now = timezone.now()
    if assignment.shown_at is None:
        Assignment.objects.filter(pk=assignment.pk, shown_at__isnull=True).update(shown_at=now)
        assignment.shown_at = now


def reveal(assignment: Assignment, answer: dict[str, Any]) -> None:
    """Keep the person's first answer, once, before the judge is shown to them."""
    if assignment.first_answer is None:
        Assignment.objects.filter(pk=assignment.pk, first_answer__isnull=True).update(first_answer=answer)
        assignment.first_answer = answer
