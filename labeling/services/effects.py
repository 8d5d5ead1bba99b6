"""Write the effects of the answers in force to pairs, scores and snapshots. Writing them twice changes nothing.

:mod:`labeling.selectors.resolutions` has the rule for one item; an item without a majority changes nothing and waits
for a lead. :mod:`labeling.selectors.pair_targets` has the rule for items of several queues on one pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from django.db.models import Exists, OuterRef, QuerySet

from alignment_app.models import (
    DatasetSnapshot,
    Iteration,
    Judge,
    Judgement,
    PreferencePair,
    SnapshotItem,
)
from alignment_app.selectors.work import training_pairs
from alignment_app.services.judge_rows import panel_judge, person_judge
from labeling.models import Queue, Review, Task
from labeling.selectors import pairing
from labeling.selectors.pair_targets import (
    ItemResolution,
    PairTarget,
    change_to_target,
    current_outcome,
    is_used,
    pair_of_prompt,
    pair_rows,
    pair_target,
    reason_of,
    same_sides,
    score_of,
    score_resolutions,
)
from labeling.selectors.resolutions import Resolution, resolve_item
from training.domain.agreement import item_agreement
from training.domain.overrides import PairChange
from training.domain.rows import PairDraft

STATES = PreferencePair.State


def apply_resolution(task: Task, lines: Sequence[Review]) -> PairChange | None:
    """Apply the item's reviews in force to its pair and scores.

    Call it inside the transaction that writes the answer; the caller saves the item. Returns the change of the
    training set, ``None`` if the item has no effect on it.
    """
    resolution = resolve_item(task, lines)
    task.settled_by = resolution.by[:200] if resolution else ""
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
        return _apply_to_pair(task, resolution)
    return _apply_to_scores(task, resolution)


def _apply_to_pair(task: Task, resolution: Resolution | None) -> PairChange:
    rows = pair_rows(task.pair_id)
    root, iteration = rows[0], task.pair.iteration if task.pair else None
    for response_id in (task.first_id, task.second_id):
        _store_scores(task, resolution, cast(int, response_id))
    before = current_outcome(task.prompt_id, rows)
    target = cast(PairTarget, pair_target(root, iteration, task.prompt_id, item=task, resolution=resolution))
    _write_target(rows, target)
    if iteration:
        mark_stale(iteration)
    return change_to_target(before, target, task, resolution)


def _apply_to_scores(task: Task, resolution: Resolution | None) -> PairChange | None:
    _store_scores(task, resolution, task.first_id)
    iteration = task.queue.iteration
    if iteration is None or not pairing.pairing_rule(iteration).follows_scores:
        return None
    root = pair_of_prompt(iteration, task.prompt_id)
    target = pair_target(root, iteration, task.prompt_id, item=task, resolution=resolution)
    if target is None:
        return None
    rows = pair_rows(root.pk if root else None)
    before = current_outcome(task.prompt_id, rows)
    if not rows and isinstance(target.outcome, PairDraft):
        rows = [PreferencePair(iteration=iteration, prompt_id=task.prompt_id, origin=PreferencePair.Origin.HUMAN)]
    if rows:
        _write_target(rows, target)
    mark_stale(iteration)
    return change_to_target(before, target, task, resolution)


def _write_target(rows: list[PreferencePair], target: PairTarget) -> None:
    """Store ``target`` in one of the rows (``rows[0]`` is the original pair) and exclude or delete the others.

    A row that a training or measurement read keeps its responses; another row replaces it.
    """
    root = rows[0]
    active: PreferencePair | None = None
    reason = target.reason
    if isinstance(target.outcome, PairDraft):
        active = next((row for row in rows if row.pk and same_sides(pairing.pair_draft(row), target.outcome)), None)
        if active is None and _is_duplicate(root, target.outcome):
            reason = f"Another pair says the same already. {reason}"
        elif active is None:
            active = next((row for row in rows if not is_used(row)), None) or PreferencePair(
                iteration_id=root.iteration_id,
                prompt_id=root.prompt_id,
                origin=root.origin,
                part=root.part,
                stands_for=root,
            )
    for row in rows:
        if active and row.pk == active.pk:
            continue
        if _is_deletable(row):
            row.delete()
        elif active:
            _write(row, None, STATES.EXCLUDED, f"Another pair replaces it. {reason}")
        else:
            _write(row, None, STATES.EXCLUDED, reason if row is root else "Taken back by people.")
    if active:
        _write(active, cast(PairDraft, target.outcome), target.state, reason)


def _is_duplicate(root: PreferencePair, outcome: PairDraft) -> bool:
    """Whether another imported pair has the same responses. A run's own pairs are one per prompt and cannot."""
    if root.origin != PreferencePair.Origin.IMPORTED:
        return False
    same = PreferencePair.objects.filter(
        iteration=root.iteration_id, chosen=outcome.chosen_id, rejected=outcome.rejected_id
    )
    return same.exists()


