"""EFT end to end with the student's own judgements: M0, IFT, judgements, rows, M1, and M1 as a judge.

The little student learns the format of a judge's reply but scores at random, so that some rankings agree with people's,
others do not, and some replies contain no score. All models, engines and trainings are real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import IterationPrompt, Judgement, Response, Run
from alignment_app.selectors import rankings
from alignment_app.services import eft_rows, judges, progress, runs
from alignment_app.services.imports import import_rows
from tests.support.datasets import make_datasets
from tests.support.runs import drive, drive_until_killed, kill_9
from training.config import RunConfig
from training.domain.judges import Judge
from training.domain.ranking import ranking_agreement
from training.domain.rows import PromptOutcome
from training.domain.transcripts import user_turn
from training.jobs.health import JudgementProgress
from training.judges import read_judge

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = """
name: short
kind: score
prompt: "Rate <RESPONSE_HERE> for <INSTRUCTION_HERE>"
parser: {kind: number, label: Score, lowest: 0, highest: 5}
examples:
  - {reply: "Score: 4", reads: 4}
  - {reply: "four", reads: unparsed}
"""
RANKED = 24


@pytest.fixture
def config(little_student: Path) -> dict[str, Any]:
    """A run to M1 with EFT on real engines, and its data sets."""
    make_datasets()
    judge = read_judge(SHORT)
    judges.save(SHORT)
    form = [
        {"prompt": judge.render(user_turn(f"Say {n}."), f"It is {n}."), "response": f"Score: {n % 6}"}
        for n in range(72)
    ]
    import_rows("the form", "demonstrations", form)
    ranked = [
        {"prompt": f"Name {n}.", "responses": [{"text": f"One {n}.", "rank": 1}, {"text": f"Two {n}.", "rank": 2}]}
        for n in range(RANKED)
    ]
    import_rows("ranked", "scored", ranked)
    return {
        "name": "taught by itself",
        "paradigm": "self_reward",
        "iterations": 0,
        "seed": 1,
        "student": {"model": str(little_student), "max_length": 256, "dtype": "float32"},
        "engine": {"batch_size": 16},
        "sft": {"datasets": ["the form"], "learning_rate": 2e-2, "final_learning_rate": 2e-3, "epochs": 25,
                "batch_size": 24, "micro_batch_size": 24},
        "candidates": {"n": 2, "max_new_tokens": 8},
        "eft": {"enabled": True, "dataset": "ranked", "k": 3},
        "judging": {"template": "short", "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 10, "min_parse_rate": 0},
        "evaluation": {"dataset": "held out", "count": 2, "max_new_tokens": 8},
    }  # fmt: skip


def test_too_long_ranked_responses_are_skipped_and_logged(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"prompt": "Name all.", "responses": [{"text": "One.", "rank": 1}, {"text": "Two and " * 40, "rank": 2}]}
    import_rows("ranked", "scored", [long])
    run = runs.launch(RunConfig.parse(config | {"evaluation": {"enabled": False}}))
    with monkeypatch.context() as disturbed:  # all other judgements are made first
        disturbed.setattr("training.jobs.eft.record_health", kill_9)
        drive_until_killed(run)
    drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert run.iterations.get().stages.get(kind="ranked_judgements").attempts.count() == 2
    assert run.iterations.get().stages.get(kind="eft").result["selection"]["asked"] == (RANKED * 2 + 1) * 3
    stages = run.iterations.get().stages
    assert stages.get(kind="ranked_judgements").result["left_out"] == {PromptOutcome.TOO_LONG: 1}
    assert IterationPrompt.objects.get(iteration__run=run, prompt__text="Name all.").outcome_code == "too_long"


def test_a_run_without_a_fitting_response_fails_with_the_remedy(config: dict[str, Any]) -> None:
    config["judging"] |= {"max_new_tokens": 240}
    run = drive(runs.launch(RunConfig.parse(config)))
    assert run.status == Run.Status.FAILED
    assert "raise student.max_length" in run.status_reason


def left_by(run: Run) -> dict[str, Any]:
    """Return all rows that EFT made, without database ids."""
    start, m1 = run.iterations.get(), run.checkpoints.get(number=1)
    judged = Judgement.objects.filter(iteration__run=run, source="self", response__iteration__isnull=True)
    rows = Response.objects.filter(prompt__dataset__run=run).order_by("prompt__dataset__name", "prompt__position")
    metrics = m1.evaluation.metrics
    return {
        "judgements": sorted(
            (row.judge.name, row.response.text, str(row.samples), row.score)
            for row in judged.select_related("response", "judge")
        ),
        "rows": [(row.prompt.dataset.name.partition(":")[2], row.prompt.text, row.text) for row in rows],
        "outcomes": sorted(IterationPrompt.objects.filter(iteration=start).values_list("prompt__text", "outcome_code")),
        "numbers": start.stages.get(kind="eft").result,
        "m1": [file["sha256"] for file in m1.files if file["name"] == "model.safetensors"],
        "frozen": start.snapshot.content_hash,
        "measured": {name: value for name, value in metrics.items() if name.startswith("ranking")},
    }


def check(left: dict[str, Any], judge: Judge) -> None:
    """Check that the rows are consistent."""
    numbers, outcomes = left["numbers"]["selection"], [code for _, code in left["outcomes"]]
    assert numbers["asked"] == RANKED * 2 * 3
    assert 0 < numbers["agreeing_prompts"] < RANKED
    assert PromptOutcome.RANKING_DIFFERS in outcomes
    parts = {part: [row for row in left["rows"] if row[0].endswith(part)] for part in ("train", "eval")}
    assert (len(parts["train"]), len(parts["eval"])) == (numbers["train"], numbers["eval"])
    assert numbers["train"]
    assert numbers["eval"]
    for _, prompt, reply in left["rows"]:
        assert prompt.startswith("Rate ")
        assert judge.read(reply).score is not None
    assert left["measured"]["ranking_prompts"] == left["numbers"]["ranking"]["prompts"] > 0


def test_the_students_own_judgements_become_rows_that_train_m1_and_m1_is_measured_by_them(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = drive(runs.launch(RunConfig.parse(config)))
    assert run.status == Run.Status.FINISHED, run.status_reason
    quiet = left_by(run)
    check(quiet, read_judge(SHORT))
    m1 = run.checkpoints.get(number=1)
    held_out: dict[str, list[tuple[float | None, float]]] = {}
    for row in rankings.judged_by(m1).select_related("response__prompt"):
        held_out.setdefault(row.response.prompt.text, []).append(
            (row.score, 1.0 if row.response.text[0] == "O" else 2.0)
        )
    found = ranking_agreement(held_out.values())
    assert quiet["measured"]["ranking_accuracy"] == pytest.approx(found.accuracy)
    assert quiet["measured"]["ranking_exact"] == pytest.approx(found.exact)

    # Killed during the judging of the first model and then of M1, the run ends with the same rows.
    killed = runs.launch(RunConfig.parse(config))
    after_save = progress.Progress.after_save

    def kill_first(self: JudgementProgress) -> None:
        if 10 <= self.done < RANKED * 2:
            kill_9()

    def kill_m1(self: progress.Progress) -> None:
        judged = Judgement.objects.filter(iteration__run=killed, judge__name="M1", judge__purpose="ranked").count()
        if self.attempt.stage.kind == "evaluation" and judged >= 2:
            kill_9()
        after_save(self)

    for place, hook in ((JudgementProgress, kill_first), (progress.Progress, kill_m1)):
        with monkeypatch.context() as disturbed:
            disturbed.setattr(progress, "SAVE_SECONDS", 0.0)
            disturbed.setattr(place, "after_save", hook)
            drive_until_killed(killed)
    drive(killed)
    assert killed.status == Run.Status.FINISHED, killed.status_reason
    assert left_by(killed) == quiet
    assert eft_rows.name_of(killed.pk, "train") != eft_rows.name_of(run.pk, "train")
