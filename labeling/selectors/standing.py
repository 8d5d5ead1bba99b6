"""What stands on a pair, out of every queue that asks about it, people's scores, and the judge.

A function of the lines in force, whatever their order: settling writes what it says, the preview shows it beforehand.
The rule: a lead's word wins over everybody's, else the newest decision counts; without one, people's scores make the
pair where the run's pairs follow scores; without those it is as it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from django.db.models import Q

from alignment_app.models import Iteration, Judgement, PairMargin, PreferencePair, SnapshotItem
from labeling.models import Queue, Review, Task
from labeling.selectors import record
from labeling.selectors.verdicts import Verdict, verdict
from training.domain.overrides import PairChange, PairDecision, PairOutcome, change_between, decided_pair, scored_pair
from training.domain.rows import NoPair, PairDraft, PromptOutcome

STATES = PreferencePair.State
#: An item and the answer in force of it.
Word = tuple[Task, Verdict]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a pair should be in the record. ``item``: whose decision it is; ``None``: the scores', or as it was made.
    ``note``: how that decision goes with those of other queues, in words."""

    outcome: PairOutcome
    state: str
    reason: str
    item: Task | None = None
    note: str = ""


def original_pair(task: Task) -> PairDraft:
    """The pair as the item asks about it."""
    fields = {name: value for name, value in task.original.items() if name != "state"}
    return PairDraft(**fields)


def rows_of(pair_id: int | None) -> list[PreferencePair]:
    """The pair as it was made, and after it what stands in for it or did."""
    if pair_id is None:
        return []
    found = PreferencePair.objects.filter(Q(pk=pair_id) | Q(stands_for=pair_id))
    return sorted(found, key=lambda row: (row.stands_for_id is not None, row.pk))


def is_used(row: PreferencePair) -> bool:
    """Whether a pair was trained on or measured: what it says then, it says for good."""
    return row.pk is not None and any(model.objects.filter(pair=row).exists() for model in (SnapshotItem, PairMargin))


def present(prompt_id: int, rows: Sequence[PreferencePair]) -> PairOutcome:
    """What the record holds now of a pair and what stands in for it."""
    live = next((row for row in rows if row.state in PreferencePair.TRAINABLE), None)
    return (
        record.pair_draft(live) if live else NoPair(prompt_id, PromptOutcome.EXCLUDED, rows[0].reason if rows else "")
    )


def pair_of(iteration: Iteration, prompt_id: int) -> PreferencePair | None:
    """The pair of a prompt, where an iteration makes one of each."""
    return PreferencePair.objects.filter(iteration=iteration, prompt=prompt_id, stands_for=None).order_by("pk").first()


def words_on(pair_id: int, item: Task | None = None, found: Verdict | None = None) -> list[Word]:
    """The decisions in force on a pair, the one that counts last. ``found`` is that of ``item``, known already."""
    return _words_of(_items_on(pair_id, item), item, found)


def _items_on(pair_id: int, item: Task | None = None) -> list[Task]:
    """Every item that asks about a pair, the first one first, with ``item`` itself in its place."""
    found = Task.objects.filter(pair=pair_id).order_by("pk")
    return [item if item is not None and one.pk == item.pk else one for one in found]


def _words_of(items: Sequence[Task], item: Task | None, found: Verdict | None) -> list[Word]:
    counting = [one for one in items if one.settled_by and not one.is_gold and one.queue.changes_pairs]
    asks_here = item is not None and any(one.pk == item.pk for one in items)
    return _ranked(counting, item if asks_here else None, found)


def scores_on(response_id: int, item: Task | None = None, found: Verdict | None = None) -> list[tuple[Task, Verdict]]:
    """People's scores in force of a response, in every queue that asks for them, the one that counts last."""
    items = Task.objects.filter(
        Q(first=response_id) | Q(second=response_id),
        Q(queue__kind=Queue.Kind.SCORE) | Q(queue__with_scores=True),
        queue__held_out=False,
        expected__isnull=True,
    ).exclude(settled_by="")
    words = _ranked(items.select_related("queue", "pair"), item, found)
    return [word for word in words if score_of(*word, response_id) is not None]


def _ranked(items: Iterable[Task], item: Task | None, found: Verdict | None) -> list[Word]:
    words = [(one, word) for one in items if (item is None or one.pk != item.pk) and (word := verdict(one))]
    if item is not None and found is not None:
        words.append((item, found))
    return sorted(words, key=lambda word: (word[1].by_lead, word[1].line))


def score_of(task: Task, word: Verdict, response_id: int) -> float | None:
    """What an item's answer in force gives a response of it."""
    if task.queue.kind == Queue.Kind.SCORE:
        return word.score
    return word.scores[0 if response_id == task.first_id else 1] if word.scores else None


