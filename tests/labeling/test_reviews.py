"""Effects of answers on pairs, and taking them back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import (
    PreferencePair,
)
from alignment_app.selectors import work
from alignment_app.services.errors import Refused
from labeling.models import Queue, Review, Task
from labeling.services import reviews
from labeling.services.answers import Answer
from tests.support.review import answer_of, take

Make = Callable[..., Queue]


def sides(pair: PreferencePair) -> tuple[int, int, str]:
    return pair.chosen_id, pair.rejected_id, pair.state


def test_confirm_keeps_the_pair_and_stores_who_confirmed_it(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("confirm", reason="clear"))
    pair = review.task.pair
    assert pair is not None
    pair.refresh_from_db()
    assert (pair.state, pair.chosen_id) == ("confirmed", review.task.first_id)
    assert "ana" in pair.reason
    assert "clear" in pair.reason


def test_flip_swaps_responses_and_scores_and_negates_the_margin(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("flip"))
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(pair) == (review.task.second_id, review.task.first_id, "overridden")
    assert (pair.chosen_score, pair.rejected_score, pair.margin) == (1.0, 4.0, -3.0)
    assert pair.origin == "self"


@pytest.mark.parametrize("decision", ["tie", "both_bad"])
def test_tie_and_both_bad_exclude_the_pair_from_training(make: Make, annotators: list[User], decision: str) -> None:
    review = answer_of(make(), annotators[0], Answer(decision))
    assert PreferencePair.objects.get(pk=review.task.pair_id).state == "excluded"
    rows = list(work.preference_rows(review.task.pair.iteration.run_id, 1, mix_previous=False))  # type: ignore[union-attr]
    assert review.task.pair_id not in [source["pair_id"] for _, source in rows]


def test_the_preferred_response_is_turned_into_confirm_or_flip(make: Make, annotators: list[User]) -> None:
    queue = make()
    first = take(queue, annotators[0])
    assert reviews.submit(first, Answer(preferred=first.task.first_id)).review.decision == "confirm"
    second = take(queue, annotators[0])
    assert reviews.submit(second, Answer(preferred=second.task.second_id)).review.decision == "flip"
    third = take(queue, annotators[0])
    with pytest.raises(Refused, match="not of this item"):
        reviews.submit(third, Answer(preferred=first.task.first_id))


def test_an_edit_becomes_a_response_of_a_person_and_the_chosen_one(make: Make, annotators: list[User]) -> None:
    review = answer_of(make(), annotators[0], Answer("edit", text="Snake plant, every 3 weeks."))
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert (pair.chosen.text, pair.chosen.source, pair.chosen.author) == ("Snake plant, every 3 weeks.", "human", "ana")
    assert (pair.rejected_id, pair.state, pair.chosen_score) == (review.task.second_id, "overridden", None)


def test_a_flag_changes_nothing_and_waits_for_a_lead(make: Make, annotators: list[User], lead: User) -> None:
    review = answer_of(make(), annotators[0], Answer("flag", reason="rude"))
    task = Task.objects.get(pk=review.task_id)
    assert task.flagged
    assert task.pair is not None
    assert task.pair.state == "proposed"
    reviews.adjudicate(task, Answer("tie"), by=lead)
    task.refresh_from_db()
    assert not task.flagged
    assert PreferencePair.objects.get(pk=task.pair_id).state == "excluded"


def test_taking_back_restores_the_pair_and_keeps_the_review(make: Make, annotators: list[User]) -> None:
    queue = make()
    review = answer_of(queue, annotators[0], Answer("flip", reason="hasty"))
    assignment = reviews.undo(queue, annotators[0])
    pair = PreferencePair.objects.get(pk=review.task.pair_id)
    assert sides(pair) == (review.task.first_id, review.task.second_id, "proposed")
    assert (pair.margin, pair.reason) == (3.0, "Highest against lowest.")
    assert list(Review.objects.values_list("decision", "in_force")) == [("flip", False), ("undo", False)]
    assert assignment is not None
    assert (assignment.state, assignment.draft) == ("leased", {"preferred": review.task.second_id, "reason": "hasty"})
    assert take(queue, annotators[0]).task_id == review.task_id
    assert Queue.objects.get(pk=queue.pk).done_count == 0


def test_a_second_answer_replaces_the_first_and_both_stay_in_the_history(make: Make, annotators: list[User]) -> None:
    assignment = take(make(), annotators[0])
    reviews.submit(assignment, Answer("flip"))
    reviews.submit(assignment, Answer("tie"))
    assert list(Review.objects.values_list("decision", "in_force")) == [("flip", False), ("tie", True)]
    assert PreferencePair.objects.get(pk=assignment.task.pair_id).state == "excluded"
    assert Queue.objects.get(pk=assignment.queue_id).done_count == 1


def test_undo_without_an_answer_is_refused(make: Make, annotators: list[User]) -> None:
    with pytest.raises(Refused) as refusal:
        reviews.undo(make(), annotators[0])
    assert refusal.value.code == "nothing-to-undo"


def test_only_a_lead_can_take_back_answers_of_others(make: Make, annotators: list[User], lead: User) -> None:
    review = answer_of(make(), annotators[0], Answer("flip"))
    with pytest.raises(Refused, match="Only a lead"):
        reviews.take_back(review, by=annotators[1])
    reviews.take_back(review, by=lead)
    assert PreferencePair.objects.get(pk=review.task.pair_id).state == "proposed"


def test_the_majority_counts_once_all_people_have_answered(make: Make, annotators: list[User]) -> None:
    queue = make(overlap=3)
    for number, (person, decision) in enumerate(zip(annotators, ("flip", "confirm", "flip"), strict=True)):
        review = answer_of(queue, person, Answer(decision))
        pair = PreferencePair.objects.get(pk=review.task.pair_id)
        assert pair.state == ("overridden" if number == 2 else "proposed")
    task = Task.objects.get(pk=review.task_id)
    assert task.settled_by == "2 of 3 people"
    assert task.agreement == pytest.approx(1 / 3)


def test_without_a_majority_the_pair_stays_until_a_lead_adjudicates(
    make: Make, annotators: list[User], lead: User
) -> None:
    queue = make(overlap=3)
    for person, decision in zip(annotators, ("flip", "confirm", "tie"), strict=True):
        review = answer_of(queue, person, Answer(decision))
    task = Task.objects.get(pk=review.task_id)
    assert (task.settled_by, PreferencePair.objects.get(pk=task.pair_id).state) == ("", "proposed")
    saved = reviews.adjudicate(task, Answer("flip", reason="wrong plant"), by=lead)
    assert PreferencePair.objects.get(pk=task.pair_id).state == "overridden"
    reviews.take_back(saved.review, by=lead)
    assert PreferencePair.objects.get(pk=task.pair_id).state == "proposed"


def test_a_lead_can_adopt_a_late_answer(make: Make, annotators: list[User], lead: User) -> None:
    from tests.support.review import expire

    queue = make()
    mine = take(queue, annotators[0])
    expire(mine)
    reviews.submit(take(queue, annotators[1]), Answer("confirm"))
    with pytest.raises(Refused):
        reviews.submit(mine, Answer("flip", reason="read it twice"))
    late = Review.objects.get(late=True)
    reviews.adopt(late, by=lead)
    pair = PreferencePair.objects.get(pk=mine.task.pair_id)
    assert pair.state == "overridden"
    assert "late answer of ana" in pair.reason
