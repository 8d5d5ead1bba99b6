"""A stage declared only in this test works in plan, database, job, events, estimate and run page."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pydantic import ValidationError

from alignment_app.models import Run, RunEvent, Stage, StageAttempt
from alignment_app.models.payloads import LogPayload, SamplePayload
from alignment_app.services import events, stages
from tests.support.people import person
from tests.support.stories import Story
from training import plan
from training.config import RunConfig
from training.estimate import estimate
from training.hardware import Hardware
from training.jobs import work
from training.jobs.stage_work import StageWork
from training.plan.spec import FinishedStage, LiveStageData, StageData, StageSpec, SummaryFormat

pytestmark = pytest.mark.django_db


class CountingResult(StageData):
    counted: int = 0


class CountingProgress(LiveStageData):
    newest: str = ""


def count(job: StageWork) -> CountingResult:
    stages.progress(job.attempt, done=3, total=3, rate=None, newest="pebble")
    return CountingResult(counted=3)


def seconds(workload: object, number: int) -> float:
    return 12.5


def summary(result: CountingResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    return f"{words.number(result.counted)} stones", "none is missing"


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> StageSpec:
    spec = StageSpec(
        kind="counting",
        title="Counting",
        unit="stones",
        queue="training",
        applies=lambda config, number: number == 0,
        job=f"{__name__}:count",
        result=CountingResult,
        progress=CountingProgress,
        summary=summary,
        refreshes=("figures",),
        estimate=f"{__name__}:seconds",
    )
    monkeypatch.setattr(plan, "LOOP", [spec, *plan.LOOP])
    return spec


def test_a_declared_stage_is_planned_done_published_and_shown(counting: StageSpec, client: Client) -> None:
    run = Story.launch(sft={"enabled": False}).run
    stage = Stage.objects.get(iteration__run=run, kind="counting")
    stage.full_clean()
    assert (stage.queue, stage.unit, stage.status) == ("training", "stones", Stage.Status.QUEUED)
    work(run.pk, "training")
    stage.refresh_from_db()
    assert (stage.status, stage.done) == (Stage.Status.DONE, 3)
    assert stage.figures() == CountingResult(counted=3)
    assert CountingProgress.read(stage.progress).newest == "pebble"

    payload = RunEvent.objects.filter(run=run, payload__kind="counting").latest("seq").payload
    assert (payload["label"], payload["unit"], payload["status"]) == ("Counting", "stones", "done")
    assert (payload["progress"], payload["result"]) == ({"newest": "pebble"}, {"counted": 3})

    client.force_login(person())
    page = client.get(reverse("run-part", args=[run.pk, "loop"])).content.decode()
    assert "3 stones" in page
    assert "none is missing" in page
    assert 'data-refreshes="figures"' in page

    config = RunConfig.parse(run.config | {"student": run.config["student"] | {"model": "org/model-1b"}})
    found = estimate(config, Hardware(2, 24 * 10**9))
    assert found.by_stage[0, "counting"] == 12.5
    assert ("M1: counting", 12.5) in found.parts


def attempt_at(run: Run) -> StageAttempt:
    stage = Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).get()
    attempt = stages.claim(run.pk, stage.queue, worker="w", host="here", pid=1)
    assert attempt is not None
    return attempt


def test_a_result_and_figures_of_another_kind_are_refused(counting: StageSpec) -> None:
    attempt = attempt_at(Story.launch(sft={"enabled": False}).run)
    with pytest.raises(TypeError):
        stages.finish(attempt, StageData())
    with pytest.raises(ValidationError):
        stages.progress(attempt, done=1, total=3, rate=None, trials=[])
    stages.finish(attempt, CountingResult(counted=1))
    assert Stage.objects.get(pk=attempt.stage_id).result == {"counted": 1}


def test_events_are_written_by_their_models_alone() -> None:
    run = Story.launch().run
    events.append(run.pk, SamplePayload(iteration=1, prompt=4, stage="responses"))
    newest = RunEvent.objects.filter(run=run).latest("seq")
    assert (newest.kind, newest.payload) == ("sample", {"iteration": 1, "prompt": 4, "stage": "responses"})
    with pytest.raises(ValidationError):
        LogPayload(text="a line", colour="red")  # type: ignore[call-arg]
