"""Properties of items and reviews: blind, prefilled, sides, gold, pace, guidelines."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User

from alignment_app.models import (
    Iteration,
    PreferencePair,
    Response,
    Run,
)
from labeling.models import Assignment, Queue, Review, Task
from labeling.pages import desk
from labeling.services import leases, queues, reviews
from labeling.services.answers import Answer
from tests.support.review import answer_of, score, take

Make = Callable[..., Queue]


def test_the_judge_is_shown_only_after_the_first_answer_of_a_blind_queue(make: Make, annotators: list[User]) -> None:
    assignment = take(make(), annotators[0])
    assert desk.item(assignment)["judge"] is None
    leases.reveal(assignment, {"decision": "flip"})
    shown = desk.item(assignment)["judge"]
    assert shown["chosen"] == assignment.task.first_id
    saved = reviews.submit(assignment, Answer("confirm"))
    assert (saved.review.first_answer, saved.review.decision) == ({"decision": "flip"}, "confirm")


def test_a_share_of_items_is_prefilled_to_measure_anchoring(make: Make, annotators: list[User]) -> None:
    assignment = take(make(prefill_share=1.0), annotators[0])
    assert desk.item(assignment)["judge"] is not None
    review = reviews.submit(assignment, Answer("confirm")).review
    assert (review.prefilled, review.blind) == (True, False)


def test_sides_differ_by_person_and_item_and_are_stored(
    make_waiting_run: Callable[..., Iteration], annotators: list[User], lead: User
) -> None:
    iteration = make_waiting_run(tuple((1.0, 4.0) for _ in range(30)), name="sides")
    queue = queues.make_queue(queues.NewQueue("sides", "pair", overlap=2), by=lead, iteration=iteration)
    for person in annotators[:2]:
        while (assignment := leases.next_task(queue, person)) is not None:
            first = desk.item(assignment)["items"][0]["id"]
            assert (first == assignment.task.second_id) is assignment.swapped
            reviews.submit(assignment, Answer("confirm"))
    rows = list(Review.objects.values_list("person", "task", "swapped"))
    assert 10 < sum(swapped for _, _, swapped in rows) < 50
    by_person = [{task: swapped for person, task, swapped in rows if person == who.pk} for who in annotators[:2]]
    assert by_person[0] != by_person[1]


def test_a_gold_item_measures_the_person_and_changes_nothing(make: Make, annotators: list[User], lead: User) -> None:
    queue = make()
    task = Task.objects.get(queue=queue, rank=0)
    queues.set_gold(task, {"decision": "flip"}, by=lead)
    gold = take(queue, annotators[0])
    assert gold.task_id == task.pk
    plain = reviews.submit(gold, Answer("confirm")).review
    assert plain.gold_right is False
    assert PreferencePair.objects.get(pk=task.pair_id).state == "proposed"
    other = take(queue, annotators[0])
    assert set(desk.item(gold)) == set(desk.item(other))


def test_an_answer_faster_than_the_queue_allows_is_marked(make: Make, annotators: list[User]) -> None:
    assignment = take(make(min_seconds=3600.0), annotators[0])
    leases.mark_shown(assignment)
    assert reviews.submit(assignment, Answer("confirm")).review.too_fast


def test_every_review_refers_to_its_version_of_the_guidelines(make: Make, annotators: list[User], lead: User) -> None:
    queue = make(guidelines="Be kind.")
    first = answer_of(queue, annotators[0], Answer("confirm"))
    queues.write_guidelines(queue, "Be kind and exact.", by=lead)
    queues.write_guidelines(queue, "Be kind and exact.", by=lead)
    second = answer_of(queue, annotators[0], Answer("confirm"))
    assert [review.guideline.number for review in (first, second) if review.guideline] == [1, 2]
    assert Review.objects.get(pk=first.pk).guideline.text == "Be kind."  # type: ignore[union-attr]


def test_deleting_a_run_deletes_its_queues_and_reviews(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    from alignment_app.services import runs

    score(make("score"), annotators[0], 0, 0, 5.0)
    answer_of(make(), annotators[1], Answer("edit", text="better"))
    run = Run.objects.get(pk=iteration.run_id)
    runs.remove(runs.cancel(run))
    assert not Queue.objects.exists()
    assert not Review.objects.exists()
    assert not Assignment.objects.exists()
    assert not Response.objects.filter(source="human").exists()
