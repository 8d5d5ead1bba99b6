"""Pair queues in which people also score both responses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import Iteration, Judgement, PreferencePair
from alignment_app.services.errors import Refused
from labeling.models import Queue, Task
from labeling.pages.preview import preview
from labeling.selectors import corrections
from labeling.services import leases, reviews
from labeling.services.answers import Answer, read_answer
from tests.support.review import take
from training import judges
from training.config import RunConfig

Make = Callable[..., Queue]


def scores_of(task: Task, first: float, second: float) -> dict[str, float]:
    return {str(task.first_id): first, str(task.second_id): second}


def people_say(task: Task) -> dict[int, float | None]:
    rows = Judgement.objects.filter(source="human", response__in=[task.first_id, task.second_id])
    return dict(rows.values_list("response_id", "score"))


def test_both_scores_are_stored_and_set_the_pair_s_margin(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    task = assignment.task
    given = scores_of(task, 1, 4)
    read = read_answer(assignment.queue, task, Answer(preferred=task.second_id, scores=given))
    promised = preview(task, read.decision, None, read.scores)
    saved = reviews.submit(assignment, Answer(preferred=task.second_id, scores=given, reason="checks its facts"))
    assert saved.review.scores == {"first": 1.0, "second": 4.0}
    pair = PreferencePair.objects.get(pk=task.pair_id)
    assert (pair.chosen_id, pair.chosen_score, pair.rejected_score, pair.margin) == (task.second_id, 4.0, 1.0, 3.0)
    assert people_say(task) == {task.first_id: 1.0, task.second_id: 4.0}
    assert promised.margin == 3.0
    assert saved.change is not None
    assert promised.sentence == saved.change.sentence
    assert "People scored this response higher by 3." in promised.sentence


def test_taking_the_answer_back_deletes_both_scores_and_restores_them_as_draft(
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


def test_equal_scores_are_allowed_with_a_preference(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    saved = reviews.submit(assignment, Answer("flip", scores=scores_of(assignment.task, 3, 3)))
    assert PreferencePair.objects.get(pk=assignment.task.pair_id).margin == 0.0
    assert saved.review.decision == "flip"


def test_scores_are_optional(make: Make, annotators: list[User]) -> None:
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
def test_invalid_scores_are_refused_and_nothing_is_written(
    make: Make, annotators: list[User], decision: str, first: float, second: float, code: str
) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    with pytest.raises(Refused) as refusal:
        reviews.submit(assignment, Answer(decision, scores=scores_of(assignment.task, first, second)))
    assert refusal.value.code == code
    assert not assignment.task.reviews.exists()


def test_a_single_score_and_unrequested_scores_are_refused(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    with pytest.raises(Refused, match="or neither") as one_score:
        reviews.submit(assignment, Answer("tie", scores={str(assignment.task.first_id): 3}))
    assert one_score.value.code == "bad-score"
    with pytest.raises(Refused, match="needs the scores"):
        reviews.submit(assignment, Answer("tie", reasons={str(assignment.task.first_id): "Kind."}))
    other = take(make(name="without"), annotators[1])
    with pytest.raises(Refused) as unrequested:
        reviews.submit(other, Answer("tie", scores=scores_of(other.task, 3, 3)))
    assert unrequested.value.code == "no-scores"


def test_a_held_out_queue_stores_the_scores_and_changes_nothing(make: Make, annotators: list[User]) -> None:
    assignment = take(make(with_scores=True, held_out=True), annotators[0])
    saved = reviews.submit(assignment, Answer("confirm", scores=scores_of(assignment.task, 4, 1)))
    assert saved.review.scores == {"first": 4.0, "second": 1.0}
    assert people_say(assignment.task) == {}


def test_only_pair_queues_can_ask_for_both_scores(make: Make) -> None:
    with pytest.raises(Refused) as refusal:
        make("score", with_scores=True)
    assert refusal.value.code == "bad-queue"


# ---------------------------------------------------------------- scores that train the judge


def said_of(task: Task, first: str, second: str) -> dict[str, str]:
    return {str(task.first_id): first, str(task.second_id): second}


def trains(iteration: Iteration) -> dict[int, tuple[float | None, str]]:
    """The scores and reasons, by response id, that would train the judge of a run on the same prompts."""
    data = {**iteration.run.config, "sft": {"corrections": "same_data"}}
    config = RunConfig.parse(data)
    rows = corrections.usable(corrections.scores_for(config), config)
    assert len(list(corrections.sft_rows(config, judges.get(judges.SCORING)))) == rows.count()
    return {row.response_id: (row.score, row.rationale) for row in rows}


def test_reasons_of_scores_train_the_judge_and_reasons_of_decisions_do_not(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    queue = make(with_scores=True)
    assignment = take(queue, annotators[0])
    task = assignment.task
    answer = Answer("flip", reason="B is the better one.", scores=scores_of(task, 1, 4),
                    reasons=said_of(task, "", "Names three plants."))  # fmt: skip
    review = reviews.submit(assignment, answer).review
    assert review.reasons == {"first": "", "second": "Names three plants."}
    assert trains(iteration) == {task.second_id: (4.0, "Names three plants.")}
    found = corrections.count(corrections.scores_of(queue))
    assert (found.usable, found.without_reason) == (1, 1)
    assert reviews.submit(assignment, answer).review.pk == review.pk
    again = reviews.undo(queue, annotators[0])
    assert again is not None
    assert again.draft["reasons"] == said_of(task, "", "Names three plants.")
    assert trains(iteration) == {}


def test_the_majority_gives_one_score_with_its_joined_reasons(
    make: Make, annotators: list[User], iteration: Iteration, lead: User
) -> None:
    queue = make(with_scores=True, overlap=3)
    for person, decision, first, why in zip(
        annotators, ("confirm", "confirm", "tie"), (5, 4, 0), ("Clear.", "Short.", "Bad."), strict=True
    ):
        assignment = take(queue, person)
        task = assignment.task
        assert trains(iteration) == {}
        given = Answer(decision, scores=scores_of(task, first, 0), reasons=said_of(task, why, ""))
        reviews.submit(assignment, given)
    assert trains(iteration) == {task.first_id: (4.5, "Clear. Short.")}
    word = Answer("both_bad", scores=scores_of(task, 1, 1), reasons=said_of(task, "Wrong.", ""))
    reviews.adjudicate(task, word, by=lead)
    assert trains(iteration) == {task.first_id: (1.0, "Wrong.")}


def test_scores_of_score_queues_and_pair_queues_follow_the_same_rule(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    beside = take(make(with_scores=True), annotators[0])
    task = beside.task
    reviews.submit(beside, Answer("confirm", scores=scores_of(task, 5, 1), reasons=said_of(task, "Early.", "")))
    alone = make("score")
    item = alone.tasks.get(first=task.first_id)
    assert leases.take_slot(item.pk)
    lent = leases._lease(item.pk, alone, annotators[1], alone.created_at)
    later = reviews.submit(lent, Answer(score=2.0, reason="Later.")).review
    assert trains(iteration) == {task.first_id: (2.0, "Later.")}
    reviews.take_back(later, by=annotators[1])
    assert trains(iteration) == {task.first_id: (5.0, "Early.")}


def test_scores_of_pair_queues_on_held_out_prompts_do_not_train_a_judge(
    make: Make, annotators: list[User], iteration: Iteration
) -> None:
    assignment = take(make(with_scores=True), annotators[0])
    task = assignment.task
    reviews.submit(assignment, Answer("confirm", scores=scores_of(task, 3, 3), reasons=said_of(task, "So.", "No.")))
    assert len(trains(iteration)) == 2
    held = make(with_scores=True, held_out=True)
    assert trains(iteration) == {}
    other = take(held, annotators[1])
    reviews.submit(other, Answer("tie", scores=scores_of(other.task, 2, 2), reasons=said_of(other.task, "No.", "No.")))
    assert trains(iteration) == {}
