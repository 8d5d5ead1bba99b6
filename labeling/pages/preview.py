"""What an answer would change, before it is saved: the functions that change the record say so themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from alignment_app.models import Iteration, PreferencePair
from labeling.models import Queue, Task
from labeling.selectors import record
from labeling.selectors.standing import change_to, pair_of, present, rows_of, score_of, scores_on, standing
from labeling.selectors.verdicts import Verdict, verdict
from training.domain.overrides import PairChange
from training.domain.rows import PairDraft


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
    iteration = task.pair.iteration if task.pair else queue.iteration
    pair = pair_of(iteration, task.prompt_id) if queue.kind == Queue.Kind.SCORE and iteration else task.pair
    change = _change(task, pair, iteration, decision, score, scores)
    if change is None:
        return Preview("none", "The score is kept.", "The pairs of this run do not follow scores of single responses.")
    note = "" if queue.overlap == 1 else f"It counts when {queue.overlap} people have answered and most agree. "
    if iteration is None:
        return Preview(change.kind, change.sentence, note + "The pair belongs to an imported data set.")
    now = record.training_set(iteration)
    trained = pair is None or pair.part == PreferencePair.Part.TRAIN
    delta = change.delta if trained else 0
    if not trained:
        note += f"The pair was {pair.get_part_display().lower()} at the freeze, not trained on. " if pair else ""
    note += _training_note(iteration, now, change, delta)
    after = change.after
    return Preview(
        change.kind,
        change.sentence,
        note,
        now.pairs,
        now.pairs + delta,
        after.margin if isinstance(after, PairDraft) else None,
    )


def _training_note(iteration: Iteration, now: record.TrainingSet, change: PairChange, delta: int) -> str:
    count = f"{now.pairs + delta} pairs"
    sign = f" ({delta:+d})".replace("-", "−") if delta else ""
    note = f"Training set of iteration {iteration.number}: {count}{sign}, {now.overridden} changed by people so far. "
    if not now.frozen:
        return f"{note}{now.set_aside}Nothing is frozen yet."
    note += "It was frozen already: the snapshot stays"
    return f"{note}." if change.kind in ("same", "confirms") else f"{note}, and its mark says what would differ."


def _change(
    task: Task,
    pair: PreferencePair | None,
    iteration: Iteration | None,
    decision: str,
    score: float | None,
    scores: Mapping[str, float] | None,
) -> PairChange | None:
    """What changes if this were the answer in force of the item, given after everything that is there."""
    both = (scores["first"], scores["second"]) if scores else None
    mine = Verdict(decision, score, None, "", "", "", None, both, line=inf)
    stands = verdict(task) if task.settled_by else None
    if stands and stands.by_lead:
        mine = stands
    given: dict[int, float | None] | None = None
    if task.queue.kind == Queue.Kind.SCORE:
        if iteration is None or not record.pairing_rule(iteration).follows_scores:
            return None
        counts = scores_on(task.first_id, task, mine)[-1]
        given = {task.first_id: score_of(*counts, task.first_id)}
    target = standing(pair, iteration, task.prompt_id, item=task, found=mine, scores=given)
    if target is None:
        return None
    return change_to(present(task.prompt_id, rows_of(pair.pk if pair else None)), target, task, mine)