def _write(pair: PreferencePair, target: PairDraft | None, state: str, reason: str) -> None:
    if target:
        pair.chosen_id, pair.rejected_id = target.chosen_id, target.rejected_id
        pair.chosen_score, pair.rejected_score = target.chosen_score, target.rejected_score
        pair.margin = target.margin
    pair.state, pair.reason = state, reason
    pair.save()


def _is_deletable(row: PreferencePair) -> bool:
    """Whether a review made the row and nothing refers to it."""
    made_by_people = row.stands_for_id is not None or row.origin == PreferencePair.Origin.HUMAN
    return made_by_people and not is_used(row) and not row.review_tasks.exists() and not row.stand_ins.exists()


def _store_scores(task: Task, resolution: Resolution | None, response_id: int) -> None:
    """Store the human scores in force of a response, one row per judge, the one that counts last.

    Unchanged rows keep their ids, which snapshots refer to.
    """
    if task.queue.kind == Queue.Kind.PAIR and not task.queue.with_scores:
        return
    people = Judgement.objects.filter(response=response_id, source=Judgement.Source.HUMAN, judge__kind__in=Judge.PEOPLE)
    rows = list(people.order_by("pk"))
    wanted: dict[Judge, ItemResolution] = {}
    for item, each in score_resolutions(response_id, task, resolution):
        judge = panel_judge(each.judge) if each.of_several else person_judge(each.judge, each.person_id)
        wanted.pop(judge, None)
        wanted[judge] = (item, each)
    drafts = [_human_judgement(judge, *each, response_id) for judge, each in wanted.items()]
    kept = 0
    while kept < min(len(rows), len(drafts)) and _is_same_judgement(rows[kept], drafts[kept]):
        kept += 1
    Judgement.objects.filter(pk__in=[row.pk for row in rows[kept:]]).delete()
    for draft in drafts[kept:]:
        draft.save()
    _set_judgement(task, response_id, None)
    for (item, _), row in zip(wanted.values(), [*rows[:kept], *drafts[kept:]], strict=True):
        if item.pk == task.pk:
            _set_judgement(task, response_id, row)
        elif getattr(item, f"{_judgement_field(item, response_id)}_id") != row.pk:
            Task.objects.filter(pk=item.pk).update(**{_judgement_field(item, response_id): row})


def _is_same_judgement(one: Judgement, other: Judgement) -> bool:
    return (one.judge_id, one.score, one.rationale) == (other.judge_id, other.score, other.rationale)


def _judgement_field(task: Task, response_id: int) -> str:
    return "judgement" if task.first_id == response_id else "second_judgement"


def _set_judgement(task: Task, response_id: int, row: Judgement | None) -> None:
    setattr(task, _judgement_field(task, response_id), row)


def _human_judgement(judge: Judge, item: Task, each: Resolution, response_id: int) -> Judgement:
    """People's score of a response as an unsaved judgement."""
    score, reason = cast(float, score_of(item, each, response_id)), reason_of(item, each, response_id)
    return Judgement(
        response_id=response_id,
        iteration_id=item.pair.iteration_id if item.pair else item.queue.iteration_id,
        source=Judgement.Source.HUMAN,
        judge=judge,
        samples=[{"raw": reason, "score": score, "seed": 0}],
        parsed_count=1,
        sample_count=1,
        score=score,
        spread=0.0,
        rationale=reason,
    )


def mark_stale(iteration: Iteration) -> None:
    """Update the stale reason of every snapshot that holds pairs of this iteration."""
    mixes = iteration.run.typed_config.training.mix_previous
    snapshots = DatasetSnapshot.objects.filter(
        iteration__run=iteration.run_id,
        iteration__number__gte=iteration.number,
        kind=DatasetSnapshot.Kind.PREFERENCE,
    )
    for snapshot in snapshots if mixes else snapshots.filter(iteration=iteration):
        inside = SnapshotItem.objects.filter(snapshot=snapshot, pair=OuterRef("pk"))
        trainable = training_pairs(iteration.run_id, snapshot.iteration.number, mix_previous=mixes)
        out = PreferencePair.objects.filter(snapshot_items__snapshot=snapshot).exclude(
            state__in=PreferencePair.TRAINABLE
        )
        before, after = _contents(out), _contents(trainable.exclude(Exists(inside)))
        # Texts, not ids: equal texts in other rows, such as the same edit by two people, freeze to the same set.
        removed, added = (before - after).total(), (after - before).total()
        reason = ""
        if removed or added:
            reason = (
                f"People decided after the freeze: {removed} of its pairs would be left out now, and {added} would "
                "come in. The snapshot and the model trained on it stay as they are; run again to train with the "
                "decisions."
            )
        if snapshot.stale_reason != reason:
            snapshot.stale_reason = reason
            snapshot.save(update_fields=["stale_reason"])


def _contents(pairs: QuerySet[PreferencePair]) -> Counter[tuple[int, str, str]]:
    return Counter(pairs.values_list("prompt_id", "chosen__text", "rejected__text"))


def original_fields(pair: PreferencePair) -> dict[str, Any]:
    """The value of :attr:`Task.original` for a pair."""
    return {**asdict(pairing.pair_draft(pair)), "state": pair.state}
