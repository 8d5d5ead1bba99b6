"""Held-out pairs, a limit on pairs, λ chosen on held-out pairs, and training on the chosen responses only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignment_app.models import PreferencePair, Run, Stage
from alignment_app.services import artifacts, heartbeat, runs
from alignment_app.services.imports import import_rows
from tests.support.runs import drive, drive_until_killed, kill_9, launch, pairs_config
from training.config import LAMBDAS
from training.jobs.train import chosen_rows

pytestmark = pytest.mark.django_db(transaction=True)


def prompts_of(run: Run, part: str) -> set[str]:
    return set(PreferencePair.objects.filter(iteration__run=run, part=part).values_list("prompt__text", flat=True))


def test_held_out_pairs_are_measured_and_never_trained_on(little_student: Path) -> None:
    run = launch(pairs_config(little_student, held_out_pairs=4, max_pairs=6))
    assert run.status == Run.Status.FINISHED, run.status_reason
    m2 = run.checkpoints.get(number=2)
    held_out = prompts_of(run, "held_out")
    frozen = artifacts.read_snapshot(m2.snapshot)
    assert len(held_out) == 4
    assert len(frozen) == m2.snapshot.items.count() == 6
    assert not held_out & {row["prompt"][-1]["content"] for row in frozen}
    assert len(prompts_of(run, "left_out")) == 2
    measured = m2.metrics["margins"]["held_out"]
    assert measured["pairs"] == 4
    assert measured["margin"] > 0  # the difference was learnt from the other pairs
    rows = m2.pair_margins.filter(part="held_out")
    assert set(rows.values_list("pair__prompt__text", flat=True)) == held_out


def test_a_smaller_limit_selects_a_subset_of_the_same_pairs(little_student: Path) -> None:
    few, more = (launch(pairs_config(little_student, held_out_pairs=3, max_pairs=most)) for most in (2, 5))
    assert prompts_of(few, "train") < prompts_of(more, "train")
    assert prompts_of(few, "held_out") == prompts_of(more, "held_out")


def test_a_run_whose_pairs_are_all_held_out_fails_with_the_reason(little_student: Path) -> None:
    run = launch(pairs_config(little_student, held_out_pairs=50))
    assert run.status == Run.Status.FAILED
    assert "All 12 pairs are held out" in run.status_reason


def test_lambda_is_chosen_on_held_out_pairs_and_no_trial_is_repeated_after_a_pause_or_kill(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pairs_config(little_student, loss="sr_dpo", lam="auto", held_out_pairs=4)
    undisturbed = launch(config)
    assert undisturbed.status == Run.Status.FINISHED, undisturbed.status_reason
    wanted = undisturbed.checkpoints.get(number=2)
    trials = wanted.metrics["trials"]
    assert [trial["lam"] for trial in trials] == list(LAMBDAS)
    best = max(trials, key=lambda trial: (trial["accuracy"], trial["margin"], -trial["lam"]))
    assert wanted.metrics["lam"] == best["lam"]
    assert {name: wanted.metrics[name] for name in ("step", "loss", "margin")}.items() <= best["last"].items()
    assert wanted.metrics["margins"]["held_out"]["margin"] == pytest.approx(best["margin"], abs=1e-9)
    folder = Path(artifacts.resolve(wanted.location))
    summary = json.loads((folder / "plumbline_training.json").read_text())
    assert summary["steps"] == wanted.steps == best["steps"]
    assert not (folder.parent / "trials").exists()
    series = {event.payload.get("series") for event in undisturbed.events.filter(kind="metrics")}
    assert series == {f"λ {lam:g}" for lam in LAMBDAS}

    monkeypatch.setattr(heartbeat.AttemptHeartbeat, "should_stop", _in_the_third_trial)
    run = launch(config)
    assert run.status == Run.Status.PAUSED, run.status_reason
    stage = run.iterations.get(number=1).stages.get(kind="training")
    kept = stage.progress["trials"]
    assert len(kept) == 2
    monkeypatch.setattr(heartbeat.AttemptHeartbeat, "should_stop", _killed_in_the_fourth_trial)
    runs.resume(run)
    drive_until_killed(run)
    stage.refresh_from_db()
    assert stage.progress["trials"][:2] == kept
    kept = stage.progress["trials"]
    assert len(kept) == 3
    monkeypatch.undo()
    drive(run)
    m2 = run.checkpoints.get(number=2)
    assert m2.metrics["trials"][:3] == kept
    assert _figures(m2.metrics["trials"]) == _figures(trials)
    assert m2.metrics["lam"] == wanted.metrics["lam"]
    assert _weights(m2) == _weights(wanted)


def _in_the_third_trial(beat: heartbeat.AttemptHeartbeat) -> bool:
    beat.attempt.stage.refresh_from_db()
    if len(beat.attempt.stage.progress.get("trials", ())) == 2 and beat.attempt.stage.progress.get("series") == "λ 0.5":
        beat.command = "pause"
    return beat.command != "go on"


def _killed_in_the_fourth_trial(beat: heartbeat.AttemptHeartbeat) -> bool:
    beat.attempt.stage.refresh_from_db()
    if len(beat.attempt.stage.progress.get("trials", ())) == 3 and beat.attempt.stage.progress.get("series") == "λ 1":
        kill_9()
    return False


def _figures(trials: list[dict]) -> list[tuple[float, ...]]:
    return [(trial["lam"], trial["accuracy"], trial["margin"], trial["steps"]) for trial in trials]


def _weights(checkpoint) -> str:
    return next(file["sha256"] for file in checkpoint.files if file["name"] == "model.safetensors")


def test_positive_only_fine_tunes_on_each_chosen_response_once(little_student: Path) -> None:
    run = launch(pairs_config(little_student, method="positive_only", epochs=2, held_out_pairs=2))
    assert run.status == Run.Status.FINISHED, run.status_reason
    m2 = run.checkpoints.get(number=2)
    assert m2.kind == "preference"
    assert m2.parent.name == "M1"
    assert m2.steps == 10  # 10 rows, 2 per step, two epochs
    assert "margin" not in m2.metrics
    chosen = m2.pair_margins.filter(part="held_out").values_list("chosen_log_ratio", flat=True)
    assert min(chosen) > 0  # chosen responses became more likely, including those not trained on


def test_the_rows_of_positive_only_are_prompts_with_their_chosen_responses() -> None:
    one = {"prompt": [{"role": "user", "content": "p"}], "chosen": [{"role": "assistant", "content": "good"}]}
    rows = chosen_rows([{**one, "rejected": "a"}, {**one, "rejected": "b"}])
    assert rows == [{"messages": one["prompt"], "completion": "good"}]
    scored = [{**one, "chosen_score": score} for score in (4.0, None)]
    assert chosen_rows(scored, min_score=5.0) == []
    assert chosen_rows([*scored, {**one, "chosen_score": 5.0}], min_score=5.0) == rows


def test_positive_only_adds_the_seed_rows_and_the_pairs_of_an_iteration_have_a_limit(little_student: Path) -> None:
    data = pairs_config(little_student, method="positive_only", seed_rows=True, pairs_by_iteration=[3])
    import_rows("seed rows", "demonstrations", [{"prompt": f"Say {n}.", "response": f"It is {n}."} for n in range(5)])
    data["sft"] = {"enabled": True, "datasets": ["seed rows"], "batch_size": 5, "micro_batch_size": 5}
    data["training"] |= {"batch_size": 8, "micro_batch_size": 8}
    run = launch(data)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert run.iterations.get(number=1).snapshot.row_count == 3
    assert Stage.objects.get(iteration__run=run, kind="training").result["steps"] == 1  # 5 seed rows and 3 responses
