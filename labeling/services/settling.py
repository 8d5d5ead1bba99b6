"""What the answers in force make of the record. Settling twice changes nothing; an item without answers is as before.

The rule: a lead's word wins; else, once everybody asked has answered, the majority's decision or the median score.
Where people do not agree by majority, the record stays as it was and the item waits for a lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from django.db.models import Exists, OuterRef

from alignment_app.models import DatasetSnapshot, Iteration, Judgement, PreferencePair, SnapshotItem
from alignment_app.selectors.work import training_pairs
from labeling.models import Queue, Review, Task
from labeling.selectors import record
from labeling.selectors.verdicts import Verdict, verdict
from training.domain.agreement import item_agreement
from training.domain.overrides import Change, Outcome, PairDecision, change_between, decided_pair, scored_pair
from training.domain.rows import NoPair, PairDraft

STATES = PreferencePair.State


def settle(task: Task, lines: Sequence[Review]) -> Change | None:
    """Make the record follow the item's lines in force. Returns what changed on the training set, ``None``: nothing.

    Call inside the transaction that wrote the answer; the caller saves the item.
    """
    found = verdict(task, lines)
    task.settled_by = found.by[:200] if found else ""
    is_score = task.queue.kind == Queue.Kind.SCORE
    task.agreement = item_agreement(
        [
            line.score if is_score else line.decision
            for line in lines
            if line.decision in Review.DECISIVE and not line.adjudication
        ]
    )
    if task.is_gold or not task.queue.changes_pairs:
        return None
    if task.queue.kind == Queue.Kind.PAIR:
        return _settle_pair(task, found)
    return _settle_score(task, found)


def original_pair(task: Task) -> PairDraft:
    """The pair as it was made, before any person's word."""
    fields = {name: value for name, value in task.original.items() if name != "state"}
    return PairDraft(**fields)


def _settle_pair(task: Task, found: Verdict | None) -> Change:
    original = original_pair(task)
    before = _present(task)
    scores = found.scores if found and found.scores else (None, None)
    task.judgement = _people_score(task, task.judgement, task.first_id, scores[0], found)
    task.second_judgement = _people_score(task, task.second_judgement, task.second_id, scores[1], found)
    if found is None:
        _show(task, original, task.original["state"], original.reason)
        after: Outcome = original
    else:
        edited_id = found.edited.pk if found.edited else None
        after = decided_pair(original, cast(PairDecision, found.decision), edited_id=edited_id, scores=found.scores)
        words = f"{Review.Decision(found.decision).label}, {found.by}."
        words += f" {found.reason}" if found.reason else ""
        state = STATES.CONFIRMED if found.decision == "confirm" else STATES.OVERRIDDEN
        _show(task, after, state, words)
    iteration = task.pair.iteration if task.pair else None
    if iteration and found is None and _scored_by_people(task):
        # Without the decision on the pair itself, people's scores say what the pair is.
        remade = remake_pair(iteration, task.prompt_id, besides=task)
        after = remade.after if remade else after
    if iteration:
        mark_stale(iteration)
    return change_between(before, after, confirmed=bool(found and found.decision == "confirm"))


def _present(task: Task) -> Outcome:
    """What the record holds for this item now."""
    for pair in (task.replacement, task.pair):
        if pair and pair.state in PreferencePair.TRAINABLE:
            return record.pair_draft(pair)
    return NoPair(task.prompt_id, task.pair.reason if task.pair else "")


def _show(task: Task, target: Outcome, state: str, reason: str) -> None:
    """Bring the item's pair to ``target``. A pair that was frozen keeps its responses; another stands in for it."""
    pair = task.pair
    assert pair is not None
    task.replacement = _bring(pair, task.replacement, target, state, reason)


