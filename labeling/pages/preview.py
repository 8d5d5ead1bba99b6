"""Preview of what an answer would change, computed by the functions that apply it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from alignment_app.models import Iteration, PreferencePair
from labeling.models import Queue, Task
from labeling.selectors import pairing
from labeling.selectors.pair_targets import (
    change_to_target,
    current_outcome,
    pair_of_prompt,
    pair_rows,
    pair_target,
    score_of,
    score_resolutions,
)
from labeling.selectors.resolutions import Resolution, resolve_item
from training.domain.overrides import PairChange
from training.domain.rows import PairDraft


@dataclass(frozen=True, slots=True)
class Preview:
    """A description of the change, and the size of the training set before and after."""

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
    """Compute what the decision would change if it were the answer in force."""
    queue = task.queue
    if queue.kind == Queue.Kind.COMPARISON:
        return Preview("none", "One vote.", "The majority decides. No training set changes.")
    if queue.held_out:
        return Preview("none", "This answer measures the judge.", "It never trains a model and changes no pair.")
    if decision == "flag":
        return Preview("none", "A lead will check this item.", "Nothing changes until then.")
    iteration = task.pair.iteration if task.pair else queue.iteration
    pair = pair_of_prompt(iteration, task.prompt_id) if queue.kind == Queue.Kind.SCORE and iteration else task.pair
    change = _change(task, pair, iteration, decision, score, scores)
    if change is None:
        return Preview("none", "The score is stored.", "This run does not make its pairs from single scores.")
    note = "" if queue.overlap == 1 else f"It counts once {queue.overlap} people have answered and a majority agrees. "
    if iteration is None:
        return Preview(change.kind, change.sentence, note + "The pair belongs to an imported data set.")
    now = pairing.training_set(iteration)
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


def _training_note(iteration: Iteration, now: pairing.TrainingSet, change: PairChange, delta: int) -> str:
    count = f"{now.pairs + delta} pairs"
    sign = f" ({delta:+d})".replace("-", "−") if delta else ""
    note = f"Training set of iteration {iteration.number}: {count}{sign}, {now.overridden} changed by people so far. "
    if not now.frozen:
        return f"{note}{now.set_aside}Nothing is frozen yet."
    note += "It is frozen, so the snapshot does not change"
    return f"{note}." if change.kind in ("same", "confirms") else f"{note} and becomes stale."


def _change(
    task: Task,
    pair: PreferencePair | None,
    iteration: Iteration | None,
    decision: str,
    score: float | None,
    scores: Mapping[str, float] | None,
) -> PairChange | None:
    """The change of the pair if this were the item's answer in force, newer than all others."""
    both = (scores["first"], scores["second"]) if scores else None
    answer = Resolution(decision, score, None, "", "", "", None, both, line=inf)
    in_force = resolve_item(task) if task.settled_by else None
    if in_force and in_force.by_lead:
        answer = in_force
    score_by_response: dict[int, float | None] | None = None
    if task.queue.kind == Queue.Kind.SCORE:
        if iteration is None or not pairing.pairing_rule(iteration).follows_scores:
            return None
        counting = score_resolutions(task.first_id, task, answer)[-1]
        score_by_response = {task.first_id: score_of(*counting, task.first_id)}
    target = pair_target(pair, iteration, task.prompt_id, item=task, resolution=answer, scores=score_by_response)
    if target is None:
        return None
    return change_to_target(current_outcome(task.prompt_id, pair_rows(pair.pk if pair else None)), target, task, answer)
