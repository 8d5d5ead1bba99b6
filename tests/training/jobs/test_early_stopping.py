"""Early stopping from its config to a published checkpoint, with the oracle as the judge."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import Run, StepCheck, StepComparison
from alignment_app.services import artifacts, progress, runs
from tests.support.runs import drive, drive_until_killed, kill_9, launch, pairs_config
from training.config import ConfigError, RunConfig
from training.jobs import early_stopping, stage_work
from training.trainers.results import TrainResult

pytestmark = pytest.mark.django_db(transaction=True)


def stopping_config(student: Path, *, pairs: int = 8, every: int = 2, **training: Any) -> dict[str, Any]:
    """Two pairs per step, four steps per epoch, a checkpoint every second step."""
    stopping = {"every": every, "dataset": "held-out questions", "count": 4, "min_decided": 1}
    config = pairs_config(student, pairs=pairs, early_stopping=stopping, **training)
    return config | {"evaluation": {"enabled": False, "max_new_tokens": 6, "temperature": 1.0}}


def verdicts(monkeypatch: pytest.MonkeyPatch, outcomes: dict[int, str]) -> list[int]:
    """Make the judge prefer the newer or the older answer by step, regardless of the texts.

    The oracle still runs; only its verdict is replaced. Returns the steps of all comparisons.
    """
    words = {"win": ("first", "second"), "lose": ("second", "first"), "tie": ("tie", "tie")}
    compared_steps: list[int] = []
    compare = stage_work.compare_responses

    def preferred(items: Any, *asked: Any, **more: Any) -> Any:
        for item, draft in zip(items, compare(items, *asked, **more), strict=True):
            compared_steps.append(item.a.index)
            outcome = outcomes[item.a.index]
            first, second = words[outcome]
            yield type(draft)(
                draft.prompt_id, draft.response_a_id, draft.response_b_id, first, second, outcome, draft.raw_ab,
                draft.raw_ba,
            )  # type: ignore[call-arg,arg-type]  # fmt: skip

    monkeypatch.setattr(stage_work, "compare_responses", preferred)
    return compared_steps


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def decisions(run: Run) -> list[tuple[int, int | None, str]]:
    return list(StepCheck.objects.filter(iteration__run=run).values_list("step", "against_step", "decision"))


def test_early_stopping_publishes_the_previous_step_and_records_each_decision(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[int, str] = {}
    check = early_stopping._Checker.check

    def remember(self: Any, result: TrainResult, last: Any) -> None:
        kept[result.steps] = weights(result.model_dir)
        check(self, result, last)

    monkeypatch.setattr(early_stopping._Checker, "check", remember)
    verdicts(monkeypatch, {4: "win", 6: "lose"})
    run = launch(stopping_config(little_student, epochs=2))
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert decisions(run) == [(2, None, "first"), (4, 2, "go_on"), (6, 4, "stop")]
    m2 = run.checkpoints.get(number=2)
    folder = Path(artifacts.resolve(m2.location))
    assert m2.steps == 4
    assert weights(folder) == kept[4] != kept[6]
    assert m2.metrics["early_stopping"] == {"stopped_at": 6, "published_step": 4}
    assert m2.metrics["step"] == 4  # the loss and margin beside it are of this step too
    assert sorted(path.name for path in folder.parent.iterdir() if path.is_dir() and path.name != "tensorboard") == [
        "model"
    ]
    texts = [event.payload["text"] for event in run.events.filter(kind="log")]
    assert any("no longer wins, so training stops with the model of step 4" in text for text in texts)
    rows = StepComparison.objects.filter(iteration__run=run)
    assert rows.count() == 8
    for row in rows.select_related("response", "against"):
        assert (row.response.index, row.against.index) == (row.step, row.step - 2)
        assert row.response.prompt_id == row.against.prompt_id == row.prompt_id
        newer_won = ("first", "second"), ("second", "first")
        assert (row.verdict_first, row.verdict_second) == newer_won[row.step == 6]
        assert "Verdict:" in row.raw_first
        assert "Verdict:" in row.raw_second
    checks = StepCheck.objects.filter(iteration__run=run, step__gt=2)
    assert [(check.wins, check.losses) for check in checks] == [(4, 0), (0, 4)]


def test_a_training_that_is_never_stopped_equals_one_without_early_stopping(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts(monkeypatch, {4: "win", 6: "tie"})
    paused = launch(stopping_config(little_student, pairs=12))
    plain = launch(pairs_config(little_student))
    assert [decision for *_, decision in decisions(paused)] == ["first", "go_on", "undecided"]
    one, other = paused.checkpoints.get(number=2), plain.checkpoints.get(number=2)
    assert one.steps == other.steps == 6
    assert weights(Path(artifacts.resolve(one.location))) == weights(Path(artifacts.resolve(other.location)))


def test_the_oracles_own_verdicts_on_noise_are_ties_and_stop_nothing(little_student: Path) -> None:
    run = launch(stopping_config(little_student, method="positive_only"))
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert [decision for *_, decision in decisions(run)] == ["first", "undecided"]
    assert run.checkpoints.get(number=2).steps == 4


def test_saved_answers_and_verdicts_are_reused_after_a_stop_or_a_kill(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared_steps = verdicts(monkeypatch, {4: "win", 6: "lose"})
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0.0)
    after_save = early_stopping._ValidationProgress.after_save

    def stop_in_the_middle(self: Any) -> None:
        if self.against == 4 and self.done == 2:
            self.heartbeat.command = "pause"
        after_save(self)

    def be_killed_in_the_middle(self: Any) -> None:
        after_save(self)
        if self.against == 4 and self.done == 3:
            kill_9()

    monkeypatch.setattr(early_stopping._ValidationProgress, "after_save", stop_in_the_middle)
    run = launch(stopping_config(little_student, epochs=2))
    assert run.status == Run.Status.PAUSED, run.status_reason
    assert decisions(run) == [(2, None, "first"), (4, 2, "go_on")]
    assert StepComparison.objects.filter(iteration__run=run, step=6).count() == 2
    monkeypatch.setattr(early_stopping._ValidationProgress, "after_save", be_killed_in_the_middle)
    runs.resume(run)
    drive_until_killed(run)
    assert StepComparison.objects.filter(iteration__run=run, step=6).count() == 3
    monkeypatch.setattr(early_stopping._ValidationProgress, "after_save", after_save)
    before = len(compared_steps)
    drive(run)
    assert decisions(run) == [(2, None, "first"), (4, 2, "go_on"), (6, 4, "stop")]
    assert compared_steps[before:] == [6]
    assert StepComparison.objects.filter(iteration__run=run, step=6).count() == 4
    assert run.checkpoints.get(number=2).steps == 4


def test_a_job_that_was_killed_after_its_decision_publishes_without_training_again(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts(monkeypatch, {4: "lose"})
    publish = early_stopping._publish
    monkeypatch.setattr(early_stopping, "_publish", kill_9)
    run = drive_until_killed(runs.launch(RunConfig.parse(stopping_config(little_student))))
    assert run.status == Run.Status.QUEUED
    assert decisions(run) == [(2, None, "first"), (4, 2, "stop")]
    folder = artifacts.run_folder(run.pk) / "M2" / "steps" / "step-2"
    wanted = weights(folder)
    assert json.loads((folder / "plumbline_training.json").read_text())["steps"] == 2
    monkeypatch.setattr(early_stopping, "_publish", publish)
    monkeypatch.setattr("training.jobs.start_training.train_preference", None)  # no training may start now
    drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    m2 = run.checkpoints.get(number=2)
    assert weights(Path(artifacts.resolve(m2.location))) == wanted
    assert m2.steps == 2


def test_a_training_with_one_checkpoint_logs_that_nothing_was_compared(little_student: Path) -> None:
    run = launch(stopping_config(little_student, pairs=4, every=50))
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert decisions(run) == []
    texts = [event.payload["text"] for event in run.events.filter(kind="log")]
    assert any("had nothing to compare" in text for text in texts)


@pytest.mark.parametrize(
    ("training", "field"),
    [
        ({"early_stopping": {}}, "training.early_stopping.dataset"),
        ({"early_stopping": {"dataset": "x", "count": 4}}, "training.early_stopping.min_decided"),
        ({"early_stopping": {"dataset": "x"}, "loss": "sr_dpo", "lam": "auto", "held_out_pairs": 5},
         "training.early_stopping"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_on_their_field(
    little_student: Path, training: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(pairs_config(little_student, **training))
    assert [name for name, _ in caught.value.problems] == [field]
