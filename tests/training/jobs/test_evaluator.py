"""A run whose evaluation and early stopping are judged by other models than the one that makes the signal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import (
    Dataset,
    Evaluation,
    IterationPrompt,
    Judgement,
    Run,
    Stage,
    StepCheck,
    TeacherCall,
)
from alignment_app.pages.spending import costs
from alignment_app.selectors import work as selectors
from alignment_app.services import runs, spending, stages
from tests.support.datasets import add_prompt, make_datasets
from tests.support.providers import Provider, Reply, chat
from tests.support.runs import drive, launch, pairs_config
from training.config import ConfigError, RunConfig
from training.domain.seeds import derive_seed
from training.domain.spending import Price, Usage

pytestmark = pytest.mark.django_db(transaction=True)


class Server(Provider):
    """A judge that scores every response 4 and prefers the first one."""

    def __init__(self) -> None:
        super().__init__(self.reply)

    def reply(self, text: str, number: int, body: dict[str, Any]) -> Reply:
        return chat("Verdict: first" if "Verdict" in text else "Score: 4", prompt=100, completion=10)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def evaluator_at(server: Server, **more: Any) -> dict[str, Any]:
    return {"kind": "openai_compatible", "model": "outside", "base_url": f"{server.address}/v1", **more}


def reward_config(student: Path, **changes: Any) -> RunConfig:
    """The oracle makes the preferences of one iteration."""
    data: dict[str, Any] = {
        "name": "two judges",
        "paradigm": "teacher_reward",
        "iterations": 1,
        "seed": 3,
        "student": {"model": str(student), "max_length": 2048},
        "teacher": {"kind": "oracle"},
        "sft": {"enabled": False},
        "prompts": {"dataset": "train", "count": 6},
        "candidates": {"n": 3, "max_new_tokens": 6, "temperature": 1.0},
        "judging": {"k": 2, "max_new_tokens": 6},
        "training": {"batch_size": 4, "micro_batch_size": 4},
        "evaluation": {"dataset": "held out", "count": 3, "max_new_tokens": 6, "self_judge_prompts": 2},
    }
    return RunConfig.parse({**data, **changes})


def test_the_evaluator_judges_the_evaluation_and_nothing_else(little_student: Path, server: Server) -> None:
    make_datasets()
    prices = {"prompt_price": 1.0, "completion_price": 2.0}
    config = reward_config(
        little_student,
        iterations=0,
        evaluator=evaluator_at(server, template="hundred", **prices),
        teacher={"kind": "oracle", "budget_usd": 1.0},
    )
    assert config.config_hash != reward_config(little_student, iterations=0).config_hash
    run = drive(runs.launch(config))
    assert run.status == Run.Status.FINISHED, run.status_reason
    judged = Judgement.objects.filter(iteration__run=run).exclude(source="self")
    assert set(judged.values_list("source", "judge__name", "judge__template", "sample_count")) == {
        ("reference", "outside", "hundred", 1)
    }
    assert {body["temperature"] for body in server.bodies} == {0}
    evaluation = Evaluation.objects.get(checkpoint__run=run)
    assert evaluation.judge is not None
    assert evaluation.judge.name == "outside"
    assert evaluation.metrics["mean_score"] == pytest.approx(0.2)  # 4 of 100 on the scale of 0 to 5
    assert "right_answers" not in evaluation.metrics  # only the oracle knows
    calls = TeacherCall.objects.filter(run=run)
    assert set(calls.values_list("model", "attempt__stage__kind")) == {
        ("openai_compatible: outside", "evaluation")
    }  # fmt: skip
    account = costs(run)
    assert account is not None
    assert account.calls == calls.count() == judged.count()
    assert account.usd == pytest.approx(account.calls * (100 * 1 + 10 * 2) / 1e6)
    assert account.budget.usd == 1.0


def test_by_default_the_teacher_judges_with_its_own_settings(little_student: Path) -> None:
    make_datasets()
    run = drive(runs.launch(reward_config(little_student, iterations=0)))
    assert run.status == Run.Status.FINISHED, run.status_reason
    judged = Judgement.objects.filter(iteration__run=run).exclude(source="self")
    assert set(judged.values_list("source", "judge__name", "sample_count")) == {("teacher", "oracle", 2)}
    evaluation = Evaluation.objects.get(checkpoint__run=run)
    assert evaluation.judge is not None
    assert evaluation.judge.name == "oracle"
    assert evaluation.metrics["right_answers"] is not None


def test_teacher_and_evaluator_spend_one_budget(little_student: Path, server: Server) -> None:
    make_datasets()
    prices = {"prompt_price": 1.0, "completion_price": 1.0}
    teacher = evaluator_at(server, budget_tokens=1000, budget_usd=0.005, **prices) | {"model": "inside"}
    evaluator = evaluator_at(server, prompt_price=10.0, completion_price=10.0)
    config = reward_config(little_student, teacher=teacher, evaluator=evaluator, iterations=0)
    with pytest.raises(ConfigError) as caught:
        reward_config(little_student, teacher=teacher, evaluator=evaluator_at(server))
    assert [field for field, _ in caught.value.problems] == ["evaluator.prompt_price"]
    run = runs.launch(config)
    stage = Stage.objects.get(iteration__run=run, status=Stage.Status.QUEUED)
    attempt = stages.claim(run.pk, stage.queue, worker="w", host="h", pid=1)
    assert attempt is not None
    account = spending.Account(attempt, run, config)
    cheap, dear = (account.line(name, price) for name, price in (("inside", Price(1, 1)), ("outside", Price(10, 10))))
    assert cheap.reserve(Usage(500, 100))
    assert not dear.reserve(Usage(400, 1))  # the tokens of both together
    cheap.finalize("answered", Usage(100, 10), Usage(500, 100))
    assert dear.reserve(Usage(300, 100))
    dear.finalize("answered", Usage(300, 90), Usage(300, 100))
    assert not cheap.reserve(Usage(500, 100))
    assert not dear.reserve(Usage(100, 10))  # 0.0011 USD more than 0.005 allow
    account.save()
    found = costs(run)
    assert found is not None
    assert [(row.where, row.calls, row.prompt, row.completion) for row in found.models] == [
        ("inside", 1, 100, 10), ("outside", 1, 300, 90)
    ]  # fmt: skip
    assert found.usd == pytest.approx((110 + 3900) / 1e6)
    assert found.may_set_usd


def test_early_stopping_has_a_judge_of_its_own(little_student: Path, server: Server) -> None:
    stopping = {"every": 2, "dataset": "held-out questions", "count": 4, "min_decided": 1, "judge": "own"}
    config = pairs_config(little_student, pairs=8, early_stopping=stopping)
    config["evaluation"] = {"enabled": False, "max_new_tokens": 6, "temperature": 1.0}
    run = launch(config | {"stopping_judge": evaluator_at(server) | {"model": "stopper"}})
    assert run.status == Run.Status.FINISHED, run.status_reason
    checks = StepCheck.objects.filter(iteration__run=run)
    assert set(checks.values_list("judge__name", "judge__purpose")) == {("stopper", "compare")}
    # The first answer wins in both orders: four ties, which decide nothing.
    assert list(checks.values_list("step", "ties", "decision")) == [(2, 0, "first"), (4, 4, "undecided")]
    assert len(server.bodies) == 4 * 2
    assert set(TeacherCall.objects.filter(run=run).values_list("model", flat=True)) == {"openai_compatible: stopper"}


def test_prompts_are_drawn_from_the_whole_set_and_are_the_same_for_every_checkpoint_and_seed() -> None:
    dataset = Dataset.objects.create(name="two sources", kind="prompts")
    for position in range(40):
        add_prompt(dataset, position, f"{'first' if position < 20 else 'second'} source, {position}")
    drawn = selectors.draw_prompts(dataset, 20, 0, "evaluation")
    positions = sorted(dataset.prompts.filter(pk__in=drawn).values_list("position", flat=True))
    assert len(positions) == 20
    assert positions != list(range(20))
    assert 5 < sum(position < 20 for position in positions) < 15
    hashes = dict(dataset.prompts.values_list("pk", "content_hash"))
    assert drawn == sorted(hashes, key=lambda pk: derive_seed(0, "draw evaluation", hashes[pk]))[:20]
    assert drawn != selectors.draw_prompts(dataset, 20, 1, "evaluation")
    assert drawn != selectors.draw_prompts(dataset, 20, 0, "validation")


def test_a_run_that_has_prompts_keeps_them(little_student: Path) -> None:
    held_out = make_datasets(held_out=12)["held out"]
    evaluation = {"dataset": "held out", "count": 3, "max_new_tokens": 6, "self_judge": False}
    run = runs.launch(RunConfig.parse(pairs_config(little_student, pairs=4) | {"evaluation": evaluation}))
    head = list(held_out.prompts.order_by("position").values_list("pk", flat=True)[:3])
    first, second = run.iterations.order_by("number")
    for position, pk in enumerate(head):  # as an earlier version chose them
        IterationPrompt.objects.create(iteration=first, prompt_id=pk, role="evaluation", position=position)
    assert selectors.draw_prompts(held_out, 3, 0, "evaluation") != head
    drive(run)
    assert run.status == Run.Status.FINISHED, run.status_reason
    for iteration in (first, second):
        used = iteration.iteration_prompts.filter(role="evaluation").order_by("position")
        assert list(used.values_list("prompt_id", flat=True)) == head
