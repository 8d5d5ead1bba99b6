"""Overlap of a remote teacher's stage with the student's: the same rows, and errors handled in the stage itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from alignment_app.models import Judgement, Response, Run, RunEvent, Stage, StageAttempt, TeacherCall
from alignment_app.pages.spending import costs
from alignment_app.services import keys, runs, spending, stages
from tests.support.datasets import make_datasets
from tests.support.paid_teacher import Teacher, paid_config, rows_of
from tests.support.providers import Provider, Reply, as_json, candidate, chat
from tests.support.runs import drive
from training.jobs import gather, work

pytestmark = pytest.mark.django_db(transaction=True)

PROMPTS, N, K = 12, 4, 2
PATIENCE = 300.0  # seconds: an upper bound, which a test that passes never waits for; a loaded machine needs minutes


class Student:
    """A slow server that acts as the student; its last answers wait for an event."""

    def __init__(self, holds: int) -> None:
        self.release = threading.Event()
        self.served = 0
        self.held_in_vain = False
        self.holds = holds
        self.server = Provider(self.answer)

    def answer(self, text: str, number: int, body: dict[str, Any]) -> Reply:
        with self.server.lock:
            self.served += 1
            is_last = self.served > PROMPTS * N - self.holds
        if not is_last:
            time.sleep(0.1)
        elif not self.release.wait(PATIENCE):
            self.held_in_vain = True
        return chat(f"Maybe {body['seed'] % 97}.")


@pytest.fixture
def teacher() -> Iterator[Teacher]:
    made = Teacher()
    yield made
    made.server.close()


@pytest.fixture
def student() -> Iterator[Student]:
    made = Student(holds=4)
    yield made
    made.release.set()
    made.server.close()


@pytest.fixture
def start(
    little_student: Path, db: None, teacher: Teacher, student: Student, django_user_model: Any
) -> Callable[..., Run]:
    """Launch a small run without working on it."""
    admin = django_user_model.objects.create_superuser("ada", password="x")
    make_datasets(train=PROMPTS)
    keys.store("proof", "gemini", teacher.server.address, "planted-key-5f1c9b7e", by=admin)

    def go(**changes: Any) -> Run:
        student.served, student.held_in_vain = 0, False
        settings: dict[str, Any] = {
            "engine": {"kind": "openai_compatible", "base_url": student.server.address + "/v1", "batch_size": 4},
            "candidates": {"n": N, "max_new_tokens": 6, "temperature": 1.0},
            "judging": {"k": K, "max_new_tokens": 40},
        }
        config = paid_config(little_student, teacher.server.address, count=PROMPTS, **(settings | changes))
        return runs.launch(config)

    return go


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """Results shared between tests for comparison."""
    return {}


@pytest.fixture
def undisturbed(start: Callable[..., Run], student: Student, kept: dict[str, Any]) -> dict[str, Any]:
    """The rows of an undisturbed run, computed once."""
    if not kept:
        student.release.set()
        kept.update(rows_of(drive(start())))
        student.release.clear()
    return kept


@contextmanager
def when_overlapping(made: Callable[[], bool], then: Callable[[], object]) -> Iterator[None]:
    """Perform an action in a thread as soon as the overlapping stage has rows while the student still generates."""
    seen: list[bool] = []

    def watch() -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not seen:
            if made():
                seen.append(True)
                then()
            time.sleep(0.02)
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert seen, "no row was made during the overlap"


def judged() -> bool:
    return Judgement.objects.filter(iteration__run=Run.objects.latest("pk")).count() >= 8


def demonstrated() -> bool:
    made = Response.objects.filter(iteration__run=Run.objects.latest("pk"), purpose=Response.Purpose.DEMONSTRATION)
    return made.count() >= 8


def ended_early(run: Run) -> bool:
    return any("ended early" in event.payload["text"] for event in run.events.filter(kind="log"))


def stage_of(run: Run, kind: str) -> Stage:
    return Stage.objects.get(iteration__run=run, kind=kind, iteration__number=1)


@pytest.mark.parametrize(
    ("paradigm", "kind", "made", "rows"),
    [("teacher_reward", "judgements", judged, 48), ("teacher_demonstration", "demonstrations", demonstrated, 12)],
)
def test_overlapping_and_sequential_stages_make_the_same_rows(
    start: Callable[..., Run],
    student: Student,
    monkeypatch: pytest.MonkeyPatch,
    paradigm: str,
    kind: str,
    made: Callable[[], bool],
    rows: int,
) -> None:
    run = start(paradigm=paradigm)
    with when_overlapping(made, student.release.set):
        run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert not student.held_in_vain
    asked = rows * K if paradigm == "teacher_reward" else rows
    calls = TeacherCall.objects.filter(run=run)
    assert calls.count() == asked  # no request is paid for twice
    assert set(calls.values_list("text", "finish_reason")) == {("", "")}  # the texts are now in the rows
    assert calls.filter(attempt__stage__kind="responses").count() >= 8

    account = costs(run)
    assert account is not None
    assert [(row.where, row.calls) for row in account.stages] == [(f"M2: {kind}", asked)]

    # The page got the progress before the stage itself started, and the end of the overlap.
    told = [
        event.payload
        for event in RunEvent.objects.filter(run=run, kind=RunEvent.Kind.STAGE).order_by("seq")
        if event.payload["kind"] == kind and event.payload["status"] == "pending" and event.payload["total"]
    ]
    assert told[-1]["done"] >= 8
    assert told[-1]["total"] == rows
    assert (told[-1]["rate"], told[-1]["progress"]["in_flight"]) == (None, 0)
    assert stage_of(run, kind).done == rows

    monkeypatch.setattr(gather, "TeacherOverlap", lambda job: nullcontext())
    after = drive(start(paradigm=paradigm))
    assert not TeacherCall.objects.filter(run=after, attempt__stage__kind="responses").exists()
    assert rows_of(run) == rows_of(after)


def test_responses_are_saved_and_judged_while_others_are_still_awaited(
    start: Callable[..., Run], student: Student
) -> None:
    run = start()
    came = PROMPTS * N - student.holds

    def all_of_it() -> bool:
        return Response.objects.filter(iteration__run=run).count() == Judgement.objects.count() == came

    with when_overlapping(all_of_it, student.release.set):
        work(run.pk, "light")
        work(run.pk, "generation")
    assert not student.held_in_vain


def test_a_judge_without_scores_ends_the_overlap_and_pauses_the_run_in_its_own_stage(
    start: Callable[..., Run], teacher: Teacher, student: Student
) -> None:
    teacher.special = lambda text, _: candidate("I would rather not say.")
    run = start(judging={"k": K, "max_new_tokens": 40, "min_replies": 10})
    with when_overlapping(lambda: ended_early(run), student.release.set):
        run = drive(run)
    assert run.status == Run.Status.PAUSED
    assert "contained a score" in run.status_reason
    assert stage_of(run, "responses").status == Stage.Status.DONE
    assert stage_of(run, "judgements").status == Stage.Status.STOPPED
    assert Response.objects.filter(iteration__run=run).count() == PROMPTS * N
    assert TeacherCall.objects.filter(attempt__stage__kind="responses").count() < PROMPTS * N * K


def test_a_budget_exhausted_during_the_overlap_pauses_the_run_in_the_teachers_stage(
    start: Callable[..., Run], student: Student, undisturbed: dict[str, Any]
) -> None:
    run = start(paid={"budget_tokens": 12_000})
    with when_overlapping(lambda: ended_early(run), student.release.set):
        run = drive(run)
    assert run.status == Run.Status.PAUSED
    assert "budget is used up" in run.status_reason
    assert stage_of(run, "responses").status == Stage.Status.DONE
    assert 0 < spending.totals(run.pk)["tokens"] <= 12_000
    spending.set_budget(run, tokens=10**6, usd=None)
    runs.resume(run)
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert rows_of(run) == undisturbed
    # Replies of a judgement that was incomplete when the budget ran out were stored: no request was repeated.
    assert TeacherCall.objects.filter(run=run, outcome="answered").count() == PROMPTS * N * K


def test_a_refused_key_fails_the_teachers_stage_after_the_student_has_finished(
    start: Callable[..., Run], teacher: Teacher, student: Student
) -> None:
    teacher.special = lambda *_: as_json({"error": {"message": "API key not valid", "code": 401}}, 401)
    run = start()
    with when_overlapping(lambda: ended_early(run), student.release.set):
        run = drive(run)
    assert run.status == Run.Status.FAILED
    assert "refused the key" in run.status_reason
    assert stage_of(run, "responses").status == Stage.Status.DONE


def test_a_pause_stops_both_stages_and_judgements_are_paid_once(
    start: Callable[..., Run], student: Student, undisturbed: dict[str, Any]
) -> None:
    run = start()

    def pause() -> None:
        runs.pause(run)
        while stage_of(run, "judgements").rate is not None:  # the teacher stops while the student still generates
            time.sleep(0.02)
        student.release.set()

    with when_overlapping(judged, pause):
        run = drive(run)
    assert run.status == Run.Status.PAUSED
    ahead = stage_of(run, "judgements")
    assert (ahead.status, ahead.rate) == (Stage.Status.PENDING, None)
    assert judged()
    runs.resume(run)
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert TeacherCall.objects.filter(run=run, outcome="answered").count() == PROMPTS * N * K
    assert rows_of(run) == undisturbed


def test_a_worker_without_its_lease_saves_nothing_and_its_successor_repeats_no_row(
    start: Callable[..., Run], student: Student, undisturbed: dict[str, Any]
) -> None:
    run = start()
    judged_by_then: list[int] = []

    def take_away() -> None:
        (attempt,) = StageAttempt.objects.filter(stage__iteration__run=run, outcome="open")
        stages.crash(attempt, "taken away", StageAttempt.Reason.DIED)
        judged_by_then.append(Judgement.objects.count())
        Run.objects.filter(pk=run.pk).update(status=Run.Status.PAUSED)  # do not restart it yet
        student.release.set()

    work(run.pk, "light")
    with when_overlapping(judged, take_away):
        work(run.pk, "generation")
    assert Judgement.objects.count() == judged_by_then[0]
    assert stage_of(run, "judgements").rate is None
    Run.objects.filter(pk=run.pk).update(status=Run.Status.QUEUED)
    run = drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert rows_of(run) == undisturbed
