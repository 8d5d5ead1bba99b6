"""Items of a new queue from the pairs, responses or comparisons of its source, with the impact of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from django.db.models import Case, Value, When

from alignment_app.models import Dataset, Evaluation, Iteration, Judgement, PreferencePair, Response
from alignment_app.selectors.scores import by_judge, rule_of
from alignment_app.services.errors import Refused
from labeling.models import Queue, Task
from labeling.selectors import pairing
from labeling.services.effects import original_fields
from training.domain.impact import JudgedResponse, estimate_variances, pair_impact, score_impact

BATCH: Final = 1000
#: The trust in two judges is estimated from at most this many prompts.
TRUST_PROMPTS: Final = 5000

Row = TypeVar("Row")
Groups = dict[int, dict[int, JudgedResponse]]


@dataclass(slots=True)
class ItemDraft:
    """An item before it is stored. ``root_id``: the original pair that ``pair_id`` replaced, if any."""

    prompt_id: int
    first_id: int
    second_id: int | None = None
    pair_id: int | None = None
    root_id: int | None = None
    impact: float = 0.0


def items_of(
    kind: str, iteration: Iteration | None, evaluation: Evaluation | None, dataset: Dataset | None
) -> list[ItemDraft]:
    """All items of a kind in a source, by arrival. Raises :class:`Refused` if the source does not fit the kind."""
    if kind == Queue.Kind.COMPARISON:
        if evaluation is None:
            raise Refused("no-source", "A comparison queue is made of a checkpoint's evaluation.", status=400)
        rows = evaluation.comparisons.order_by("pk").values_list("prompt_id", "response_id", "against_id")
        return [ItemDraft(*row) for row in rows]
    if iteration is None and dataset is None:
        raise Refused("no-source", "Choose an iteration or a data set.", status=400)
    if kind == Queue.Kind.PAIR:
        return _pair_items(iteration, dataset)
    return _score_items(iteration, dataset)


def tasks(queue: Queue, items: Sequence[ItemDraft]) -> Iterator[list[Task]]:
    """Yield the items as unsaved tasks in this order, in batches."""
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        pairs = PreferencePair.objects.in_bulk([item.pair_id for item in part if item.pair_id])
        yield [
            Task(
                queue=queue,
                free=queue.overlap,
                rank=start + place,
                prompt_id=item.prompt_id,
                first_id=item.first_id,
                second_id=item.second_id,
                pair_id=item.root_id or item.pair_id,
                original=original_fields(pairs[item.pair_id]) if item.pair_id else {},
                impact=item.impact,
            )
            for place, item in enumerate(part)
        ]


def _pair_items(iteration: Iteration | None, dataset: Dataset | None) -> list[ItemDraft]:
    pairs = PreferencePair.objects.filter(state__in=PreferencePair.TRAINABLE)
    if iteration:
        pairs = pairs.filter(iteration=iteration)
    else:
        pairs = pairs.filter(iteration__isnull=True, prompt__dataset=dataset)
    fields = ("prompt_id", "chosen_id", "rejected_id", "pk", "stands_for_id", "chosen_score", "rejected_score")
    rows = pairs.order_by("prompt__position", "pk").values_list(*fields)
    judges = _JudgeScores(
        iteration, pairs.order_by("prompt__position").values_list("prompt_id", flat=True)[:TRUST_PROMPTS]
    )
    items = []
    for part in _batches(rows.iterator(chunk_size=BATCH)):
        groups = judges.groups({row[0] for row in part})
        for prompt_id, chosen, rejected, pk, root, *scores in part:
            group = groups.get(prompt_id, {})
            high = group.get(chosen) or JudgedResponse(scores[0])
            low = group.get(rejected) or JudgedResponse(scores[1])
            others = [row for side, row in group.items() if side not in (chosen, rejected)]
            items.append(
                ItemDraft(prompt_id, chosen, rejected, pk, root, pair_impact(high, low, others, judges.variances))
            )
    return items


def _score_items(iteration: Iteration | None, dataset: Dataset | None) -> list[ItemDraft]:
    if iteration:
        responses = pairing.candidates_of(iteration, pairing.pairing_rule(iteration))
    else:
        responses = Response.objects.filter(prompt__dataset=dataset, iteration__isnull=True)
    rows = responses.order_by("prompt__position", "prompt_id", "index").values_list("prompt_id", "pk")
    prompts = responses.order_by("prompt__position").values_list("prompt_id", flat=True).distinct()
    judges = _JudgeScores(iteration, prompts[:TRUST_PROMPTS])
    items = []
    for part in _batches(rows.iterator(chunk_size=BATCH)):
        groups = judges.groups({prompt_id for prompt_id, _ in part})
        for prompt_id, pk in part:
            group = groups.get(prompt_id, {})
            impact = score_impact(group[pk], list(group.values()), judges.variances) if pk in group else 1.0
            items.append(ItemDraft(prompt_id, pk, impact=impact))
    return items


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while part := list(islice(iterator, BATCH)):
        yield part


class _JudgeScores:
    """Scores of the judge in force and of a second judge on a queue's responses, and the trust in each."""

    def __init__(self, iteration: Iteration | None, some_prompts: Iterable[int]) -> None:
        self._counts = by_judge(rule_of(iteration)) if iteration else None
        self.variances = estimate_variances(
            list(group.values()) for part in _batches(some_prompts) for group in self.groups(set(part)).values()
        )

    def groups(self, prompt_ids: set[int]) -> Groups:
        """By prompt id and response id: score and spread of the judge in force, and a second judge's score."""
        judgements = Judgement.objects.filter(response__prompt__in=prompt_ids).exclude(
            source__in=[Judgement.Source.HUMAN, Judgement.Source.REFERENCE]
        )
        counts = Value(True) if self._counts is None else Case(When(self._counts, then=True), default=False)
        fields = ("response__prompt_id", "response_id", "counts", "score", "spread")
        first_judge: dict[int, tuple[int, float | None, float | None]] = {}
        second_judge: dict[int, float | None] = {}
        rows = judgements.annotate(counts=counts).order_by("pk").values_list(*fields)
        for prompt_id, pk, in_force, score, spread in rows:
            if in_force:
                first_judge[pk] = (prompt_id, score, spread)
            else:
                second_judge[pk] = score
        grouped: Groups = defaultdict(dict)
        for pk, (prompt_id, score, spread) in first_judge.items():
            grouped[prompt_id][pk] = JudgedResponse(score, spread, second_judge.get(pk))
        return grouped
