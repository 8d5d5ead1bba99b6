"""One registered measure appears in the evaluation, the pages, the API, the CSV file and the estimate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import Dataset, Run, Stage
from alignment_app.pages import compare, studies
from alignment_app.services import runs
from tests.support.stories import Story
from training.config import RunConfig
from training.domain.metric import Metric
from training.estimate import estimate
from training.evaluation import registry
from training.evaluation.measure import EvaluationContext, Measure, Requests, Rows, Sizes
from training.hardware import Hardware
from training.jobs import work

GB = 10**9
LAPTOP = Hardware(cpu_cores=4, memory_bytes=16 * GB, disk_free_bytes=100 * GB)


class ShortAnswers(Measure):
    """Samples three answers per held-out prompt and counts those shorter than ten characters."""

    key = "short_answers"
    title = "Short answers"
    metrics = (
        Metric(
            "short_share",
            "Share of short answers",
            "",
            "percent",
            "down",
            "answers",
            low="short_low",
            high="short_high",
            places=("models", "study"),
        ),
    )

    def rows(self, context: EvaluationContext) -> Rows:
        return Rows(context.responses(self.key).count(), 3 * len(context.prompts))

    def run(self, context: EvaluationContext) -> None:
        context.generate(context.prompts, purpose=self.key, n=3, sampling=context.config.candidates)

    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        answers = context.answers(context.responses(self.key))
        return {"short_share": sum(len(one.text) < 10 for one in answers) / len(answers) if answers else None}

    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        count = 3 * config.evaluation.count
        return [Requests("student", count, sizes.prompt, sizes.response(config.candidates.max_new_tokens))]


@pytest.fixture
def measure() -> Iterator[Measure]:
    """Register the measure, as one line in the registry would."""
    added = ShortAnswers()
    registry.MEASURES.append(added)
    yield added
    registry.MEASURES.remove(added)


def _config(student: Path, **changes: Any) -> RunConfig:
    data: dict[str, Any] = {
        "name": "small",
        "paradigm": "teacher_reward",
        "iterations": 0,
        "seed": 3,
        "student": {"model": str(student), "max_length": 2048},
        "teacher": {"kind": "oracle"},
        "sft": {"datasets": ["seed"], "batch_size": 4, "micro_batch_size": 4},
        "prompts": {"dataset": "train", "count": 6},
        "candidates": {"n": 3, "max_new_tokens": 6, "temperature": 1.0},
        "judging": {"k": 2, "max_new_tokens": 6, "min_parse_rate": 0.5, "min_replies": 10},
        "evaluation": {"dataset": "held out", "count": 3, "max_new_tokens": 6, "self_judge_prompts": 2},
    }
    return RunConfig.parse({**data, **changes})


def _drive(run: Run) -> None:
    while stage := Stage.objects.filter(iteration__run=run, status=Stage.Status.QUEUED).first():
        work(run.pk, stage.queue)


@pytest.mark.django_db(transaction=True)
def test_a_new_measure_runs_with_the_evaluation_and_its_rows_count(
    little_student: Path, questions: dict[str, Dataset], measure: Measure
) -> None:
    run = runs.launch(_config(little_student))
    _drive(run)
    run.refresh_from_db()
    assert run.status == Run.Status.FINISHED, run.status_reason
    m1 = run.checkpoints.get(number=1)
    assert 0 <= m1.evaluation.metrics["short_share"] <= 1
    assert m1.iteration.responses.filter(purpose="short_answers").count() == 9
    stage = Stage.objects.get(iteration__run=run, kind="evaluation")
    assert stage.done == stage.total == 3 * 2 + 6 * 3 + 9
    found = m1.evaluation.metrics
    assert found["score_low"] <= found["mean_score"] <= found["score_high"]
    assert (found["win"], found["n"]) == (None, 0)  # M1 has no previous checkpoint


@pytest.mark.django_db
def test_its_metric_is_on_the_pages_in_the_api_and_in_the_csv_file(admin_client: Client, measure: Measure) -> None:
    run = Story.launch().to_the_end().run
    viewer, (m2, m3) = admin_client, run.checkpoints.filter(number__in=(2, 3)).order_by("number")
    for checkpoint, share in ((m2, 0.25), (m3, 0.125)):
        interval = {"short_low": share - 0.05, "short_high": share + 0.05}
        checkpoint.evaluation.metrics |= {"short_share": share, **interval}
        checkpoint.evaluation.save()
    for address in (reverse("checkpoint", args=[m3.pk]), f"/compare/?checkpoint={m2.pk}&checkpoint={m3.pk}"):
        text = viewer.get(address).content.decode()
        assert "Share of short answers" in text
        assert "12.5\u00a0%" in text
    (row,) = [
        one for one in compare.metric_rows(compare.columns([], [m2.pk, m3.pk])) if one.metric.key == "short_share"
    ]
    assert [cell.best for cell in row.cells] == [False, True]  # lower is better
    text = viewer.get(reverse("run", args=[run.pk])).content.decode()
    assert "Share of short answers" in text
    assert "short_share" in {one["key"] for one in viewer.get("/api/v1/metrics/").json()["results"]}
    (listed,) = [one for one in viewer.get("/api/v1/measures/").json()["results"] if one["key"] == "short_answers"]
    assert (listed["metrics"], listed["datasets"]) == (["short_share"], ["evaluation.dataset"])
    evaluations = viewer.get(f"/api/v1/evaluations/?checkpoint={m3.pk}").json()["results"]
    assert evaluations[0]["metrics"]["short_share"] == 0.125
    assert "short_share" in [metric.key for metric in studies.studied()]


def test_its_cost_is_in_the_estimate(tmp_path: Path) -> None:
    config = _config(Path("acme/model-1.5b"), iterations=1)
    before = estimate(config, LAPTOP)
    added = ShortAnswers()
    registry.MEASURES.append(added)
    try:
        after = estimate(config, LAPTOP)
    finally:
        registry.MEASURES.remove(added)
    assert after.seconds is not None
    assert before.seconds is not None
    assert after.seconds > before.seconds
    assert after.disk_bytes is not None
    assert before.disk_bytes is not None
    assert after.disk_bytes > before.disk_bytes


def test_two_metrics_with_one_key_are_refused(measure: Measure) -> None:
    registry.MEASURES.append(ShortAnswers())
    with pytest.raises(ValueError, match="short_share"):
        registry.metrics()
    registry.MEASURES.pop()


def test_unmet_requirements_of_a_measure_are_codes() -> None:
    head_to_head = next(one for one in registry.MEASURES if one.key == "head_to_head")
    config = _config(Path("m"))
    assert head_to_head.unmet(config, has_previous=True) == ()
    assert head_to_head.unmet(config, has_previous=False) == ("no-previous",)
    alone = _config(Path("m"), teacher={"kind": "none"}, paradigm="self_reward")
    assert head_to_head.unmet(alone, has_previous=False) == ("no-evaluator", "no-previous")
    off = _config(Path("m"), evaluation={"enabled": False})
    assert [one.unmet(off, has_previous=True)[0] for one in registry.MEASURES] == ["off"] * len(registry.MEASURES)
