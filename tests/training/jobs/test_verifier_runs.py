"""Runs whose teacher, evaluator and judge of early stopping are verifiers: from prompts with checks to the pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from alignment_app.models import Comparison, Dataset, Evaluation, Judgement, PreferencePair, Prompt, Run, StepCheck
from alignment_app.pages.spending import costs
from alignment_app.selectors.exports import Selection
from alignment_app.services import exports, runs
from alignment_app.services.constraints import make_constraints
from alignment_app.services.import_formats import ImportRefused
from alignment_app.services.imports import BadLines, import_rows
from tests.support.runs import drive, launch, pairs_config
from training.config import ConfigError, RunConfig
from training.estimate import estimate
from training.hardware import Hardware

pytestmark = pytest.mark.django_db(transaction=True)

#: What noise sometimes passes.
CHECKS = [{"kind": "letter_count", "letter": "e", "at_least": 1}, {"kind": "characters", "at_most": 9}]


def checked_datasets() -> None:
    rows = [{"prompt": f"What is {number} plus one?", "checks": CHECKS} for number in range(6)]
    import_rows("checked", "prompts", rows)
    import_rows("checked, held out", "prompts", [row | {"prompt": f"Held out: {row['prompt']}"} for row in rows[:4]])


def verified(student: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "verified",
        "paradigm": "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": str(student), "max_length": 512},
        "teacher": {"kind": "verifier"},
        "sft": {"enabled": False},
        "prompts": {"dataset": "checked", "count": 6},
        "candidates": {"n": 6, "max_new_tokens": 8, "temperature": 1.0},
        "training": {"batch_size": 2, "micro_batch_size": 2, "learning_rate": 1e-3},
        "evaluation": {
            "dataset": "checked, held out", "count": 4, "max_new_tokens": 8, "temperature": 1.0, "self_judge": False,
        },
        **changes,
    }  # fmt: skip


def test_a_run_with_a_verifier_makes_pairs_by_its_scores_and_is_evaluated_by_it(
    little_student: Path, admin_client: Any
) -> None:
    checked_datasets()
    config = RunConfig.parse(verified(little_student))
    assert not config.evaluator_makes_preferences
    run = drive(runs.launch(config))
    assert run.status == Run.Status.FINISHED, run.status_reason
    judged = Judgement.objects.filter(iteration__run=run, response__purpose="candidate")
    assert judged.count() == 6 * 6
    assert set(judged.values_list("source", "judge__name", "judge__template", "sample_count", "parsed_count")) == {
        ("teacher", "verifier", "checks", 1, 1)
    }
    for one in judged:
        assert [check["kind"] for check in one.checks] == ["letter_count", "characters"]
        assert one.score == 2.5 * sum(check["passed"] for check in one.checks)
        assert all(check["reason"] in one.rationale for check in one.checks)
    assert len({one.score for one in judged}) > 1
    pairs = PreferencePair.objects.filter(iteration__run=run)
    assert pairs.exists()
    assert all(pair.chosen_score > pair.rejected_score for pair in pairs)
    evaluation = Evaluation.objects.get(checkpoint__run=run, checkpoint__number=2)
    compared = Comparison.objects.filter(evaluation=evaluation)
    assert compared.count() == 4 == evaluation.metrics["n"]
    scores = dict(Judgement.objects.filter(response__purpose="evaluation").values_list("response", "score"))
    for row in compared:
        one, other = scores[row.response_id], scores[row.against_id]
        assert row.outcome == ("tie" if one == other else "win" if one > other else "lose")
    answers = Judgement.objects.filter(response__checkpoint=evaluation.checkpoint, response__purpose="evaluation")
    right = sum(all(check["passed"] for check in one.checks) for one in answers)
    assert (evaluation.metrics["right_answers"], evaluation.metrics["right_share"]) == (right, right / 4)
    assert costs(run) is None
    # The pages show each check.
    words = judged.first().checks[0]["reason"]  # type: ignore[union-attr]
    samples = admin_client.get(reverse("run-samples", args=[run.pk]) + "?iteration=1&stage=judgements")
    assert words.split(";")[1] in samples.content.decode()
    page = admin_client.get(reverse("checkpoint-answers", args=[evaluation.checkpoint.pk])).content.decode()
    assert page.count('class="checks"') == 4
    listed = admin_client.get(f"/api/v1/judgements/?run={run.pk}").json()["results"][0]
    assert listed["checks"][0]["kind"] == "letter_count"
    dataset = Dataset.objects.get(name="checked")
    assert "at least 1" in admin_client.get(reverse("dataset", args=[dataset.pk])).content.decode()


def test_early_stopping_compares_by_checks(little_student: Path) -> None:
    checked_datasets()
    stopping = {"every": 2, "dataset": "checked, held out", "count": 4, "min_decided": 1, "judge": "own"}
    config = pairs_config(little_student, pairs=8, early_stopping=stopping)
    config["evaluation"] = {"enabled": False, "max_new_tokens": 8, "temperature": 1.0}
    run = launch(config | {"stopping_judge": {"kind": "verifier"}})
    assert run.status == Run.Status.FINISHED, run.status_reason
    checks = StepCheck.objects.filter(iteration__run=run, step=4)
    assert [(one.judge.name, one.judge.template, one.wins + one.ties + one.losses) for one in checks] == [
        ("verifier", "checks", 4)
    ]


def test_a_verifier_is_refused_where_it_cannot_work(little_student: Path) -> None:
    checked_datasets()
    import_rows("unchecked", "prompts", [{"prompt": "Hello?"}])

    def refused(**changes: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            runs.launch(RunConfig.parse(verified(little_student, **changes)))
        return [field for field, _ in caught.value.problems]

    assert refused(paradigm="teacher_demonstration") == ["teacher.kind"]
    assert refused(prompts={"source": "self_instruct", "dataset": "checked"}) == ["prompts.source"]
    assert refused(prompts={"dataset": "unchecked"}) == ["prompts.dataset"]
    assert refused(evaluation={"dataset": "unchecked"}) == ["evaluation.dataset"]
    stopping = {"dataset": "unchecked", "count": 20}
    assert refused(training={"early_stopping": stopping}) == ["training.early_stopping.dataset"]
    other = {"paradigm": "self_reward", "evaluator": {"kind": "none"}, "prompts": {"dataset": "unchecked"}}
    assert RunConfig.parse(verified(little_student, **other)).verified_datasets == {}


def test_responses_to_prompts_without_checks_stay_unjudged_and_are_logged(little_student: Path) -> None:
    checked_datasets()
    Prompt.objects.filter(dataset__name="checked", position__lt=2).update(checks=[])
    run = drive(runs.launch(RunConfig.parse(verified(little_student, evaluation={"enabled": False}))))
    assert Judgement.objects.filter(iteration__run=run).count() == 4 * 6
    assert any("2 prompts carry no checks" in event.payload["text"] for event in run.events.filter(kind="log"))


def test_a_verifier_ignores_the_name_of_a_model_that_is_left_in_the_config() -> None:
    config = RunConfig.parse(verified(Path("m"), teacher={"kind": "verifier", "model": "org/big", "base_url": ""}))
    assert (config.teacher.label, config.teacher.identity) == ("verifier", ("verifier", "verifier", ""))


def test_a_verifier_costs_nothing_in_the_estimate(tmp_path: Path) -> None:
    laptop = Hardware(cpu_cores=4, memory_bytes=16 * 10**9, disk_free_bytes=10**11)
    found = estimate(RunConfig.parse(verified(Path("acme/m-0.1b"))), laptop)
    assert found.teacher_tokens is None
    assert ("judgements" in " ".join(name for name, _ in found.parts)) is False


# ---------------------------------------------------------------- rows of a data set


def exported(kind: str, name: str, file_format: str = "jsonl") -> bytes:
    dataset = Dataset.objects.get(name=name)
    return b"".join(exports.export(Selection(kind, dataset=dataset.pk), file_format))


def test_checks_survive_an_export_and_an_import(tmp_path: Path) -> None:
    import_rows("instructions", "prompts", [{"prompt": f"Name {number} fruits."} for number in range(30)])
    instructions = Dataset.objects.get(name="instructions")
    assert make_constraints(instructions, "made", seed=4).added == 30
    assert make_constraints(instructions, "made", seed=4).repeated == 30
    assert make_constraints(instructions, "fewer", seed=4, count=10).added == 10
    made = dict(Prompt.objects.filter(dataset__name="made").values_list("text", "checks"))
    assert all(made.values())
    fewer = dict(Prompt.objects.filter(dataset__name="fewer").values_list("text", "checks"))
    assert all(made[text] == checks for text, checks in fewer.items())
    for file_format in ("jsonl", "parquet"):
        path = tmp_path / f"made.{file_format}"
        path.write_bytes(exported("prompts", "made", file_format))
        import_rows(f"again {file_format}", "prompts", path)
        again = Prompt.objects.filter(dataset__name=f"again {file_format}")
        assert dict(again.values_list("text", "checks")) == made
        assert again.filter(meta__instruction="Name 3 fruits.").count() == 1
    rows = [json.loads(line) for line in exported("prompts", "instructions").splitlines()]
    assert {row["checks"] for row in rows} == {None}


def test_invalid_or_different_checks_of_a_row_are_refused() -> None:
    with pytest.raises(BadLines):
        import_rows("bad", "prompts", [{"prompt": "x", "checks": [{"kind": "tone"}]}])
    import_rows("good", "prompts", [{"prompt": "x", "checks": CHECKS}])
    assert import_rows("good", "prompts", [{"prompt": "x", "checks": CHECKS}, {"prompt": "x"}]).repeated == 2
    with pytest.raises(ImportRefused):
        import_rows("good", "prompts", [{"prompt": "x", "checks": CHECKS[:1]}])
    assert Prompt.objects.get(dataset__name="good").checks == CHECKS
    with pytest.raises(ImportRefused):
        make_constraints(Dataset.objects.get(name="good"), "more", kinds=["tone"])
