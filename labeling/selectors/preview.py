"""What an answer would change, before it is saved: the functions that change the record say so themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from alignment_app.models import Iteration, PreferencePair
from labeling.models import Queue, Task
from labeling.selectors import record
from training.domain.overrides import Change, Outcome, PairDecision, change_between, decided_pair, scored_pair
from training.domain.rows import NoPair, PairDraft


@dataclass(frozen=True, slots=True)
class Preview:
    """The change in words, and the training set that follows."""

    kind: str
    sentence: str
    note: str
    pairs_now: int | None = None
    pairs_after: int | None = None
    margin: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def preview(
    task: Task, decision: str, score: float | None = None, scores: Mapping[str, float] | None = None
) -> Preview:
    """What the decision would change if it alone counted."""
    queue = task.queue
    if queue.kind == Queue.Kind.COMPARISON:
        return Preview("none", "One vote.", "The majority of the people decides; no training set changes.")
    if queue.held_out:
        return Preview("none", "This answer measures the judge.", "It is kept out of training and changes no pair.")
    if decision == "flag":
        return Preview("none", "A lead looks at it.", "Nothing changes until they decide.")
    change = _pair_change(task, decision, scores) if queue.kind == Queue.Kind.PAIR else _score_change(task, score)
    iteration = task.pair.iteration if task.pair else queue.iteration
    if change is None:
        return Preview("none", "The score is kept.", "The pairs of this run do not follow scores of single responses.")
    note = "" if queue.overlap == 1 else f"It counts when {queue.overlap} people have answered and most agree. "
    if iteration is None:
        return Preview(change.kind, change.sentence, note + "The pair belongs to an imported data set.")
    now = record.training_set(iteration)
    note += _training_note(iteration, now, change)
    after = change.after
    return Preview(
        change.kind,
        change.sentence,
        note,
        now.pairs,
        now.pairs + change.delta,
        after.margin if isinstance(after, PairDraft) else None,
    )


def _training_note(iteration: Iteration, now: record.TrainingSet, change: Change) -> str:
    count = f"{now.pairs + change.delta} pairs"
    sign = f" ({change.delta:+d})" if change.delta else ""
    note = f"Training set of iteration {iteration.number}: {count}{sign}, {now.overridden} changed by people so far. "
    if now.frozen:
        return note + "It was frozen already: the snapshot stays, and is marked stale."
    return note + "Nothing is frozen yet."


def _pair_change(task: Task, decision: str, scores: Mapping[str, float] | None) -> Change:
    fields = {name: value for name, value in task.original.items() if name != "state"}
    original = PairDraft(**fields)
    after = decided_pair(
        original,
        cast(PairDecision, decision),
        edited_id=0 if decision == "edit" else None,
        scores=(scores["first"], scores["second"]) if scores else None,
    )
    return change_between(_present(task), after, confirmed=decision == "confirm")


def _present(task: Task) -> Outcome:
    for pair in (task.replacement, task.pair):
        if pair and pair.state in PreferencePair.TRAINABLE:
            return record.pair_draft(pair)
    return NoPair(task.prompt_id, "")


def _score_change(task: Task, score: float | None) -> Change | None:
    iteration = task.queue.iteration
    if iteration is None:
        return None
    rule = record.pairing_rule(iteration)
    if not rule.follows_scores:
        return None
    responses = record.scored_responses(iteration, task.prompt_id, rule)
    before = scored_pair(responses, {}, min_margin=rule.min_margin)
    after = scored_pair(responses, {task.first_id: score}, min_margin=rule.min_margin)
    return change_between(before, after) if before and after else None