def _bring(
    pair: PreferencePair, replacement: PreferencePair | None, target: Outcome, state: str, reason: str
) -> PreferencePair | None:
    """``pair`` or a stand-in shows the target; whatever else stood there is out. Returns the stand-in in use."""
    if isinstance(target, NoPair):
        _retire(replacement)
        _write(pair, None, STATES.EXCLUDED, reason)
        return None
    own = (pair.chosen_id, pair.rejected_id) == (target.chosen_id, target.rejected_id)
    other, frozen = (None, False) if own else _standing(pair, target)
    if own or (other is None and not frozen):
        _retire(replacement)
        _write(pair, target, state, reason)
        return None
    if replacement and replacement.pk != (other.pk if other else None):
        _retire(replacement)
    stand_in = other or PreferencePair(iteration_id=pair.iteration_id, prompt_id=pair.prompt_id, origin=pair.origin)
    _write(stand_in, target, state, reason)
    _write(pair, None, STATES.EXCLUDED, f"Another pair stands in for it. {reason}")
    return stand_in


def _write(pair: PreferencePair, target: PairDraft | None, state: str, reason: str) -> None:
    if target:
        pair.chosen_id, pair.rejected_id = target.chosen_id, target.rejected_id
        pair.chosen_score, pair.rejected_score = target.chosen_score, target.rejected_score
        pair.margin = target.margin
    pair.state, pair.reason = state, reason
    pair.save()


def _standing(pair: PreferencePair, target: PairDraft) -> tuple[PreferencePair | None, bool]:
    """The pair of the prompt that already is the target, if one is, and whether ``pair`` itself is frozen."""
    rows = PreferencePair.objects.filter(iteration=pair.iteration_id, prompt=pair.prompt_id)
    found = list(rows.annotate(is_frozen=Exists(SnapshotItem.objects.filter(pair=OuterRef("pk")))))
    sides = (target.chosen_id, target.rejected_id)
    other = next((row for row in found if (row.chosen_id, row.rejected_id) == sides), None)
    return other, any(row.is_frozen for row in found if row.pk == pair.pk)


def _is_frozen(pair: PreferencePair) -> bool:
    return SnapshotItem.objects.filter(pair=pair).exists()


def _retire(pair: PreferencePair | None) -> None:
    """Take a stand-in out again; one that was trained on stays in the record, excluded."""
    if pair is None or pair.pk is None:
        return
    if _is_frozen(pair):
        _write(pair, None, STATES.EXCLUDED, "Taken back by people.")
    else:
        pair.delete()


def _settle_score(task: Task, found: Verdict | None) -> Change | None:
    if task.judgement is None and found is None:
        return None
    score = found.score if found else None
    task.judgement = _people_score(task, task.judgement, task.first_id, score, found)
    iteration = task.queue.iteration
    return remake_pair(iteration, task.prompt_id) if iteration else None


def _people_score(
    task: Task, old: Judgement | None, response_id: int | None, score: float | None, found: Verdict | None
) -> Judgement | None:
    """People's score of a response in the record, in place of the one that the item had given; ``None``: no score."""
    if old:
        old.delete()
    if found is None or score is None or response_id is None:
        return None
    judge = found.judge[:200]
    # The newest row wins where several queues scored the same response.
    Judgement.objects.filter(response=response_id, source=Judgement.Source.HUMAN, judge=judge).delete()
    return Judgement.objects.create(
        response_id=response_id,
        iteration=task.pair.iteration if task.pair else task.queue.iteration,
        source=Judgement.Source.HUMAN,
        judge=judge,
        person_id=found.person_id,
        template="people",
        samples=[{"raw": found.reason, "score": score, "seed": 0}],
        parsed_count=1,
        sample_count=1,
        score=score,
        spread=0.0,
        rationale=found.reason,
    )


def _scored_by_people(task: Task) -> bool:
    return Judgement.objects.filter(
        response__prompt=task.prompt_id, iteration=task.queue.iteration_id, source=Judgement.Source.HUMAN
    ).exists()


