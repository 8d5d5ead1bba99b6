"""People in the loop, with real training: review decisions, human scores as rows, judge–human agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Judgement, PreferencePair, Response, Run, Stage
from alignment_app.services import artifacts, runs
from labeling.models import Queue
from labeling.pages.preview import preview
from labeling.selectors import calibration
from labeling.services import queues, reviews
from labeling.services.answers import Answer
from tests.support.datasets import make_datasets
from tests.support.judge_rows import checkpoint_judge
from tests.support.people import person
from tests.support.review import take
from tests.support.runs import drive
from training.config import RunConfig
from training.jobs import work
from training.plan import EVALUATION

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_memory_between_tests() -> None:
    cache.clear()


@pytest.fixture
def lead() -> User:
    return person("lead", "lena")


@pytest.fixture
def annotators() -> list[User]:
    return [person("annotator", name) for name in ("ana", "ben", "cleo")]


def launch(student: Path, **changes: Any) -> Run:
    data: dict[str, Any] = {
        "name": "small",
        "paradigm": "teacher_demonstration",
        "iterations": 1,
        "seed": 3,
        "student": {"model": str(student), "max_length": 2048},
        "teacher": {"kind": "oracle"},
        "sft": {"datasets": ["seed"], "batch_size": 4, "micro_batch_size": 4},
        "prompts": {"dataset": "train", "count": 12},
        "candidates": {"n": 2, "max_new_tokens": 4, "temperature": 1.0},
        "judging": {"k": 1, "max_new_tokens": 4},
        "training": {"batch_size": 8, "micro_batch_size": 8, "learning_rate": 1e-3},
        "evaluation": {"dataset": "held out", "count": 2, "max_new_tokens": 4, "self_judge_prompts": 2},
    }
    return runs.launch(RunConfig.parse({**data, **changes}))


def page_of(user: User, name: str, *args: Any) -> str:
    client = Client()
    client.force_login(user)
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_the_page_of_a_trained_checkpoint_names_the_people_the_decisions_and_the_pairs(
    little_student: Path, lead: User, annotators: list[User]
) -> None:
    make_datasets(train=60, held_out=2)
    run = launch(little_student, prompts={"dataset": "train", "count": 60}, review={"enabled": True})
    drive(run)
    iteration = run.iterations.get(number=1)
    new = queues.NewQueue("forty", "pair", order="random", gate="count", gate_count=40, min_seconds=0.0)
    queue = queues.make_queue(new, by=lead, iteration=iteration)
    expected = {pair.prompt_id: (pair.chosen_id, pair.rejected_id) for pair in PreferencePair.objects.all()}
    assert len(expected) == 60
    for number, decision in enumerate(["flip"] * 15 + ["confirm"] * 20 + ["tie"] * 5):
        assignment = take(queue, annotators[number % 3])
        promised = preview(assignment.task, decision)
        prompt = assignment.task.prompt_id
        if decision == "flip":
            expected[prompt] = expected[prompt][::-1]
        elif decision == "tie":
            del expected[prompt]
        reviews.submit(assignment, Answer(decision, reason=f"decision {number}"))
    drive(run)
    run.refresh_from_db()
    assert run.status == Run.Status.FINISHED, run.status_reason

    checkpoint = Checkpoint.objects.get(run=run, number=2)
    assert checkpoint.snapshot is not None
    frozen = [item.pair for item in checkpoint.snapshot.items.select_related("pair")]
    assert {pair.prompt_id: (pair.chosen_id, pair.rejected_id) for pair in frozen if pair} == expected
    assert promised.pairs_after == len(artifacts.read_snapshot(checkpoint.snapshot)) == 55
    page = page_of(lead, "checkpoint", checkpoint.pk)
    assert "40 decisions by 3 people" in page
    for name in ("ana", "ben", "cleo"):
        assert f"<b>{name}</b> flipped" in page
    assert page.count("</b> flipped · <a href=") == 15
    assert page.count("</b> confirmed · <a href=") == 20
    assert page.count('</b> tie · <span class="mute">not in the set</span>') == 5
    assert "decision 0”" in page


def score_all(queue: Queue, people: list[User], score_of: Any = lambda task: 3.0, reason: str = "") -> None:
    for number in range(queue.task_count):
        assignment = take(queue, people[number % len(people)])
        reviews.submit(assignment, Answer("score", score=score_of(assignment.task), reason=reason))


def test_scores_with_reasons_train_the_judge_of_a_clone_and_held_out_ones_never_do(
    little_student: Path, lead: User, annotators: list[User]
) -> None:
    make_datasets(train=12, held_out=2)
    first = launch(little_student)
    drive(first)
    iteration = first.iterations.get(number=1)
    measured = queues.make_queue(
        queues.NewQueue("blind", "score", order="arrival", held_out=True, limit=4, min_seconds=0.0),
        by=lead, iteration=iteration,
    )  # fmt: skip
    score_all(measured, annotators, reason="measures only")
    corrected = queues.make_queue(
        queues.NewQueue("corrections", "score", order="arrival", min_seconds=0.0), by=lead, iteration=iteration
    )
    score_all(corrected, annotators[:2], reason="Too short.")
    clone = launch(
        little_student, iterations=0,
        sft={"datasets": ["seed"], "limit": 6, "corrections": "same_data", "batch_size": 4, "micro_batch_size": 4},
    )  # fmt: skip
    drive(clone)
    clone.refresh_from_db()
    assert clone.status == Run.Status.FINISHED, clone.status_reason
    m1 = Checkpoint.objects.get(run=clone, number=1)
    assert m1.snapshot is not None
    rows = artifacts.read_snapshot(m1.snapshot)
    taught = [row for row in rows if row["completion"].endswith("Score: 3")]
    held_out = set(measured.tasks.values_list("prompt__text", flat=True))
    assert (len(rows), len(taught)) == (6 + 20, 20)
    assert m1.steps == 7  # of 4 rows: the limit on data set rows does not apply to scores
    assert all(row["completion"] == "Too short. Score: 3" for row in taught)
    assert not [row for row in taught if any(text in row["messages"][0]["content"] for text in held_out)]
    page = page_of(lead, "checkpoint", m1.pk)
    assert "Scores that train the judge: ana (10), ben (10)." in page
    data = page_of(lead, "checkpoint-data", m1.pk)
    assert "judge training" in data
    assert "scored by ana" in data


def test_judges_of_a_finished_run_judge_newly_scored_responses_once(
    little_student: Path, lead: User, annotators: list[User]
) -> None:
    make_datasets(train=12, held_out=2)
    run = launch(little_student)
    drive(run)
    queue = queues.make_queue(
        queues.NewQueue("blind", "score", order="arrival", held_out=True, min_seconds=0.0),
        by=lead, iteration=run.iterations.get(number=1),
    )  # fmt: skip
    for number in range(10):
        assignment = take(queue, annotators[number % 3])
        reviews.submit(assignment, Answer("score", score=float(number % 6)))
    scored = set(queue.tasks.filter(answers=1).values_list("first", flat=True))
    before = set(Judgement.objects.values_list("pk", flat=True))
    assert "10 not judged by every model yet" in page_of(lead, "review-judges", run.pk)
    client = Client()
    client.force_login(lead)
    client.post(reverse("review-judges-measure", args=[run.pk]))
    drive(run)
    run.refresh_from_db()
    assert run.status == Run.Status.FINISHED
    new = Judgement.objects.exclude(pk__in=before)
    assert {(row.source, row.judge.label, row.response_id) for row in new} == {
        (source, f"{name} of run {run.pk}", response)
        for source, name in (("self", "M1"), ("self", "M2"), ("teacher", "oracle"))
        for response in scored
    }
    found = calibration.judges_of_run(run)
    assert found is not None
    assert (found.reviewed, found.missing) == (10, 0)
    teacher = next(judge for judge in found.judges if judge.source == "teacher")
    assert teacher.figures.responses == 10
    page = page_of(lead, "review-judges", run.pk)
    assert "Pairwise accuracy" in page
    assert "<svg" in page
    assert "Judge–human agreement" in page_of(lead, "run", run.pk)
    runs.measure_again(run)
    drive(run)
    assert Judgement.objects.count() == len(before) + 30


def to_the_evaluation_of(run: Run, number: int) -> Stage:
    """Work until the evaluation of that iteration is next."""
    while stage := Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).first():
        if (stage.kind, stage.iteration.number) == (EVALUATION.kind, number):
            return stage
        work(run.pk, stage.queue)
    raise AssertionError("the evaluation was never queued")


def judged(response: Response, checkpoint: Checkpoint, score: float) -> None:
    """Save a judgement by that checkpoint, since the little student's own replies contain no score."""
    Judgement.objects.update_or_create(
        response=response,
        source="self",
        judge=checkpoint_judge(checkpoint),
        defaults={
            "iteration": checkpoint.iteration,
            "samples": [{"raw": f"Score: {score}", "score": score, "seed": 1}],
            "parsed_count": 1,
            "sample_count": 1,
            "score": score,
            "spread": 0.0,
        },
    )


