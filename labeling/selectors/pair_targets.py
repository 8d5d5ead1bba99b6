"""The state that a pair should have, given every queue that asks about it, people's scores, and the judge's.

The result depends on the reviews in force, not on the order in which they were saved.
:mod:`labeling.services.effects` writes it to the database; :mod:`labeling.pages.preview` shows it before an answer is
saved. Precedence: a lead's adjudication, then the newest decision, then people's scores (if the run makes its pairs
from scores), then the original pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from django.db.models import Q

from alignment_app.models import Iteration, Judgement, PairMargin, PreferencePair, SnapshotItem
from labeling.models import Queue, Review, Task
from labeling.selectors import pairing
from labeling.selectors.resolutions import Resolution, resolve_item
from training.domain.overrides import PairChange, PairDecision, PairOutcome, change_between, decided_pair, scored_pair
from training.domain.rows import NoPair, PairDraft, PromptOutcome

STATES = PreferencePair.State
#: An item and its answer in force.
ItemResolution = tuple[Task, Resolution]


@dataclass(frozen=True, slots=True)
class PairTarget:
    """The outcome, state and reason that a pair should have in the database.

    ``item``: the item whose decision counts; ``None`` if scores or the original pair count. ``note``: a sentence on
    how that decision relates to those of other queues.
    """

    outcome: PairOutcome
    state: str
    reason: str
    item: Task | None = None
    note: str = ""


def original_pair(task: Task) -> PairDraft:
    """The pair that the item shows, as it was when its queue was made."""
    fields = {name: value for name, value in task.original.items() if name != "state"}
    return PairDraft(**fields)


def pair_rows(pair_id: int | None) -> list[PreferencePair]:
    """The original pair, followed by every row that replaced it."""
    if pair_id is None:
        return []
    rows = PreferencePair.objects.filter(Q(pk=pair_id) | Q(stands_for=pair_id))
    return sorted(rows, key=lambda row: (row.stands_for_id is not None, row.pk))


def is_used(row: PreferencePair) -> bool:
    """Whether a training or a measurement read the pair. Such a row keeps its responses."""
    return row.pk is not None and any(model.objects.filter(pair=row).exists() for model in (SnapshotItem, PairMargin))


def current_outcome(prompt_id: int, rows: Sequence[PreferencePair]) -> PairOutcome:
    """The trainable pair among ``rows``, or :class:`NoPair` if none is trainable."""
    live = next((row for row in rows if row.state in PreferencePair.TRAINABLE), None)
    return (
        pairing.pair_draft(live) if live else NoPair(prompt_id, PromptOutcome.EXCLUDED, rows[0].reason if rows else "")
    )


def pair_of_prompt(iteration: Iteration, prompt_id: int) -> PreferencePair | None:
    """The original pair of a prompt in an iteration that makes one pair per prompt."""
    return PreferencePair.objects.filter(iteration=iteration, prompt=prompt_id, stands_for=None).order_by("pk").first()


def resolutions_on_pair(
    pair_id: int, item: Task | None = None, resolution: Resolution | None = None
) -> list[ItemResolution]:
    """Every decision in force on a pair; the last one counts.

    ``resolution`` replaces the stored answer in force of ``item``.
    """
    return _pair_resolutions(_items_on(pair_id, item), item, resolution)


def _items_on(pair_id: int, item: Task | None = None) -> list[Task]:
    """Every item that asks about a pair, oldest first; the instance ``item`` replaces its own row."""
    items = Task.objects.filter(pair=pair_id).order_by("pk")
    return [item if item is not None and one.pk == item.pk else one for one in items]


def _pair_resolutions(items: Sequence[Task], item: Task | None, resolution: Resolution | None) -> list[ItemResolution]:
    counting = [one for one in items if one.settled_by and not one.is_gold and one.queue.changes_pairs]
    asks_here = item is not None and any(one.pk == item.pk for one in items)
    return _ranked(counting, item if asks_here else None, resolution)


def score_resolutions(
    response_id: int, item: Task | None = None, resolution: Resolution | None = None
) -> list[tuple[Task, Resolution]]:
    """Every score in force that people gave a response, over all queues; the last one counts.

    ``resolution`` replaces the stored answer in force of ``item``.
    """
    items = Task.objects.filter(
        Q(first=response_id) | Q(second=response_id),
        Q(queue__kind=Queue.Kind.SCORE) | Q(queue__with_scores=True),
        queue__held_out=False,
        expected__isnull=True,
    ).exclude(settled_by="")
    ranked = _ranked(items.select_related("queue", "pair"), item, resolution)
    return [each for each in ranked if score_of(*each, response_id) is not None]


def _ranked(items: Iterable[Task], item: Task | None, resolution: Resolution | None) -> list[ItemResolution]:
    ranked = [(one, each) for one in items if (item is None or one.pk != item.pk) and (each := resolve_item(one))]
    if item is not None and resolution is not None:
        ranked.append((item, resolution))
    return sorted(ranked, key=lambda each: (each[1].by_lead, each[1].line))


def score_of(task: Task, resolution: Resolution, response_id: int) -> float | None:
    """The score (0 to 5) that an answer in force gives to one of the item's responses."""
    if task.queue.kind == Queue.Kind.SCORE:
        return resolution.score
    return resolution.scores[0 if response_id == task.first_id else 1] if resolution.scores else None


