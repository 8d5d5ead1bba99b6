"""Making queues of an iteration's pairs or responses, or of a comparison, and changing what may be changed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from alignment_app.models import Dataset, Evaluation, Iteration, Judgement, PreferencePair, Response
from alignment_app.services.errors import Refused
from labeling.models import GuidelineVersion, Queue, Task
from labeling.selectors import record
from labeling.services import gates
from labeling.services.access import require_lead
from labeling.services.settling import keep_original
from training.domain.impact import JudgedResponse, Trust, learn_trust, pair_impact, score_impact
from training.domain.seeds import derive_seed

BATCH = 1000

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
    """What a lead asks for. Fields as in :class:`labeling.models.Queue`."""

    name: str
    kind: str
    order: str = Queue.Order.IMPACT
    overlap: int = 1
    seed: int = 1
    lease_seconds: int = 600
    half_points: bool = False
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


@dataclass(slots=True)
class _Item:
    prompt_id: int
    first_id: int
    second_id: int | None = None
    pair: PreferencePair | None = None
    impact: float = 0.0


def make_queue(
    new: NewQueue,
    *,
    by: User,
    iteration: Iteration | None = None,
    evaluation: Evaluation | None = None,
    dataset: Dataset | None = None,
) -> Queue:
    """A queue with an item for each pair, response or comparison of its source, in its order.

    Raises :class:`Refused` for rules that contradict each other and for a source with nothing in it.
    """
    require_lead(by)
    _check(new)
    items = _items(new, iteration, evaluation, dataset)
    if not items:
        raise Refused("nothing-to-review", "There is nothing of that kind to review here. Choose another source.")
    if new.order == Queue.Order.RANDOM:
        random.Random(derive_seed(new.seed, "queue order")).shuffle(items)
    elif new.order == Queue.Order.IMPACT:
        items.sort(key=lambda item: -item.impact)
    # Built before the transaction: a large queue must not keep the database's one writer waiting.
    tasks = _tasks(items[: new.limit], new.overlap)
    fields = {name: getattr(new, name) for name in NewQueue.__slots__ if name not in ("people", "guidelines", "limit")}
    with transaction.atomic():
        queue = Queue.objects.create(
            **fields,
            iteration=iteration,
            evaluation=evaluation,
            dataset=dataset,
            created_by=by,
            task_count=len(tasks),
        )
        queue.people.set(new.people)
        write_guidelines(queue, new.guidelines or GUIDELINES[Queue.Kind(new.kind)], by=by)
        for task in tasks:
            task.queue = queue
        Task.objects.bulk_create(tasks, batch_size=BATCH)
    gates.open_if_due(queue)
    return queue


def _check(new: NewQueue) -> None:
    problems = [
        (not new.name.strip(), "Give the queue a name."),
        (new.kind not in Queue.Kind.values, "Choose a kind: score, pair or comparison."),
        (new.order not in Queue.Order.values, "Choose an order: arrival, random or impact."),
        (new.gate not in Queue.Gate.values, "Choose a gate: lead, count or share."),
        (not 1 <= new.overlap <= 9, "Between 1 and 9 people may answer an item."),
        (not 30 <= new.lease_seconds <= 86_400, "A lease lasts from 30 seconds to a day."),
        (not 0 <= new.prefill_share <= 1, "The prefilled share is a number from 0 to 1."),
        (not 0 <= new.gate_share <= 1, "The gate's share is a number from 0 to 1."),
    ]
    for wrong, sentence in problems:
        if wrong:
            raise Refused("bad-queue", sentence, status=400)


def _items(
    new: NewQueue, iteration: Iteration | None, evaluation: Evaluation | None, dataset: Dataset | None
) -> list[_Item]:
    if new.kind == Queue.Kind.COMPARISON:
        if evaluation is None:
            raise Refused("no-source", "A comparison queue is made of a checkpoint's evaluation.", status=400)
        rows = evaluation.comparisons.order_by("pk").values_list("prompt_id", "response_id", "against_id")
        return [_Item(*row) for row in rows]
    if iteration is None and dataset is None:
        raise Refused("no-source", "Choose an iteration or a data set.", status=400)
    if new.kind == Queue.Kind.PAIR:
        return _pair_items(iteration, dataset)
    return _score_items(iteration, dataset)


def _pair_items(iteration: Iteration | None, dataset: Dataset | None) -> list[_Item]:
    pairs = PreferencePair.objects.filter(state__in=PreferencePair.TRAINABLE)
    if iteration:
        pairs = pairs.filter(iteration=iteration)
    else:
        pairs = pairs.filter(iteration__isnull=True, prompt__dataset=dataset)
    found = list(pairs.order_by("prompt__position", "pk"))
    seen = _judged(iteration, {pair.prompt_id for pair in found})
    trust = learn_trust(list(group.values()) for group in seen.values())
    return [
        _Item(
            pair.prompt_id,
            pair.chosen_id,
            pair.rejected_id,
            pair,
            _impact_of_pair(pair, seen.get(pair.prompt_id, {}), trust),
        )
        for pair in found
    ]


def _impact_of_pair(pair: PreferencePair, group: dict[int, JudgedResponse], trust: Trust) -> float:
    chosen = group.get(pair.chosen_id) or JudgedResponse(pair.chosen_score)
    rejected = group.get(pair.rejected_id) or JudgedResponse(pair.rejected_score)
    others = [row for pk, row in group.items() if pk not in (pair.chosen_id, pair.rejected_id)]
    return pair_impact(chosen, rejected, others, trust)


def _score_items(iteration: Iteration | None, dataset: Dataset | None) -> list[_Item]:
    if iteration:
        responses = record.candidates_of(iteration, record.pairing_rule(iteration))
    else:
        responses = Response.objects.filter(prompt__dataset=dataset, iteration__isnull=True)
    found = list(responses.order_by("prompt__position", "prompt_id", "index").values_list("prompt_id", "pk"))
    seen = _judged(iteration, {prompt_id for prompt_id, _ in found})
    trust = learn_trust(list(group.values()) for group in seen.values())
    items = []
    for prompt_id, pk in found:
        group = seen.get(prompt_id, {})
        impact = score_impact(group[pk], list(group.values()), trust) if pk in group else 1.0
        items.append(_Item(prompt_id, pk, impact=impact))
    return items


def _judged(iteration: Iteration | None, prompt_ids: Iterable[int]) -> dict[int, dict[int, JudgedResponse]]:
    """By prompt and response: score and spread of the judge in force, and what another model judge says."""
    rule = record.pairing_rule(iteration) if iteration else None
    found = Judgement.objects.exclude(source__in=[Judgement.Source.HUMAN, Judgement.Source.REFERENCE])
    ids = list(prompt_ids)
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(ids), BATCH):
        part = found.filter(response__prompt__in=ids[start : start + BATCH])
        rows += part.order_by("pk").values_list(
            "response__prompt_id", "response_id", "source", "judge", "score", "spread"
        )
    force: dict[int, tuple[int, float | None, float | None]] = {}
    other: dict[int, float | None] = {}
    for prompt_id, pk, source, judge, score, spread in rows:
        if rule is None or (source == rule.source and (rule.judge is None or judge == rule.judge)):
            force[pk] = (prompt_id, score, spread)
        else:
            other[pk] = score
    grouped: dict[int, dict[int, JudgedResponse]] = {}
    for pk, (prompt_id, score, spread) in force.items():
        grouped.setdefault(prompt_id, {})[pk] = JudgedResponse(score, spread, other.get(pk))
    return grouped


def _tasks(items: Sequence[_Item], overlap: int) -> list[Task]:
    """The items as rows in this order, still without their queue."""
    return [
        Task(
            free=overlap,
            rank=rank,
            prompt_id=item.prompt_id,
            first_id=item.first_id,
            second_id=item.second_id,
            pair=item.pair,
            original=keep_original(item.pair) if item.pair else {},
            impact=item.impact,
        )
        for rank, item in enumerate(items)
    ]


@transaction.atomic
def set_gold(task: Task, expected: dict[str, Any] | None, *, by: User) -> None:
    """Make an item gold by its right answer, or an ordinary one again. Nobody who works in the queue can tell.

    A gold item measures people and changes nothing in the record. Raises :class:`Refused` once it has been answered.
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
    """A new version of the queue's guidelines; the same text again is no new version."""
    require_lead(by)
    newest = queue.guidelines.first()
    if newest and newest.text == text:
        return newest
    return GuidelineVersion.objects.create(
        queue=queue, number=newest.number + 1 if newest else 1, text=text, created_by=by
    )


@transaction.atomic
def set_open(queue: Queue, is_open: bool, *, by: User) -> None:
    """Close a queue, or open it again. Answers in progress are still taken."""
    require_lead(by)
    Queue.objects.filter(pk=queue.pk).update(is_open=is_open)


@transaction.atomic
def set_people(queue: Queue, people: Sequence[int], *, by: User) -> None:
    """Who may work in it; nobody named: every annotator."""
    require_lead(by)
    queue.people.set(people)
