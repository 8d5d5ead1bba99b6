"""Gates: when a run that waits for review may train."""

from __future__ import annotations

import math

from alignment_app.models import Iteration, Stage
from alignment_app.services import runs
from alignment_app.services.errors import Refused
from labeling.models import Queue
from training.plan import REVIEW


def needed(queue: Queue) -> int | None:
    """Number of items to review before the run trains; ``None`` if a lead decides."""
    if queue.gate == Queue.Gate.LEAD:
        return None
    if queue.gate == Queue.Gate.COUNT:
        return min(queue.gate_count, queue.task_count)
    return math.ceil(round(queue.gate_share * queue.task_count, 6))


def is_met(queue: Queue) -> bool:
    """Whether enough items are reviewed. A gate that waits for a lead is never met by a count."""
    wanted = needed(queue)
    return wanted is not None and queue.done_count >= wanted


def waited_for(queue: Queue) -> list[Queue]:
    """The other queues whose gates block the run of this queue."""
    if not queue.iteration_id:
        return []
    others = Queue.objects.filter(iteration=queue.iteration_id).exclude(pk=queue.pk).order_by("pk")
    return [each for each in others if each.changes_pairs and not is_met(each)]


def open_if_due(queue: Queue) -> bool:
    """Approve the review of the queue's iteration if every gate is met. Returns whether this call approved it.

    Held-out and comparison queues have no gate.
    """
    if not queue.iteration_id or not queue.changes_pairs or queue.gate == Queue.Gate.LEAD:
        return False
    waiting = Stage.objects.filter(iteration=queue.iteration_id, kind=REVIEW.kind, status=Stage.Status.WAITING).exists()
    if not waiting:
        return False
    gates = [each for each in Queue.objects.filter(iteration=queue.iteration_id) if each.changes_pairs]
    if not all(is_met(each) for each in gates):
        return False
    iteration = Iteration.objects.select_related("run").get(pk=queue.iteration_id)
    try:
        runs.approve_review(iteration, user=f"the gate of {queue.name}")
    except Refused:
        return False  # a concurrent answer has approved it
    return True
