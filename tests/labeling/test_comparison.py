"""Comparison queues: two checkpoints compared blind by three people, and the result by majority."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from alignment_app.models import Checkpoint, Comparison, Evaluation, Iteration, PreferencePair, Response
from alignment_app.services.errors import Refused
from labeling.models import Queue, Task
from labeling.pages import desk
from labeling.selectors import quality
from labeling.services import queues, reviews
from labeling.services.answers import Answer
from tests.support.review import take

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(iteration: Iteration, lead: User) -> Queue:
    run = iteration.run
    newer = Checkpoint.objects.create(run=run, number=2, kind="preference", config_hash="0", location="m2")
    evaluation = Evaluation.objects.create(checkpoint=newer, prompt_count=3, metrics={})
    for prompt in {response.prompt for response in Response.objects.filter(iteration=iteration)}:
        pair = [
            Response.objects.create(
                prompt=prompt,
                iteration=iteration,
                source="student",
                purpose="evaluation",
                index=index,
                text=f"M{index}",
            )
            for index in (1, 2)
        ]
        Comparison.objects.create(
            evaluation=evaluation, prompt=prompt, response=pair[1], against=pair[0], verdict_first="tie",
            verdict_second="tie", outcome="tie",
        )  # fmt: skip
    new = queues.NewQueue("M2 against M1", "comparison", overlap=3, order="arrival", min_seconds=0.0)
    return queues.make_queue(new, by=lead, evaluation=evaluation)


def test_the_majority_of_three_decides_each_prompt_and_the_result_has_its_interval(
    queue: Queue, annotators: list[User]
) -> None:
    votes = {
        0: ("first", "first", "second"),
        1: ("tie", "tie", "first"),
        2: ("second",) * 3,
        3: ("first", "second", "tie"),
    }
    for number, person in enumerate(annotators):
        for rank in range(queue.task_count):
            assignment = take(queue, person)
            assert assignment.task.rank == rank
            reviews.submit(assignment, Answer(votes[rank][number]))
    result = quality.comparison(queue)
    assert result is not None
    assert (result.win, result.tie, result.lose, result.undecided) == (1, 1, 1, 1)
    assert result.rate == 0.5
    assert result.low is not None
    assert result.high is not None
    assert 0 < result.low < 0.5 < result.high < 1


def test_a_comparison_hides_the_models_and_changes_no_pair(queue: Queue, annotators: list[User]) -> None:
    before = list(PreferencePair.objects.values_list("pk", "state", "chosen"))
    assignment = take(queue, annotators[0])
    item = desk.item(assignment)
    assert item["judge"] is None
    assert "M2 against" not in str(item)
    better = assignment.task.second_id
    assert reviews.submit(assignment, Answer(preferred=better)).review.decision == "second"
    assert list(PreferencePair.objects.values_list("pk", "state", "chosen")) == before


def test_comparison_queues_need_an_evaluation_and_consistent_settings(iteration: Iteration, lead: User) -> None:
    with pytest.raises(Refused, match="evaluation"):
        queues.make_queue(queues.NewQueue("x", "comparison"), by=lead, iteration=iteration)
    for changes in (
        {"overlap": 0},
        {"lease_seconds": 1},
        {"prefill_share": 2.0},
        {"order": "alphabet"},
        {"kind": "essay"},
    ):
        with pytest.raises(Refused) as refusal:
            queues.make_queue(
                queues.NewQueue(**{"name": "x", "kind": "pair"} | changes),
                by=lead,
                iteration=iteration,  # type: ignore[arg-type]
            )
        assert refusal.value.status == 400
    assert not Task.objects.exists()


def test_an_annotator_cannot_create_a_queue(
    iteration: Iteration, annotators: list[User], make: Callable[..., Queue]
) -> None:
    with pytest.raises(Refused, match="Only a lead"):
        queues.make_queue(queues.NewQueue("x", "pair"), by=annotators[0], iteration=iteration)
    with pytest.raises(Refused, match="Only a lead"):
        queues.write_guidelines(make(), "mine", by=annotators[0])
