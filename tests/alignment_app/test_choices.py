"""Checkpoint selection on the pages of a run and a checkpoint: λ trials and early-stopping checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alignment_app.models import Checkpoint, Iteration, Prompt, Response, Stage, StepCheck, StepComparison
from alignment_app.models.payloads import MetricsPayload
from alignment_app.selectors.curves import curves
from alignment_app.services import events
from tests.support.judge_rows import teacher_judge
from tests.support.people import person
from tests.support.stories import Story

pytestmark = pytest.mark.django_db


@pytest.fixture
def lead(client: Client) -> Client:
    client.force_login(person())
    return client


def iteration_with(story: Story, *, lam: float | None = None, **progress: Any) -> Iteration:
    """Iteration 1 of the story, with this training progress and this selected λ."""
    iteration = story.run.iterations.get(number=1)
    result = {} if lam is None else {"lam": lam}
    Stage.objects.filter(iteration=iteration, kind="training").update(progress=progress, result=result)
    return iteration


def stopped(iteration: Iteration) -> None:
    """Three checkpoints: the second won, the third did not."""
    told: list[dict[str, Any]] = [
        {"step": 25, "decision": "first"},
        {"step": 50, "against_step": 25, "wins": 3, "losses": 1, "decision": "go_on"},
        {"step": 75, "against_step": 50, "wins": 1, "losses": 2, "unparsed": 1, "decision": "stop", "reason": "Stops."},
    ]
    for fields in told:
        StepCheck.objects.create(iteration=iteration, judge=teacher_judge(iteration.run), **fields)
    verdicts = [("first", "second"), ("second", "first"), ("second", "first"), ("first", "unparsed")]
    for prompt, (first, second) in zip(Prompt.objects.filter(dataset__name="story-test"), verdicts, strict=False):
        newer, older = (
            Response.objects.create(
                prompt=prompt, iteration=iteration, source="student", purpose="validation", index=step,
                text=f"answer <b>{step}</b>",
            )
            for step in (75, 50)
        )  # fmt: skip
        outcome = {"first": "win", "second": "lose"}[first] if second != "unparsed" else "tie"
        StepComparison.objects.create(
            iteration=iteration, step=75, prompt=prompt, response=newer, against=older, verdict_first=first,
            verdict_second=second, raw_first="because", raw_second="therefore", outcome=outcome,
        )  # fmt: skip


def test_run_and_checkpoint_show_the_trials_of_lambda(lead: Client) -> None:
    story = Story.launch().to_the_end()
    trials = [
        {"lam": lam, "accuracy": accuracy, "margin": 1.0, "loss": 0.6, "seconds": 9, "pairs": 50, "steps": 7}
        for lam, accuracy in ((0.1, 0.5), (0.3, 0.72))
    ]
    iteration = iteration_with(story, trials=trials, lam=0.3)
    checkpoint = Checkpoint.objects.get(run=story.run, iteration=iteration)
    pages = (reverse("run", args=[story.run.pk]), reverse("checkpoint", args=[checkpoint.pk]))
    for text in (lead.get(page).content.decode() for page in pages):
        assert "measured on 50 held-out" in text
        assert "72" in text
        assert text.count("chosen</span>") == 1
    part = reverse("run-part", args=[story.run.pk, "choices"])
    assert "Selection of M2" in lead.get(part).content.decode()


def test_of_several_trainings_the_one_that_was_taken_is_the_last_of_its_iteration() -> None:
    story = Story.launch().to_the_end()
    for lam in (0.1, 0.3, 0.5):
        points: list[dict[str, Any]] = [{"step": 1, "total_steps": 1, "loss": lam}]
        payload = MetricsPayload(iteration=1, stage="training", series=f"λ {lam:g}", points=points)
        events.append(story.run.pk, payload)
    assert [curve.series for curve in curves(story.run, iteration=1) if curve.series][-1] == "λ 0.5"
    iteration_with(story, lam=0.3)
    assert [curve.series for curve in curves(story.run, iteration=1) if curve.series][-1] == "λ 0.3"


def test_run_and_checkpoint_show_every_check_of_early_stopping_and_open_its_rows(lead: Client) -> None:
    story = Story.launch().to_the_end()
    iteration = iteration_with(story, steps_checked=3)
    stopped(iteration)
    checkpoint = Checkpoint.objects.get(run=story.run, iteration=iteration)
    rows = reverse("run-step", args=[story.run.pk, 1, 75])
    for page in (reverse("run", args=[story.run.pk]), reverse("checkpoint", args=[checkpoint.pk])):
        text = lead.get(page).content.decode()
        assert rows in text
        assert "selected" in text
        assert "+ 1 unparsed" in text
    text = lead.get(rows).content.decode()
    assert text.count('<article class="panel evidence">') == 4
    assert "answer &lt;b&gt;75&lt;/b&gt;" in text
    assert "because" in text
    for outcome, number in (("win", 1), ("lose", 2), ("tie", 0), ("unparsed", 1), ("nonsense", 4)):
        text = lead.get(rows, {"outcome": outcome}).content.decode()
        assert text.count('<article class="panel evidence">') == number, outcome


def test_a_running_comparison_is_shown(lead: Client) -> None:
    story = Story.launch().until(1, "training", 0.5)
    iteration_with(story, comparing={"step": 50, "against": 25, "done": 3, "total": 40})
    text = " ".join(lead.get(reverse("run-part", args=[story.run.pk, "choices"])).content.decode().split())
    assert "Comparing step 50 with step 25" in text
    assert "3 of 40" in text


def test_the_first_checkpoint_and_unknown_steps_have_no_rows(lead: Client) -> None:
    story = Story.launch().to_the_end()
    stopped(iteration_with(story, steps_checked=3))
    for step in (25, 60):
        assert lead.get(reverse("run-step", args=[story.run.pk, 1, step])).status_code == 404
