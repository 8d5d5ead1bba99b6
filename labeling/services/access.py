"""Permissions on labeling queues."""

from __future__ import annotations

from alignment_app.services import people
from alignment_app.services.errors import Refused
from alignment_app.services.people import AnyUser
from labeling.models import Queue


def can_annotate(user: AnyUser) -> bool:
    """Whether the user's role may answer items."""
    return people.role_of(user) in ("admin", "lead", "annotator")


def can_lead(user: AnyUser) -> bool:
    """Whether the user's role may make queues, write guidelines, see all answers, adjudicate and start training."""
    return people.role_of(user) in ("admin", "lead")


def can_work_in(user: AnyUser, queue: Queue) -> bool:
    """Whether the user may answer items of this queue.

    Leads may in every queue, annotators in queues that name them or name nobody.
    """
    if can_lead(user):
        return True
    if not can_annotate(user):
        return False
    named = queue.people.all()
    return not named or any(person.pk == user.pk for person in named)


def require_queue_access(user: AnyUser, queue: Queue) -> None:
    """Raises :class:`Refused` (403) if the user may not answer items of this queue."""
    if not can_work_in(user, queue):
        raise Refused("not-your-queue", "You are not on this queue. Ask a lead to put you on it.", status=403)


def require_lead(user: AnyUser) -> None:
    """Raises :class:`Refused` (403) if the user may not lead queues."""
    if not can_lead(user):
        raise Refused("not-allowed", "Only a lead does this. Ask one.", status=403)