def reason_of(task: Task, word: Verdict, response_id: int) -> str:
    """Why people gave that score: what they said of this very response, where the item has two."""
    if task.queue.kind == Queue.Kind.SCORE:
        return word.reason
    return word.reasons[0 if response_id == task.first_id else 1]


def decided(task: Task, word: Verdict, *, edited_id: int | None = None) -> PairOutcome:
    """What a decision makes of the pair that the item asks about."""
    edited = word.edited.pk if word.edited else edited_id
    return decided_pair(original_pair(task), cast(PairDecision, word.decision), edited_id=edited, scores=word.scores)


def standing(
    pair: PreferencePair | None,
    iteration: Iteration | None,
    prompt_id: int,
    *,
    item: Task | None = None,
    found: Verdict | None = None,
    scores: Mapping[int, float | None] | None = None,
) -> Standing | None:
    """What the pair of a prompt should be. ``found`` is the answer in force of ``item``; ``scores`` stand in for those
    of the record. ``None`` where nothing says what it should be: the pairs of the run do not follow scores."""
    items = _items_on(pair.pk, item) if pair else []
    words = _words_of(items, item, found)
    made = _as_made(items)
    if words:
        task, word = words[-1]
        outcome = decided(task, word, edited_id=0)
        same = made is not None and same_sides(made[0], outcome)
        state = STATES.CONFIRMED if same else STATES.OVERRIDDEN
        if isinstance(outcome, NoPair):
            state = STATES.EXCLUDED
        reason = f"{Review.Decision(word.decision).label}, {word.by}. {word.reason}".strip()
        return Standing(outcome, state, reason, task, _note(words, item, found))
    by_scores = made is None or made[1] == STATES.OVERRIDDEN or scores is not None
    if iteration and (by_scores or _scored_by_people(iteration, prompt_id)):
        found_pair = _by_scores(iteration, prompt_id, scores or {})
        if found_pair:
            return found_pair
    return Standing(made[0], made[1], made[0].reason) if made else None


def _as_made(items: Sequence[Task]) -> tuple[PairDraft, str] | None:
    """The pair before people decided on it, and its state then; ``None`` where no item asks about it."""
    return (original_pair(items[0]), items[0].original["state"]) if items else None


def _note(words: Sequence[Word], item: Task | None, found: Verdict | None) -> str:
    task, word = words[-1]
    if item is None or found is None:
        return ""
    where = "this item" if task.pk == item.pk else f"this pair in the queue “{task.queue.name}”"
    if task.pk != item.pk:
        if item.queue.kind == Queue.Kind.SCORE:
            return f"People decided {where}, and that counts over scores."
        return "" if same_sides(decided(task, word, edited_id=0), decided(item, found, edited_id=0)) else (
            f"A lead decided {where}, and that counts over every answer.")  # fmt: skip
    before = words[-2] if len(words) > 1 else None
    if before is None or same_sides(decided(*before, edited_id=0), decided(item, found, edited_id=0)):
        return ""
    return f"It counts in place of what the queue “{before[0].queue.name}” decided, since it is newer."


def same_sides(one: PairOutcome, other: PairOutcome) -> bool:
    """Whether both choose the same response over the same other one, or both make no pair."""
    if isinstance(one, PairDraft) and isinstance(other, PairDraft):
        return (one.chosen_id, one.rejected_id) == (other.chosen_id, other.rejected_id)
    return isinstance(one, NoPair) and isinstance(other, NoPair)


def _scored_by_people(iteration: Iteration, prompt_id: int) -> bool:
    return Judgement.objects.filter(
        response__prompt=prompt_id, iteration=iteration, source=Judgement.Source.HUMAN
    ).exists()


def _by_scores(iteration: Iteration, prompt_id: int, scores: Mapping[int, float | None]) -> Standing | None:
    """The prompt's pair from the scores in force; ``None`` where the run's pairs do not follow scores."""
    rule = record.pairing_rule(iteration)
    if not rule.follows_scores:
        return None
    by_judge = record.scored_responses(iteration, prompt_id, rule, with_people=False)
    alone = scored_pair(by_judge, min_margin=rule.min_margin)
    rows = record.scored_responses(iteration, prompt_id, rule, supposed=scores)
    after = scored_pair(rows, min_margin=rule.min_margin)
    if after is None or alone is None:
        return None
    own = same_sides(alone, after)
    state = STATES.PROPOSED if own else STATES.OVERRIDDEN
    return Standing(after, state, after.reason if own else f"By people's scores. {after.reason}")


def change_to(before: PairOutcome, target: Standing, item: Task | None, found: Verdict | None) -> PairChange:
    """The change from what the record holds to what stands, as the screen and the history say it."""
    ours = bool(item and found and target.item and target.item.pk == item.pk)
    change = change_between(before, target.outcome, confirmed=ours and cast(Verdict, found).decision == "confirm")
    return replace(change, sentence=f"{change.sentence} {target.note}", note=target.note) if target.note else change