def reason_of(task: Task, resolution: Resolution, response_id: int) -> str:
    """The reason for that score; of an item with two responses, the reason given for this one."""
    if task.queue.kind == Queue.Kind.SCORE:
        return resolution.reason
    return resolution.reasons[0 if response_id == task.first_id else 1]


def outcome_of(task: Task, resolution: Resolution, *, edited_id: int | None = None) -> PairOutcome:
    """The pair, or no pair, that results from a decision on the item."""
    edited = resolution.edited.pk if resolution.edited else edited_id
    return decided_pair(
        original_pair(task), cast(PairDecision, resolution.decision), edited_id=edited, scores=resolution.scores
    )


def pair_target(
    pair: PreferencePair | None,
    iteration: Iteration | None,
    prompt_id: int,
    *,
    item: Task | None = None,
    resolution: Resolution | None = None,
    scores: Mapping[int, float | None] | None = None,
) -> PairTarget | None:
    """The state that the pair of a prompt should have.

    ``resolution`` replaces the stored answer in force of ``item``; ``scores`` (by response id) replace stored human
    scores. Returns ``None`` if there is neither a decision, an original pair, nor a run that makes pairs from scores.
    """
    items = _items_on(pair.pk, item) if pair else []
    resolutions = _pair_resolutions(items, item, resolution)
    original = _original_pair_and_state(items)
    if resolutions:
        task, counted = resolutions[-1]
        outcome = outcome_of(task, counted, edited_id=0)
        same = original is not None and same_sides(original[0], outcome)
        state = STATES.CONFIRMED if same else STATES.OVERRIDDEN
        if isinstance(outcome, NoPair):
            state = STATES.EXCLUDED
        reason = f"{Review.Decision(counted.decision).label}, {counted.by}. {counted.reason}".strip()
        return PairTarget(outcome, state, reason, task, _note(resolutions, item, resolution))
    by_scores = original is None or original[1] == STATES.OVERRIDDEN or scores is not None
    if iteration and (by_scores or _scored_by_people(iteration, prompt_id)):
        by_scores_target = _by_scores(iteration, prompt_id, scores or {})
        if by_scores_target:
            return by_scores_target
    return PairTarget(original[0], original[1], original[0].reason) if original else None


def _original_pair_and_state(items: Sequence[Task]) -> tuple[PairDraft, str] | None:
    """The pair before people decided on it, and its state; ``None`` if no item asks about it."""
    return (original_pair(items[0]), items[0].original["state"]) if items else None


def _note(resolutions: Sequence[ItemResolution], item: Task | None, resolution: Resolution | None) -> str:
    task, counted = resolutions[-1]
    if item is None or resolution is None:
        return ""
    where = "this item" if task.pk == item.pk else f"this pair in the queue “{task.queue.name}”"
    if task.pk != item.pk:
        if item.queue.kind == Queue.Kind.SCORE:
            return f"A decision on {where} counts before scores."
        if same_sides(outcome_of(task, counted, edited_id=0), outcome_of(item, resolution, edited_id=0)):
            return ""
        return f"A lead's decision on {where} counts before every answer."
    before = resolutions[-2] if len(resolutions) > 1 else None
    if before is None or same_sides(outcome_of(*before, edited_id=0), outcome_of(item, resolution, edited_id=0)):
        return ""
    return f"It replaces the older decision of the queue “{before[0].queue.name}”."


def same_sides(one: PairOutcome, other: PairOutcome) -> bool:
    """Whether both outcomes have the same chosen and rejected response, or both are no pair."""
    if isinstance(one, PairDraft) and isinstance(other, PairDraft):
        return (one.chosen_id, one.rejected_id) == (other.chosen_id, other.rejected_id)
    return isinstance(one, NoPair) and isinstance(other, NoPair)


def _scored_by_people(iteration: Iteration, prompt_id: int) -> bool:
    return Judgement.objects.filter(
        response__prompt=prompt_id, iteration=iteration, source=Judgement.Source.HUMAN
    ).exists()


def _by_scores(iteration: Iteration, prompt_id: int, scores: Mapping[int, float | None]) -> PairTarget | None:
    """The pair made from the scores in force; ``None`` if the run does not make its pairs from scores."""
    rule = pairing.pairing_rule(iteration)
    if not rule.follows_scores:
        return None
    by_judge = pairing.scored_responses(iteration, prompt_id, rule, with_people=False)
    alone = scored_pair(by_judge, min_margin=rule.min_margin)
    rows = pairing.scored_responses(iteration, prompt_id, rule, supposed=scores)
    after = scored_pair(rows, min_margin=rule.min_margin)
    if after is None or alone is None:
        return None
    own = same_sides(alone, after)
    state = STATES.PROPOSED if own else STATES.OVERRIDDEN
    return PairTarget(after, state, after.reason if own else f"By people's scores. {after.reason}")


def change_to_target(
    before: PairOutcome, target: PairTarget, item: Task | None, resolution: Resolution | None
) -> PairChange:
    """The change from the current outcome to the target, with the sentence for the page and the history."""
    is_own = bool(item and resolution and target.item and target.item.pk == item.pk)
    change = change_between(
        before, target.outcome, confirmed=is_own and cast(Resolution, resolution).decision == "confirm"
    )
    return replace(change, sentence=f"{change.sentence} {target.note}", note=target.note) if target.note else change
