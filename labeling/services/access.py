"""Who may work in a queue, and who may lead one."""

from __future__ import annotations

from alignment_app.services import people
from alignment_app.services.errors import Refused
from alignment_app.services.people import AnyUser
from labeling.models import Queue


def can_annotate(user: AnyUser) -> bool:
    """Work through queues at all."""
    return people.role_of(user) in ("admin", "lead", "annotator")


def can_lead(user: AnyUser) -> bool:
    """Make queues, write guidelines, see everybody's answers, adjudicate, let a run train."""
    return people.role_of(user) in ("admin", "lead")


def may_work(user: AnyUser, queue: Queue) -> bool:
    """Leads work in every queue; annotators in those that name them, or name nobody."""
    if can_lead(user):
        return True
    if not can_annotate(user):
        return False
    named = queue.people.all()
    return not named or any(person.pk == user.pk for person in named)


def require_worker(user: AnyUser, queue: Queue) -> None:
    """Raises :class:`Refused` (403) for somebody who may not work in this queue."""
    if not may_work(user, queue):
        raise Refused("not-your-queue", "You are not on this queue. Ask a lead to put you on it.", status=403)


def require_lead(user: AnyUser) -> None:
    """Raises :class:`Refused` (403) for somebody who leads no queues."""
    if not can_lead(user):
        raise Refused("not-allowed", "Only a lead does this. Ask one.", status=403)
