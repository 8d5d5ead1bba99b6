"""The whole loop in one process with a real model, real trainers and real rows; the oracle is the teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import Checkpoint, Dataset, Judgement, PreferencePair, Response, Run, Stage
from alignment_app.services import artifacts, runs
from tests.support.runs import drive
from training.config import RunConfig
from training.domain.seeds import derive_seed
from training.evaluation.registry import MEASURES

pytestmark = pytest.mark.django_db(transaction=True)

Launch = Callable[..., Run]


@pytest.fixture
def launch(little_student: Path, questions: dict[str, Dataset]) -> Launch:
    """Launch a small run with changes, and work on it until no job is queued."""

    def go(*, until_idle: bool = True, **changes: Any) -> Run:
        data: dict[str, Any] = {
            "name": "small",
            "paradigm": "teacher_reward",
            "iterations": 1,
            "seed": 3,
            "student": {"model": str(little_student), "max_length": 2048},
            "teacher": {"kind": "oracle"},
            "sft": {"datasets": ["seed"], "batch_size": 4, "micro_batch_size": 4},
            "prompts": {"dataset": "train", "count": 6},
            "candidates": {"n": 3, "max_new_tokens": 6, "temperature": 1.0},
            "judging": {"k": 2, "max_new_tokens": 6, "min_parse_rate": 0.5, "min_replies": 10},
            "training": {"batch_size": 2, "micro_batch_size": 2, "learning_rate": 1e-3},
            "evaluation": {"dataset": "held out", "count": 3, "max_new_tokens": 6, "self_judge_prompts": 2},
        }
        run = runs.launch(RunConfig.parse({**data, **changes}))
        if until_idle:
            drive(run)
        run.refresh_from_db()
        return run

    return go


def test_demonstrations_carry_the_loop_from_m0_to_an_evaluated_m2(launch: Launch) -> None:
    run = launch(paradigm="teacher_demonstration")
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert [checkpoint.name for checkpoint in run.checkpoints.all()] == ["M0", "M1", "M2"]
    m2 = run.checkpoints.get(number=2)
    assert m2.parent.name == "M1"
    assert m2.reference.name == "M1"
    assert m2.snapshot.row_count == m2.snapshot.items.count() == 6
    pairs = [item.pair for item in m2.snapshot.items.order_by("position")]
    frozen = artifacts.read_snapshot(m2.snapshot)
    assert [row.get("rejected_cut", False) for row in frozen] == [pair.rejected.was_cut for pair in pairs]
    assert not any("chosen_cut" in row for row in frozen)
    assert any(pair.rejected.was_cut for pair in pairs)
    assert all(pair.origin == PreferencePair.Origin.DEMONSTRATION for pair in PreferencePair.objects.all())
    assert {file["name"] for file in m2.files} >= {"config.json", "model.safetensors", "tokenizer.json"}
    metrics = m2.evaluation.metrics
    assert metrics["win"] + metrics["tie"] + metrics["lose"] == metrics["n"] == 3
    assert metrics["mean_score"] is not None
    assert metrics["judge_parse_rate"] is not None
    # Seeds are those of version 0.1.0, so that a run that it began goes on with the same samples.
    for purpose in Response.Purpose.CANDIDATE, Response.Purpose.EVALUATION, Response.Purpose.PROBE:
        for response in m2.iteration.responses.filter(purpose=purpose):
            assert response.seed == derive_seed(3, purpose, 1, response.prompt.text, response.index)
    assert metrics["win_low"] <= metrics["win_rate"] <= metrics["win_high"]
    before = run.checkpoints.get(number=1).evaluation.metrics
    assert metrics["score_gain_prompts"] == before["scored"] == 3
    assert metrics["score_gain"] == pytest.approx(metrics["mean_score"] - before["mean_score"])
    # "What is 0 plus two?" is near the training prompt "What is 0 plus one?"; M1 was trained on other prompts.
    assert (metrics["leakage_of"], metrics["leakage_same"], metrics["leakage_near"]) == (3, 0, 3)
    assert (before["leakage_of"], before["leakage_prompts"]) == (3, 0)
    stored = [one for one in MEASURES if one.key in ("answers", "head_to_head", "self_judge")]
    keys = {key for one in stored for metric in one.metrics for key in (metric.low, metric.high, metric.count[0])}
    assert keys - {""} - set(metrics) <= {"right_answers_low", "right_answers_high"}
    for comparison in m2.evaluation.comparisons.all():
        assert "Verdict:" in comparison.raw_first
        assert "Verdict:" in comparison.raw_second


def test_every_stage_of_a_finished_run_counts_the_rows_it_made(launch: Launch) -> None:
    run = launch(paradigm="teacher_demonstration")
    counts = {
        stage.kind: (stage.status, stage.done, stage.total) for stage in Stage.objects.filter(iteration__number=1)
    }
    assert counts["prompts"] == ("done", 6, 6)
    assert counts["responses"] == ("done", 18, 18)
    written = Response.objects.filter(iteration__number=1, purpose="candidate")
    assert (
        run.iterations.get(number=1).stages.get(kind="responses").result["cut"]
        == written.filter(finish_reason="length").count()
    )
    assert counts["demonstrations"] == ("done", 6, 6)
    assert counts["dataset"] == ("done", 6, 6)
    assert counts["evaluation"][1] == counts["evaluation"][2]
    assert run.events.filter(kind="metrics").exists()


def test_an_unparsable_self_judge_pauses_the_run_with_the_reason(launch: Launch) -> None:
    run = launch(paradigm="self_reward")
    assert run.status == Run.Status.PAUSED
    assert "replies contained a score" in run.status_reason
    assert not PreferencePair.objects.exists()
    assert Judgement.objects.filter(source="self", score__isnull=True).exists()


def test_a_run_without_pairs_fails_with_the_reasons(launch: Launch) -> None:
    run = launch(candidates={"n": 2, "max_new_tokens": 6, "temperature": 0.0})
    assert run.status == Run.Status.FAILED
    assert "No pair could be made from 6 prompts: 6 × All 2 scored" in run.status_reason


def test_a_resumed_stage_makes_exactly_the_missing_rows(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = launch(paradigm="teacher_demonstration")
    wanted = texts_of(undisturbed)
    frozen = undisturbed.iterations.get(number=1).snapshot.content_hash

    from alignment_app.services import progress

    monkeypatch.setattr(progress, "SAVE_SECONDS", 0.0)
    disturbed = launch(paradigm="teacher_demonstration", until_idle=False, engine={"batch_size": 2})
    seen: list[int] = []

    def pause_in_the_middle(self: progress.Progress) -> None:
        seen.append(self.done)
        if self.attempt.stage.kind == "responses" and 4 <= self.done < 9:
            self.heartbeat.command = "pause"

    monkeypatch.setattr(progress.Progress, "after_save", pause_in_the_middle)
    drive(disturbed)
    disturbed.refresh_from_db()
    assert disturbed.status == Run.Status.PAUSED
    half = Response.objects.filter(iteration__run=disturbed, purpose="candidate").count()
    assert 0 < half < 18
    monkeypatch.undo()
    runs.resume(disturbed)
    drive(disturbed)
    disturbed.refresh_from_db()
    assert disturbed.status == Run.Status.FINISHED
    assert texts_of(disturbed) == wanted
    assert disturbed.iterations.get(number=1).snapshot.content_hash == frozen


def texts_of(run: Run) -> list[tuple[Any, ...]]:
    """Return all responses of a run as texts, without database ids."""
    rows = Response.objects.filter(iteration__run=run).values_list(
        "iteration__number", "prompt__text", "purpose", "source", "index", "text"
    )
    return sorted(rows)


def test_a_frozen_training_set_that_was_changed_is_refused(launch: Launch, home: Path) -> None:
    run = launch(paradigm="teacher_demonstration")
    snapshot = run.iterations.get(number=1).snapshot
    (home / snapshot.path).write_text("{}\n")
    with pytest.raises(ValueError, match="changed after it was frozen"):
        artifacts.read_snapshot(snapshot)


def test_a_run_without_fine_tuning_starts_from_the_base_weights(launch: Launch) -> None:
    run = launch(paradigm="teacher_demonstration", sft={"enabled": False})
    assert run.status == Run.Status.FINISHED, run.status_reason
    m1 = Checkpoint.objects.get(run=run, number=1)
    assert m1.location == Checkpoint.objects.get(run=run, number=0).location


def test_a_generating_stage_publishes_tokens_per_second_and_requests_in_flight(launch: Launch) -> None:
    run = launch(engine={"batch_size": 4}, candidates={"n": 3, "max_new_tokens": 48, "temperature": 1.0})
    payloads = [event.payload for event in run.events.filter(kind="stage") if event.payload["kind"] == "responses"]
    measured = [payload["progress"] for payload in payloads if "in_flight" in payload["progress"]]
    assert measured
    assert max(live["tokens_per_second"] for live in measured) > 0
    assert {0, 2, 4} >= {live["in_flight"] for live in measured}  # 18 responses, four at a time, then two