def test_a_drifting_judge_pauses_the_run_once_until_it_is_resumed(
    little_student: Path, lead: User, annotators: list[User]
) -> None:
    make_datasets(train=24, held_out=2)
    run = launch(
        little_student,
        iterations=2,
        candidates={"n": 3, "max_new_tokens": 4, "temperature": 1.0},
        evaluation={
            "dataset": "held out", "count": 2, "max_new_tokens": 4, "self_judge_prompts": 2, "stop_on_drift": True
        },
    )  # fmt: skip
    stage = to_the_evaluation_of(run, 1)
    iteration = stage.iteration
    queue = queues.make_queue(
        queues.NewQueue("blind", "score", order="arrival", held_out=True, min_seconds=0.0), by=lead, iteration=iteration
    )
    score_all(queue, annotators, lambda task: float(task.first.index * 2))
    m1, m2 = (Checkpoint.objects.get(run=run, number=number) for number in (1, 2))
    for task in queue.tasks.select_related("first"):
        judged(task.first, m1, task.first.index * 2.0)
        judged(task.first, m2, 4.0 - task.first.index * 2)
    for probe in Response.objects.filter(checkpoint=m1, purpose="probe"):
        judged(probe, m1, 2.0)
        twin = Response.objects.create(
            prompt=probe.prompt, iteration=iteration, checkpoint=m2, source="student", purpose="probe",
            index=probe.index, text="noise",
        )  # fmt: skip
        judged(twin, m2, 4.5)
    work(run.pk, stage.queue)
    run.refresh_from_db()
    assert run.status == Run.Status.PAUSED
    assert run.status_reason.startswith("The judge drifts. From M1 to M2 the model scores its own answers 2.50")
    assert "sft.corrections" in run.status_reason
    for page in (page_of(lead, "run", run.pk), page_of(lead, "review-queue", queue.pk)):
        assert "<b>Judge drift.</b> From M1 to M2" in page
    runs.resume(run, user=lead)
    work(run.pk, stage.queue)
    run.refresh_from_db()
    stage.refresh_from_db()
    assert stage.status == Stage.Status.DONE
    assert run.status in (Run.Status.QUEUED, Run.Status.RUNNING)
    said = [event.payload["text"] for event in run.events.filter(kind="log")]
    assert any("because it was resumed" in text for text in said)
