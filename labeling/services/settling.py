"""What the answers in force make of the record. Settling twice changes nothing; an item without answers is as before.

The rule of an item: a lead's word wins; else, once everybody asked has answered, the majority's decision or the median
score. Where people do not agree by majority, the record stays as it was and the item waits for a lead. The rule between
items of several queues stands in :mod:`labeling.selectors.standing`.
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
from labeling.selectors import record
from labeling.selectors.standing import (
    Standing,
    Word,
    change_to,
    is_used,
    pair_of,
    present,
    reason_of,
    rows_of,
    same_sides,
    score_of,
    scores_on,
    standing,
)
from labeling.selectors.verdicts import Verdict, verdict
from training.domain.agreement import item_agreement
from training.domain.overrides import PairChange
from training.domain.rows import PairDraft

STATES = PreferencePair.State


def settle(task: Task, lines: Sequence[Review]) -> PairChange | None:
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


def _settle_pair(task: Task, found: Verdict | None) -> PairChange:
    rows = rows_of(task.pair_id)
    root, iteration = rows[0], task.pair.iteration if task.pair else None
    for response_id in (task.first_id, task.second_id):
        _keep_scores(task, found, cast(int, response_id))
    before = present(task.prompt_id, rows)
    target = cast(Standing, standing(root, iteration, task.prompt_id, item=task, found=found))
    _place(rows, target)
    if iteration:
        mark_stale(iteration)
    return change_to(before, target, task, found)


def _settle_score(task: Task, found: Verdict | None) -> PairChange | None:
    _keep_scores(task, found, task.first_id)
    iteration = task.queue.iteration
    if iteration is None or not record.pairing_rule(iteration).follows_scores:
        return None
    root = pair_of(iteration, task.prompt_id)
    target = standing(root, iteration, task.prompt_id, item=task, found=found)
    if target is None:
        return None
    rows = rows_of(root.pk if root else None)
    before = present(task.prompt_id, rows)
    if not rows and isinstance(target.outcome, PairDraft):
        rows = [PreferencePair(iteration=iteration, prompt_id=task.prompt_id, origin=PreferencePair.Origin.HUMAN)]
    if rows:
        _place(rows, target)
    mark_stale(iteration)
    return change_to(before, target, task, found)


def _place(rows: list[PreferencePair], target: Standing) -> None:
    """Bring the record to ``target``: one of the rows, the first of which was made first, shows it; others are out.

    A row that was trained on, or measured, keeps its responses; another stands in for it.
    """
    root = rows[0]
    keeper: PreferencePair | None = None
    reason = target.reason
    if isinstance(target.outcome, PairDraft):
        keeper = next((row for row in rows if row.pk and same_sides(record.pair_draft(row), target.outcome)), None)
        if keeper is None and _another_says(root, target.outcome):
            reason = f"Another pair says the same already. {reason}"
        elif keeper is None:
            keeper = next((row for row in rows if not is_used(row)), None) or PreferencePair(
                iteration_id=root.iteration_id,
                prompt_id=root.prompt_id,
                origin=root.origin,
                part=root.part,
                stands_for=root,
            )
    for row in rows:
        if keeper and row.pk == keeper.pk:
            continue
        if _may_go(row):
            row.delete()
        elif keeper:
            _write(row, None, STATES.EXCLUDED, f"Another pair stands in for it. {reason}")
        else:
            _write(row, None, STATES.EXCLUDED, reason if row is root else "Taken back by people.")
    if keeper:
        _write(keeper, cast(PairDraft, target.outcome), target.state, reason)


def _another_says(root: PreferencePair, outcome: PairDraft) -> bool:
    """Whether the same pair stands elsewhere: imported pairs of one prompt may come to say the same.

    A run's own pairs cannot: it makes one of each prompt.
    """
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


def _may_go(row: PreferencePair) -> bool:
    """Whether the row is people's own and nothing refers to it."""
    made_by_people = row.stands_for_id is not None or row.origin == PreferencePair.Origin.HUMAN
    return made_by_people and not is_used(row) and not row.review_tasks.exists() and not row.stand_ins.exists()


def _keep_scores(task: Task, found: Verdict | None, response_id: int) -> None:
    """Make people's scores of a response in the record those in force: a row by judge, the one that counts the newest.

    A row that stays as it is keeps its id, by which frozen rows name it.
    """
    if task.queue.kind == Queue.Kind.PAIR and not task.queue.with_scores:
        return
    people = Judgement.objects.filter(response=response_id, source=Judgement.Source.HUMAN, judge__kind__in=Judge.PEOPLE)
    rows = list(people.order_by("pk"))
    wanted: dict[Judge, Word] = {}
    for item, word in scores_on(response_id, task, found):
        judge = panel_judge(word.judge) if word.of_several else person_judge(word.judge, word.person_id)
        wanted.pop(judge, None)
        wanted[judge] = (item, word)
    drafts = [_people_score(judge, *word, response_id) for judge, word in wanted.items()]
    kept = 0
    while kept < min(len(rows), len(drafts)) and _says_the_same(rows[kept], drafts[kept]):
        kept += 1
    Judgement.objects.filter(pk__in=[row.pk for row in rows[kept:]]).delete()
    for draft in drafts[kept:]:
        draft.save()
    _point_at(task, response_id, None)
    for (item, _), row in zip(wanted.values(), [*rows[:kept], *drafts[kept:]], strict=True):
        if item.pk == task.pk:
            _point_at(task, response_id, row)
        elif getattr(item, f"{_slot(item, response_id)}_id") != row.pk:
            Task.objects.filter(pk=item.pk).update(**{_slot(item, response_id): row})


def _says_the_same(one: Judgement, other: Judgement) -> bool:
    return (one.judge_id, one.score, one.rationale) == (other.judge_id, other.score, other.rationale)


def _slot(task: Task, response_id: int) -> str:
    return "judgement" if task.first_id == response_id else "second_judgement"


def _point_at(task: Task, response_id: int, row: Judgement | None) -> None:
    setattr(task, _slot(task, response_id), row)


def _people_score(judge: Judge, item: Task, word: Verdict, response_id: int) -> Judgement:
    """People's score of a response as a row of the record, not saved yet."""
    score, reason = cast(float, score_of(item, word, response_id)), reason_of(item, word, response_id)
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
    """Say on every snapshot that holds pairs of this iteration whether it still is what would be frozen now."""
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
        # What says the same in other rows, such as a text that two people wrote, would freeze to the same.
        gone, new = (before - after).total(), (after - before).total()
        reason = ""
        if gone or new:
            reason = (
                f"People decided after the freeze: {gone} of its pairs would be left out now, and {new} would come in. "
                "The snapshot and the model trained on it stay as they are; run again to train with the decisions."
            )
        if snapshot.stale_reason != reason:
            snapshot.stale_reason = reason
            snapshot.save(update_fields=["stale_reason"])


def _contents(pairs: QuerySet[PreferencePair]) -> Counter[tuple[int, str, str]]:
    return Counter(pairs.values_list("prompt_id", "chosen__text", "rejected__text"))


def keep_original(pair: PreferencePair) -> dict[str, Any]:
    """What :attr:`Task.original` keeps of a pair."""
    return {**asdict(record.pair_draft(pair)), "state": pair.state}
