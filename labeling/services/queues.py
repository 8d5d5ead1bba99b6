"""Create queues, and change what may change in them: people, guidelines, gold items, open or closed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from alignment_app.models import Dataset, Evaluation, Iteration
from alignment_app.services.errors import Refused
from labeling.models import GuidelineVersion, Queue, Task
from labeling.services import gates, queue_items
from labeling.services.access import require_lead
from training.domain.seeds import derive_seed

GUIDELINES = {
    Queue.Kind.PAIR: (
        "Which response would you rather have had? Correct first, then complete, then clear. Length does not count.\n\n"
        "- **Tie** where you would not mind either.\n- **Both bad** where neither should teach a model anything.\n"
        "- **Edit** where the better one is nearly right.\n- **Flag** what a lead must see."
    ),
    Queue.Kind.SCORE: (
        "Score from 0 to 5, a point each:\n\n1. It is on the subject.\n2. It answers a good part of the question.\n"
        "3. It answers the question in a useful way.\n4. It is direct, complete and well ordered.\n"
        "5. Nothing could be better.\n\nSay in a sentence what decided."
    ),
    Queue.Kind.COMPARISON: (
        "Two models answered. Which answer is better? **Tie** where you cannot say, **both bad** where neither helps."
    ),
}


@dataclass(frozen=True, slots=True)
class NewQueue:
    """Settings of a new queue. The fields are those of :class:`labeling.models.Queue`."""

    name: str
    kind: str
    order: str = Queue.Order.IMPACT
    overlap: int = 1
    seed: int = 1
    lease_seconds: int = 600
    half_points: bool = False
    with_scores: bool = False
    blind: bool = True
    prefill_share: float = 0.0
    held_out: bool = False
    gate: str = Queue.Gate.LEAD
    gate_count: int = 0
    gate_share: float = 1.0
    min_seconds: float = 2.0
    deadline: datetime | None = None
    people: Sequence[int] = field(default_factory=tuple)
    guidelines: str = ""
    limit: int | None = None


def make_queue(
    new: NewQueue,
    *,
    by: User,
    iteration: Iteration | None = None,
    evaluation: Evaluation | None = None,
    dataset: Dataset | None = None,
) -> Queue:
    """Create a queue with one item per pair, response or comparison of its source.

    Raises :class:`Refused` for invalid or contradictory settings and for a source without items.
    """
    require_lead(by)
    _check(new)
    items = queue_items.items_of(new.kind, iteration, evaluation, dataset)
    if not items:
        raise Refused("nothing-to-review", "The source has no items of this kind. Choose another source.")
    if new.order == Queue.Order.RANDOM:
        random.Random(derive_seed(new.seed, "queue order")).shuffle(items)
    elif new.order == Queue.Order.IMPACT:
        items.sort(key=lambda item: -item.impact)
    items = items[: new.limit]
    queue = _closed_queue(new, by, iteration=iteration, evaluation=evaluation, dataset=dataset)
    try:
        # In batches, so that a large queue does not block other writers.
        for tasks in queue_items.tasks(queue, items):
            Task.objects.bulk_create(tasks)
    except BaseException:
        queue.delete()
        raise
    queue.task_count, queue.is_open = len(items), True
    queue.save(update_fields=["task_count", "is_open"])
    gates.open_if_due(queue)
    return queue


@transaction.atomic
def _closed_queue(new: NewQueue, by: User, **source: Any) -> Queue:
    """Create the queue with its settings, people and guidelines, closed until all items are stored."""
    fields = {name: getattr(new, name) for name in NewQueue.__slots__ if name not in ("people", "guidelines", "limit")}
    queue = Queue.objects.create(**fields, **source, created_by=by, is_open=False)
    queue.people.set(new.people)
    write_guidelines(queue, new.guidelines or GUIDELINES[Queue.Kind(new.kind)], by=by)
    return queue


def _check(new: NewQueue) -> None:
    problems = [
        (not new.name.strip(), "Give the queue a name."),
        (new.kind not in Queue.Kind.values, "Choose a kind: score, pair or comparison."),
        (new.order not in Queue.Order.values, "Choose an order: arrival, random or impact."),
        (new.gate not in Queue.Gate.values, "Choose a gate: lead, count or share."),
        (not 1 <= new.overlap <= 9, "Choose 1 to 9 people per item."),
        (not 30 <= new.lease_seconds <= 86_400, "Choose a lease of 30 to 86,400 seconds."),
        (not 0 <= new.prefill_share <= 1, "Choose a prefilled share from 0 to 1."),
        (not 0 <= new.gate_share <= 1, "Choose a gate share from 0 to 1."),
        (new.with_scores and new.kind != Queue.Kind.PAIR, "Only a pair queue can ask for scores with the decision."),
    ]
    for wrong, sentence in problems:
        if wrong:
            raise Refused("bad-queue", sentence, status=400)


@transaction.atomic
def set_gold(task: Task, expected: dict[str, Any] | None, *, by: User) -> None:
    """Make an item gold with its right answer, or ordinary again with ``None``. Annotators cannot see it.

    A gold item measures people and changes no pair or score. Raises :class:`Refused` if it has been answered.
    """
    require_lead(by)
    if task.answers:
        raise Refused("answered", "This item has answers. Make another one gold.")
    if expected is not None and not ({"score", "decision"} & set(expected)):
        raise Refused("bad-gold", "A gold item needs its right answer: a score or a decision.", status=400)
    task.expected = expected
    task.save(update_fields=["expected"])


@transaction.atomic
def write_guidelines(queue: Queue, text: str, *, by: User) -> GuidelineVersion:
    """Store a new version of the queue's guidelines, unless the text is unchanged."""
    require_lead(by)
    newest = queue.guidelines.first()
    if newest and newest.text == text:
        return newest
    return GuidelineVersion.objects.create(
        queue=queue, number=newest.number + 1 if newest else 1, text=text, created_by=by
    )


@transaction.atomic
def set_open(queue: Queue, is_open: bool, *, by: User) -> None:
    """Open or close a queue. Answers to leased items are still accepted."""
    require_lead(by)
    Queue.objects.filter(pk=queue.pk).update(is_open=is_open)


@transaction.atomic
def set_people(queue: Queue, people: Sequence[int], *, by: User) -> None:
    """Set who may work in the queue; nobody: every annotator."""
    require_lead(by)
    queue.people.set(people)
