"""Content of the desk and its API: an item in shown order, the judge if it is visible, and progress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from alignment_app.models import Iteration, Judgement, PreferencePair, Response
from labeling.models import Assignment, Queue, Review
from labeling.pages.markdown import safe_html
from labeling.selectors import pairing

#: A longer pause between two answers does not count as working time (seconds).
MAX_PAUSE_SECONDS = 300


def shown(assignment: Assignment) -> list[Response]:
    """The item's responses from left to right, as this person sees them."""
    task = assignment.task
    sides = [task.first, task.second] if task.second else [task.first]
    return sides[::-1] if assignment.swapped else sides


def judge_visible(assignment: Assignment) -> bool:
    """Whether the person may see the judge; in a blind queue, only after their first answer."""
    if assignment.queue.kind == Queue.Kind.COMPARISON:
        return False
    return not assignment.queue.blind or assignment.prefilled or assignment.first_answer is not None


def item(assignment: Assignment) -> dict[str, Any]:
    """The API representation of an item. It does not reveal whether the item is gold."""
    task, queue = assignment.task, assignment.queue
    visible = judge_visible(assignment)
    return {
        "id": task.pk,
        "queue": queue.pk,
        "kind": queue.kind,
        "lease_expires": assignment.lease_expires_at.isoformat(),
        "lease_seconds": queue.lease_seconds,
        "prompt": {
            "text": task.prompt.text,
            "html": safe_html(task.prompt.text),
            "earlier": [
                {"role": turn["role"].capitalize(), "html": safe_html(turn["content"])} for turn in task.prompt.earlier
            ],
            "earlier_is_long": task.prompt.earlier_is_long,
        },
        "items": [
            {"id": response.pk, "text": response.text, "html": safe_html(response.text)}
            for response in shown(assignment)
        ],
        "half_points": queue.half_points,
        "blind": queue.blind and not assignment.prefilled,
        "draft": assignment.draft,
        "draft_saved_at": assignment.draft_saved_at.isoformat() if assignment.draft_saved_at else None,
        "first_answer": assignment.first_answer,
        "judge": judge(assignment) if visible else None,
    }


def judge(assignment: Assignment) -> dict[str, Any]:
    """The judge's scores, samples and rationale per response, and the pair made from them."""
    task, queue = assignment.task, assignment.queue
    iteration = _iteration(assignment)
    responses = shown(assignment)
    found = pairing.judgements_of([response.pk for response in responses], iteration)
    return {
        "responses": [
            {"id": response.pk, "judgements": [_judgement(judgement) for judgement in found[response.pk]]}
            for response in responses
        ],
        "chosen": task.first_id if queue.kind == Queue.Kind.PAIR else None,
        # People may have changed the pair before the queue was made.
        "chosen_by": "people" if task.original.get("state") == PreferencePair.State.OVERRIDDEN else "judge",
        "margin": task.original.get("margin") if queue.kind == Queue.Kind.PAIR else None,
    }


def _iteration(assignment: Assignment) -> Iteration | None:
    pair = assignment.task.pair
    return pair.iteration if pair else assignment.queue.iteration


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "source": judgement.source,
        "judge": judgement.judge.label,
        "score": judgement.score,
        "spread": judgement.spread,
        "samples": [sample.get("score") for sample in judgement.samples],
        "rationale": judgement.rationale,
    }


def progress(queue: Queue, person: User) -> dict[str, Any]:
    """Progress of the queue, and the person's work in it today.

    ``seconds_today``: working time. ``streak``: newest answers without a pause of more than
    :data:`MAX_PAUSE_SECONDS`.
    """
    counts = Queue.objects.values_list("done_count", "task_count").get(pk=queue.pk)
    since = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    today = Review.objects.filter(
        queue=queue, person=person, created_at__gte=since, created_at__lt=since + timedelta(days=1), in_force=True
    ).exclude(decision=Review.Decision.SKIP)
    rows = list(today.order_by("created_at").values_list("created_at", "seconds"))
    seconds = [min(value or 0.0, MAX_PAUSE_SECONDS) for _, value in rows]
    return {
        "done": counts[0],
        "total": counts[1],
        "today": len(rows),
        "seconds_today": round(sum(seconds)),
        "streak": _streak([at for at, _ in rows], timezone.now()),
    }


def _streak(times: Sequence[datetime], now: datetime) -> int:
    """Number of newest answers without a pause of more than :data:`MAX_PAUSE_SECONDS`, up to now."""
    streak, after = 0, now
    for at in reversed(times):
        if (after - at).total_seconds() > MAX_PAUSE_SECONDS:
            break
        streak, after = streak + 1, at
    return streak