def remake_pair(iteration: Iteration, prompt_id: int, *, besides: Task | None = None) -> Change | None:
    """The prompt's pair from the scores in force.

    ``None`` where the run's pairs do not follow scores, or where people decided the pair itself.
    """
    rule = record.pairing_rule(iteration)
    if not rule.follows_scores or decided_by_people(iteration, prompt_id, besides=besides):
        return None
    alone = scored_pair(record.scored_responses(iteration, prompt_id, rule, with_people=False), {},
                        min_margin=rule.min_margin)  # fmt: skip
    after = scored_pair(record.scored_responses(iteration, prompt_id, rule), {}, min_margin=rule.min_margin)
    if after is None or alone is None:
        return None
    rows = list(PreferencePair.objects.filter(iteration=iteration, prompt=prompt_id).order_by("pk"))
    live = next((row for row in rows if row.state in PreferencePair.TRAINABLE), None)
    before: Outcome = record.pair_draft(live) if live else NoPair(prompt_id, "")
    made = next((row for row in rows if row.origin != PreferencePair.Origin.HUMAN), None)
    stand_in = next((row for row in rows if row is not made and row.origin == PreferencePair.Origin.HUMAN), None)
    own = _same(alone, after)
    state = STATES.PROPOSED if own else STATES.OVERRIDDEN
    reason = after.reason if own else f"By people's scores. {after.reason}"
    if made:
        _bring(made, stand_in or next((row for row in rows if row is not made), None), after, state, reason)
    elif isinstance(after, PairDraft):
        row = stand_in or PreferencePair(iteration=iteration, prompt_id=prompt_id, origin=PreferencePair.Origin.HUMAN)
        _write(row, after, STATES.OVERRIDDEN, reason)
    else:
        _retire(stand_in)
    mark_stale(iteration)
    return change_between(before, after)


def _same(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, PairDraft) and isinstance(other, PairDraft):
        return (one.chosen_id, one.rejected_id) == (other.chosen_id, other.rejected_id)
    return isinstance(one, NoPair) and isinstance(other, NoPair)


def decided_by_people(iteration: Iteration, prompt_id: int, *, besides: Task | None = None) -> bool:
    """Whether somebody decided the pair of this prompt itself; such a decision wins over scores."""
    decided = Task.objects.filter(
        queue__kind=Queue.Kind.PAIR, queue__held_out=False, pair__iteration=iteration, prompt=prompt_id
    ).exclude(settled_by="")
    return (decided.exclude(pk=besides.pk) if besides else decided).exists()


def mark_stale(iteration: Iteration) -> None:
    """Say on every snapshot that holds pairs of this iteration whether it still is what would be frozen now."""
    mixes = bool(iteration.run.config["training"]["mix_previous"])
    snapshots = DatasetSnapshot.objects.filter(
        iteration__run=iteration.run_id,
        iteration__number__gte=iteration.number,
        kind=DatasetSnapshot.Kind.PREFERENCE,
    )
    for snapshot in snapshots if mixes else snapshots.filter(iteration=iteration):
        gone = snapshot.items.exclude(pair__state__in=PreferencePair.TRAINABLE).count()
        inside = SnapshotItem.objects.filter(snapshot=snapshot, pair=OuterRef("pk"))
        trainable = training_pairs(iteration.run_id, snapshot.iteration.number, mix_previous=mixes)
        new = trainable.exclude(Exists(inside)).count()
        reason = ""
        if gone or new:
            reason = (
                f"People decided after the freeze: {gone} of its pairs would be left out now, and {new} would come in. "
                "The snapshot and the model trained on it stay as they are; run again to train with the decisions."
            )
        if snapshot.stale_reason != reason:
            snapshot.stale_reason = reason
            snapshot.save(update_fields=["stale_reason"])


def keep_original(pair: PreferencePair) -> dict[str, Any]:
    """What :attr:`Task.original` keeps of a pair."""
    return {**asdict(record.pair_draft(pair)), "state": pair.state}
