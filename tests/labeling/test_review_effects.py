"""Previews, decisions after the freeze, and gates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import (
    Iteration,
    PreferencePair,
    Run,
    RunEvent,
    Stage,
)
from alignment_app.signals import review_counts_due
from labeling.models import Queue
from labeling.pages.preview import preview
from labeling.selectors import pairing
from labeling.services import gates, reviews
from labeling.services.answers import Answer
from tests.support.review import answer_of, freeze, score, score_task, take

Make = Callable[..., Queue]


def sides(pair: PreferencePair) -> tuple[int, int, str]:
    return pair.chosen_id, pair.rejected_id, pair.state


@pytest.mark.parametrize("decision", ["confirm", "flip", "tie", "both_bad"])
def test_the_training_set_matches_the_preview(
    make: Make, annotators: list[User], iteration: Iteration, decision: str
) -> None:
    assignment = take(make(), annotators[0])
    promised = preview(assignment.task, decision)
    saved = reviews.submit(assignment, Answer(decision))
    assert saved.change is not None
    assert (promised.kind, promised.sentence) == (saved.change.kind, saved.change.sentence)
    assert promised.pairs_after == pairing.training_set(iteration).pairs


def test_the_preview_of_a_score_matches_the_resulting_pair(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make("score")
    task = score_task(queue, 2, 3)
    promised = preview(task, "score", 4.0)
    assert (promised.kind, promised.pairs_now, promised.pairs_after, promised.margin) == ("appears", 3, 4, 2.0)
    score(queue, annotators[0], 2, 3, 4.0)
    assert pairing.training_set(iteration).pairs == 4


def test_after_the_freeze_the_trained_pair_keeps_its_responses_and_the_snapshot_is_stale(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make()
    snapshot = freeze(iteration)
    review = answer_of(queue, annotators[0], Answer("flip"))
    trained = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(trained) == (review.task.first_id, review.task.second_id, "excluded")
    stand_in = PreferencePair.objects.get(iteration=iteration, chosen=review.task.second_id)
    assert sides(stand_in) == (review.task.second_id, review.task.first_id, "overridden")
    snapshot.refresh_from_db()
    assert "1 of its pairs would be left out now, and 1 would come in" in snapshot.stale_reason
    reviews.undo(queue, annotators[0])
    snapshot.refresh_from_db()
    assert snapshot.stale_reason == ""
    trained.refresh_from_db()
    assert trained.state == "proposed"
    assert not PreferencePair.objects.filter(pk=stand_in.pk).exists()


def test_the_run_trains_at_the_gate_s_number_of_reviewed_items(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make(gate="count", gate_count=2)
    answer_of(queue, annotators[0], Answer("confirm"))
    assert Run.objects.get(pk=iteration.run_id).status == "waiting"
    review_counts_due.send(Stage)
    stage = Stage.objects.get(iteration=iteration, kind="review")
    assert (stage.status, stage.done) == ("waiting", 1)
    events = RunEvent.objects.filter(run=iteration.run_id, kind="stage")
    assert events.latest("seq").payload["done"] == 1
    before = events.count()
    review_counts_due.send(Stage)
    assert events.count() == before
    answer_of(queue, annotators[1], Answer("flip"))
    stage.refresh_from_db()
    assert (stage.status, stage.done, stage.reason) == ("done", 2, "Review approved by the gate of pair queue.")
    assert Run.objects.get(pk=iteration.run_id).status == "queued"


def test_every_gate_of_an_iteration_must_be_met(make: Make, annotators: list[User], iteration: Iteration) -> None:
    quick = make(gate="share", gate_share=0.3)
    slow = make("score", gate="count", gate_count=1, name="slow")
    make("score", held_out=True)
    answer_of(quick, annotators[0], Answer("confirm"))
    assert Run.objects.get(pk=iteration.run_id).status == "waiting"
    quick.refresh_from_db()
    assert (gates.is_met(quick), gates.waited_for(quick), gates.waited_for(slow)) == (True, [slow], [])
