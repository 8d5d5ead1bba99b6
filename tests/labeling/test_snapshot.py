"""Decisions and the frozen training set."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import (
    DatasetSnapshot,
    Iteration,
    IterationPrompt,
    PreferencePair,
    Response,
    Run,
    SnapshotItem,
)
from alignment_app.selectors import work
from alignment_app.services import artifacts, stages
from labeling.models import Queue, Review
from labeling.pages.preview import preview
from labeling.services import queues, reviews
from labeling.services.answers import Answer
from tests.support.review import take

pytestmark = pytest.mark.django_db


def test_forty_decisions_with_fifteen_flips_are_frozen_as_previewed(
    make_waiting_run: Callable[..., Iteration], annotators: list[User], lead: User
) -> None:
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(60)), name="forty")
    made = {pair.prompt_id: (pair.chosen_id, pair.rejected_id) for pair in PreferencePair.objects.all()}
    new = queues.NewQueue("forty", "pair", order="random", gate="count", gate_count=40, min_seconds=0.0)
    queue = queues.make_queue(new, by=lead, iteration=iteration)
    expected = dict(made)
    decisions = ["flip"] * 15 + ["confirm"] * 20 + ["tie"] * 5
    for number, decision in enumerate(decisions):
        assert Run.objects.get(pk=iteration.run_id).status == "waiting"
        assignment = take(queue, annotators[number % 3])
        promised = preview(assignment.task, decision)
        prompt = assignment.task.prompt_id
        expected[prompt] = made[prompt][::-1] if decision == "flip" else made[prompt]
        if decision == "tie":
            del expected[prompt]
        reviews.submit(assignment, Answer(decision, reason=f"decision {number}"))
    assert Run.objects.get(pk=iteration.run_id).status == "queued"
    assert promised.pairs_after == len(expected) == 55

    attempt = stages.claim(iteration.run_id, "light", worker="test", host="here", pid=1)
    assert attempt is not None
    assert attempt.stage.kind == "dataset"
    rows = work.preference_rows(iteration.run_id, 1, mix_previous=False)
    snapshot = artifacts.freeze(attempt, attempt.stage.iteration, "preference", rows)
    frozen = snapshot.items.select_related("pair")
    assert {item.pair.prompt_id: (item.pair.chosen_id, item.pair.rejected_id) for item in frozen} == expected  # type: ignore[union-attr]
    texts = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in artifacts.read_snapshot(snapshot)}
    assert len(texts) == 55
    by_people = [item.pair for item in frozen if item.pair and item.pair.state != "proposed"]
    assert sum(pair.state == "overridden" for pair in by_people) == 15
    assert all(any(name in pair.reason for name in ("ana", "ben", "cleo")) for pair in by_people)
    assert Review.objects.filter(in_force=True).count() == 40


def test_a_queue_made_after_the_freeze_still_marks_the_snapshot_stale(
    iteration: Iteration, annotators: list[User], lead: User, make: Callable[..., Queue]
) -> None:
    from alignment_app.services import runs

    runs.approve_review(iteration, user=lead)
    attempt = stages.claim(iteration.run_id, "light", worker="test", host="here", pid=1)
    assert attempt is not None
    rows = work.preference_rows(iteration.run_id, 1, mix_previous=False)
    snapshot = artifacts.freeze(attempt, attempt.stage.iteration, "preference", rows)
    before = artifacts.read_snapshot(snapshot)
    assignment = take(make(), annotators[0])
    assert "becomes stale" in preview(assignment.task, "tie").note
    assert "becomes stale" not in preview(assignment.task, "confirm").note
    reviews.submit(assignment, Answer("tie"))
    snapshot.refresh_from_db()
    assert "1 of its pairs would be left out now, and 0 would come in" in snapshot.stale_reason
    assert artifacts.read_snapshot(snapshot) == before


def test_current_pairs_become_a_data_set_that_a_clone_can_train_on(
    iteration: Iteration, annotators: list[User], lead: User, make: Callable[..., Queue]
) -> None:
    from alignment_app.services.errors import Refused
    from labeling.services import corrections

    queue = make()
    flipped, dropped = take(queue, annotators[0]), take(queue, annotators[1])
    reviews.submit(flipped, Answer("flip"))
    reviews.submit(dropped, Answer("both_bad"))
    dataset, count = corrections.export_pairs(iteration, "reviewed", by=lead)
    assert count == 2
    pairs = {draft.prompt_id: draft for draft in work.imported_pairs(iteration, dataset, 10, 1)}
    assert len(pairs) == 2
    texts = {
        (pair.chosen.text, pair.rejected.text, pair.chosen_score)
        for pair in PreferencePair.objects.filter(prompt__dataset=dataset)
    }
    assert (flipped.task.second.text, flipped.task.first.text, 1.0) in texts  # type: ignore[union-attr]
    with pytest.raises(Refused, match="Choose another name"):
        corrections.export_pairs(iteration, "reviewed", by=lead)


def test_a_snapshot_of_several_iterations_counts_the_changes_in_each(
    iteration: Iteration, annotators: list[User], lead: User
) -> None:
    """With ``mix_previous`` a snapshot has pairs of earlier iterations; changes in each iteration count."""
    run = iteration.run
    run.config["training"]["mix_previous"] = True
    run.save(update_fields=["config"])
    second = Iteration.objects.create(run=run, number=2, score_rule=iteration.score_rule)
    last = PreferencePair.objects.latest("pk")
    for rows in (PreferencePair.objects, Response.objects, IterationPrompt.objects):
        rows.filter(prompt=last.prompt).update(iteration=second)
    snapshot = DatasetSnapshot.objects.create(
        iteration=second, kind="preference", content_hash="0" * 64, path="snapshots/x.jsonl", row_count=3
    )
    for position, (_, traced) in enumerate(work.preference_rows(run.pk, 2, mix_previous=True)):
        SnapshotItem.objects.create(snapshot=snapshot, position=position, **traced)
    assert snapshot.items.count() == PreferencePair.objects.count() == 3
    for number, each in enumerate((second, iteration), start=1):
        new = queues.NewQueue(f"of {each.number}", "pair", order="arrival", min_seconds=0.0)
        reviews.submit(take(queues.make_queue(new, by=lead, iteration=each), annotators[0]), Answer("flip"))
        snapshot.refresh_from_db()
        assert f"{number} of its pairs would be left out now, and {number} would come in" in snapshot.stale_reason


def test_held_out_pairs_are_not_counted_in_the_previewed_training_set(
    make_waiting_run: Callable[..., Iteration], annotators: list[User], lead: User
) -> None:
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(4)), name="held out")
    iteration.run.config["training"]["held_out_pairs"] = 1
    iteration.run.save(update_fields=["config"])
    queue = queues.make_queue(
        queues.NewQueue("q", "pair", order="arrival", min_seconds=0.0), by=lead, iteration=iteration
    )
    first = take(queue, annotators[0]).task
    assert "The freeze holds out 1 of them. Nothing is frozen yet." in preview(first, "confirm").note
    PreferencePair.objects.filter(pk=first.pair_id).update(part="held_out")
    snapshot = DatasetSnapshot.objects.create(
        iteration=iteration, kind="preference", content_hash="0" * 64, path="snapshots/x.jsonl", row_count=3
    )
    for position, (_, traced) in enumerate(work.preference_rows(iteration.run_id, 1, mix_previous=False)):
        SnapshotItem.objects.create(snapshot=snapshot, position=position, **traced)
    held, trained = take(queue, annotators[0]), take(queue, annotators[1])
    assert held.task_id == first.pk
    promised = preview(held.task, "tie")
    assert (promised.pairs_now, promised.pairs_after) == (3, 3)
    assert "The pair was held out at the freeze" in promised.note
    reviews.submit(held, Answer("tie"))
    snapshot.refresh_from_db()
    assert snapshot.stale_reason == ""
    promised = preview(trained.task, "tie")
    reviews.submit(trained, Answer("tie"))
    snapshot.refresh_from_db()
    assert "1 of its pairs would be left out now, and 0 would come in" in snapshot.stale_reason
    left = sum(1 for _ in work.preference_rows(iteration.run_id, 1, mix_previous=False))
    assert promised.pairs_after == left == 2
