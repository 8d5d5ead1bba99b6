"""Human scores: which one counts, and which pairs follow from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import (
    Iteration,
    Judgement,
    PreferencePair,
)
from alignment_app.services.errors import Refused
from labeling.models import Queue
from labeling.services import reviews
from labeling.services.answers import Answer
from tests.support.review import answer_of, score, take

Make = Callable[..., Queue]


def sides(pair: PreferencePair) -> tuple[int, int, str]:
    return pair.chosen_id, pair.rejected_id, pair.state


def test_a_person_s_score_is_the_score_in_force_and_remakes_the_pair(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make("score")
    review = score(queue, annotators[0], 0, 0, 5.0)
    judgement = Judgement.objects.get(response=review.task.first_id, source="human")
    assert (judgement.score, judgement.rationale, judgement.judge.label, judgement.judge.person) == (
        5.0, "because", "ana", annotators[0],
    )  # fmt: skip
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=0)
    # The judge had candidate 1 (4.0) over candidate 0 (1.0); now 0 (5.0) is over 2 (2.0).
    assert (pair.chosen.index, pair.rejected.index, pair.state, pair.margin) == (0, 2, "overridden", 3.0)


def test_scores_can_create_and_exclude_a_pair(make: Make, annotators: list[User], iteration: Iteration) -> None:
    queue = make("score")
    assert not PreferencePair.objects.filter(iteration=iteration, prompt__position=2).exists()
    review = score(queue, annotators[0], 2, 3, 4.0)
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=2)
    assert (pair.chosen.index, pair.origin, pair.state) == (3, "human", "overridden")
    reviews.take_back(review, by=annotators[0])
    assert not PreferencePair.objects.filter(iteration=iteration, prompt__position=2).exists()
    assert not Judgement.objects.filter(source="human").exists()


def test_a_score_that_changes_no_order_leaves_the_pair_proposed(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    score(make("score"), annotators[0], 0, 1, 5.0)
    pair = PreferencePair.objects.get(iteration=iteration, prompt__position=0)
    assert (pair.state, pair.chosen.index, pair.chosen_score, pair.margin) == ("proposed", 1, 5.0, 4.0)


def test_a_decision_on_the_pair_counts_before_scores(make: Make, annotators: list[User], iteration: Iteration) -> None:
    decided = answer_of(make(), annotators[0], Answer("confirm")).task
    score(make("score"), annotators[1], decided.prompt.position, 0, 5.0)
    assert sides(PreferencePair.objects.get(pk=decided.pair_id)) == (decided.first_id, decided.second_id, "confirmed")


def test_scores_count_again_when_the_decision_on_the_pair_is_taken_back(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    decided = answer_of(make(), annotators[0], Answer("confirm"))
    task = decided.task
    score(make("score"), annotators[1], task.prompt.position, 0, 5.0)
    reviews.take_back(decided, by=annotators[0])
    pair = PreferencePair.objects.get(pk=task.pair_id)
    assert (pair.chosen.index, pair.rejected.index, pair.state) == (0, 2, "overridden")


def test_several_scores_of_one_response_count_by_their_median(make: Make, annotators: list[User]) -> None:
    queue = make("score", overlap=3, half_points=True)
    for person, value in zip(annotators, (0.5, 4.0, 3.5), strict=True):
        score(queue, person, 0, 0, value)
    judgement = Judgement.objects.get(source="human")
    assert judgement.score == 3.5
    assert judgement.judge.kind == "panel"
    assert "median of 3 people" in judgement.judge.label


def test_scores_off_the_scale_or_its_steps_are_refused(make: Make, annotators: list[User]) -> None:
    assignment = take(make("score"), annotators[0])
    for value in (-1.0, 5.5, 2.5, None, float("nan")):
        with pytest.raises(Refused) as refusal:
            reviews.submit(assignment, Answer(score=value))
        assert refusal.value.status == 400


def test_a_held_out_queue_measures_judges_and_changes_nothing(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    before = [sides(pair) for pair in PreferencePair.objects.all()]
    answer_of(make(held_out=True), annotators[0], Answer("flip"))
    score(make("score", held_out=True), annotators[0], 0, 0, 5.0)
    assert [sides(pair) for pair in PreferencePair.objects.all()] == before
    assert not Judgement.objects.filter(source="human").exists()
