"""Queues of pairs in which people score both responses beside the decision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import Judgement, PreferencePair
from alignment_app.services.errors import Refused
from labeling.models import Queue, Task
from labeling.selectors.preview import preview
from labeling.services import reviews
from labeling.services.reviews import Answer
from tests.labeling.test_leases import take

Make = Callable[..., Queue]


def scores_of(task: Task, first: float, second: float) -> dict[str, float]:
    return {str(task.first_id): first, str(task.second_id): second}


def people_say(task: Task) -> dict[int, float | None]:
    rows = Judgement.objects.filter(source="human", response__in=[task.first_id, task.second_id])
    return dict(rows.values_list("response_id", "score"))


def test_both_scores_enter_the_record_and_the_pair_takes_its_margin_from_them(
    make: Make, annotators: list[User]
) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    task = assignment.task
    given = scores_of(task, 1, 4)
    read = reviews.read_answer(assignment.queue, task, Answer(preferred=task.second_id, scores=given))
    promised = preview(task, read.decision, None, read.scores)
    saved = reviews.submit(assignment, Answer(preferred=task.second_id, scores=given, reason="checks its facts"))
    assert saved.review.scores == {"first": 1.0, "second": 4.0}
    pair = PreferencePair.objects.get(pk=task.pair_id)
    assert (pair.chosen_id, pair.chosen_score, pair.rejected_score, pair.margin) == (task.second_id, 4.0, 1.0, 3.0)
    assert people_say(task) == {task.first_id: 1.0, task.second_id: 4.0}
    assert promised.margin == 3.0
    assert saved.change is not None
    assert promised.sentence == saved.change.sentence
    assert promised.sentence.endswith("ahead by 3.")


def test_taking_the_answer_back_takes_both_scores_back_and_gives_them_as_draft(
    make: Make, annotators: list[User]
) -> None:
    queue = make(with_scores=True)
    assignment = take(queue, annotators[0])
    task = assignment.task
    before = PreferencePair.objects.filter(pk=task.pair_id).values().get()
    given = scores_of(task, 5, 2)
    reviews.submit(assignment, Answer(preferred=task.first_id, scores=given))
    again = reviews.undo(queue, annotators[0])
    after = PreferencePair.objects.filter(pk=task.pair_id).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert people_say(task) == {}
    assert again is not None
    assert again.draft == {"preferred": task.first_id, "scores": given}


def test_several_people_s_scores_count_by_their_median(make: Make, annotators: list[User]) -> None:
    queue = make(with_scores=True, overlap=3)
    for person, (first, second) in zip(annotators, ((5, 1), (4, 2), (3, 0)), strict=True):
        assignment = take(queue, person)
        task = assignment.task
        reviews.submit(assignment, Answer("confirm", scores=scores_of(task, first, second)))
    assert people_say(task) == {task.first_id: 4.0, task.second_id: 1.0}


def test_equal_scores_may_hide_a_preference(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    saved = reviews.submit(assignment, Answer("flip", scores=scores_of(assignment.task, 3, 3)))
    assert PreferencePair.objects.get(pk=assignment.task.pair_id).margin == 0.0
    assert saved.review.decision == "flip"


def test_scores_are_the_person_s_to_leave_out(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    assert reviews.submit(assignment, Answer("tie")).review.scores is None
    assert people_say(assignment.task) == {}


@pytest.mark.parametrize(
    ("decision", "first", "second", "code"),
    [
        ("confirm", 1, 4, "scores-contradict"),
        ("flip", 4, 1, "scores-contradict"),
        ("tie", 6, 1, "bad-score"),
        ("tie", 1.5, 1, "bad-score"),
        ("tie", float("nan"), 1, "bad-score"),
    ],
)
def test_scores_that_cannot_be_used_are_refused_and_nothing_is_written(
    make: Make, annotators: list[User], decision: str, first: float, second: float, code: str
) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    with pytest.raises(Refused) as refusal:
        reviews.submit(assignment, Answer(decision, scores=scores_of(assignment.task, first, second)))
    assert refusal.value.code == code
    assert not assignment.task.reviews.exists()


def test_one_score_alone_and_scores_where_none_are_asked_are_refused(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    with pytest.raises(Refused, match="both responses"):
        reviews.submit(assignment, Answer("tie", scores={str(assignment.task.first_id): 3}))
    other = take(make(name="without"), annotators[1])
    with pytest.raises(Refused, match="takes no scores"):
        reviews.submit(other, Answer("tie", scores=scores_of(other.task, 3, 3)))


def test_a_held_out_queue_keeps_the_scores_and_changes_nothing(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True, held_out=True), annotators[0])
    saved = reviews.submit(assignment, Answer("confirm", scores=scores_of(assignment.task, 4, 1)))
    assert saved.review.scores == {"first": 4.0, "second": 1.0}
    assert people_say(assignment.task) == {}


def test_only_queues_of_pairs_ask_for_both_scores(make: Make) -> None:
    with pytest.raises(Refused, match="queues of pairs"):
        make("score", with_scores=True)
