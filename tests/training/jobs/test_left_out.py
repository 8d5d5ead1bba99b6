"""Prompts that a model refuses are left out of every stage, counted and named; a stage that makes no row fails."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from alignment_app.models import (
    IterationPrompt,
    Judgement,
    PreferencePair,
    Response,
    Run,
    RunEvent,
    Stage,
    StageAttempt,
)
from alignment_app.pages.checkpoints import left_out_of
from alignment_app.services import runs
from alignment_app.services.imports import import_rows
from tests.support.providers import Answer, Provider, as_json, chat
from tests.support.runs import drive
from training.config import RunConfig
from training.domain.rows import PromptOutcome

pytestmark = pytest.mark.django_db(transaction=True)
REFUSES_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
PLAIN = [{"prompt": f"Name fruit {number}."} for number in range(3)]
SYSTEM, LONG = {"prompt": "Name fruit 3.", "system": "Be short."}, {"prompt": ("Name fruit 4. " * 250).strip()}


def scored(text: str) -> Answer:
    if "Verdict" in text:
        return chat("Verdict: first")
    return chat(f"Fine. Score: {int(hashlib.sha256(text.encode()).hexdigest()[:6], 16) % 6}")


class Server:
    """A teacher whose answers a test changes."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Answer] = scored
        self.provider = Provider(lambda text, number, body: self.answer(text))


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.provider.close()


@pytest.fixture
def launch(little_student: Path, tmp_path: Path, server: Server) -> Callable[..., Run]:
    """Launch a run of a student whose template refuses system turns, and work on it until no job is queued."""
    student = shutil.copytree(little_student, tmp_path / "strict")
    template = student / "chat_template.jinja"
    template.write_text(REFUSES_SYSTEM + template.read_text())

    def go(prompts: list[dict[str, Any]], **changes: Any) -> Run:
        import_rows("asked", "prompts", prompts)
        import_rows("held out", "prompts", [*PLAIN[:2], LONG])
        data: dict[str, Any] = {
            "name": "left out",
            "paradigm": "teacher_reward",
            "iterations": 1,
            "student": {"model": str(student), "max_length": 2100, "dtype": "float32"},
            "teacher": {"kind": "openai_compatible", "model": "m", "base_url": f"{server.provider.address}/v1"},
            "sft": {"enabled": False},
            "prompts": {"dataset": "asked", "count": 20},
            "candidates": {"n": 3, "max_new_tokens": 4, "temperature": 1.0},
            "judging": {"k": 1, "max_new_tokens": 20},
            "training": {"batch_size": 4, "micro_batch_size": 4},
            "evaluation": {"enabled": False, "dataset": "held out", "max_new_tokens": 4, "self_judge": False},
        }
        return drive(runs.launch(RunConfig.parse(data | changes)))

    return go


def result_of(run: Run, kind: str, number: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = Stage.objects.get(iteration__run=run, iteration__number=number, kind=kind).result
    return found


def test_a_run_goes_on_without_the_prompts_that_its_model_refuses(launch: Callable[..., Run]) -> None:
    evaluation = {"enabled": True, "dataset": "held out", "max_new_tokens": 4, "self_judge": False}
    run = launch([*PLAIN, SYSTEM, LONG], evaluation=evaluation)
    assert run.status == Run.Status.FINISHED, run.status_reason
    assert result_of(run, "responses")["left_out"] == {"template_refused": 3, "too_long": 3}
    assert result_of(run, "evaluation", 0)["left_out"] == {"too_long": 1}
    uses = IterationPrompt.objects.filter(iteration__run=run, iteration__number=1, role="train")
    outcomes = dict(uses.values_list("prompt__text", "outcome_code"))
    assert outcomes["Name fruit 3."] == PromptOutcome.TEMPLATE_REFUSED
    assert outcomes[LONG["prompt"]] == PromptOutcome.TOO_LONG
    assert result_of(run, "pairs")["reasons"].items() >= {"template_refused": 1, "too_long": 1}.items()
    held_out = IterationPrompt.objects.filter(iteration__run=run, iteration__number=0, role="evaluation")
    assert list(held_out.exclude(outcome_code="").values_list("outcome_code", flat=True)) == ["too_long"]
    assert Response.objects.filter(iteration__run=run, purpose="evaluation").count() == 4
    (left_out,) = left_out_of(run.checkpoints.get(number=1))
    assert "does not fit" in left_out.outcome
    logged = [event.payload["text"] for event in RunEvent.objects.filter(run=run, kind="log")]
    assert any("no system role" in text and "Name fruit 3." in text for text in logged)


def test_a_stage_whose_every_prompt_is_refused_fails_with_the_reason(launch: Callable[..., Run]) -> None:
    run = launch([SYSTEM | {"prompt": f"Name fruit {number}."} for number in range(3)])
    assert run.status == Run.Status.FAILED
    attempt = StageAttempt.objects.get(stage__iteration__run=run, stage__kind="responses")
    assert attempt.reason_code == StageAttempt.Reason.ENGINE
    assert "no system role" in run.status_reason


@pytest.mark.parametrize("prompts", [2, 8])
def test_a_teacher_that_refuses_everything_fails_the_stage_and_a_resume_asks_again(
    launch: Callable[..., Run], server: Server, prompts: int
) -> None:
    server.answer = lambda text: as_json({"error": {"message": "use max_completion_tokens", "code": 400}}, 400)
    run = launch([{"prompt": f"Name fruit {number}."} for number in range(prompts)])
    attempt = StageAttempt.objects.get(stage__iteration__run=run, stage__kind="judgements")
    assert (run.status, attempt.reason_code) == (Run.Status.FAILED, StageAttempt.Reason.ENGINE)
    assert "use max_completion_tokens" in run.status_reason
    assert not Judgement.objects.exists()
    server.answer = scored
    runs.resume(run)
    run = drive(run)
    assert Judgement.objects.filter(parsed_count=1).count() == prompts * 3
    assert PreferencePair.objects.exists(), run.status_reason


def test_replies_that_were_cut_are_unparsed_and_no_pair_is_made_of_them(
    launch: Callable[..., Run], server: Server
) -> None:
    server.answer = lambda text: chat("<think>It is on topic, so score: 1. It answers, so score: 2. But", "length")
    run = launch(PLAIN)
    assert StageAttempt.objects.get(stage__iteration__run=run, stage__kind="judgements").reason_code == "parse_rate"
    assert not Judgement.objects.filter(parsed_count__gt=0).exists()
    assert all(sample["cut"] for row in Judgement.objects.all() for sample in row.samples)
    assert "judging.max_new_tokens" in run.status_reason
    assert not PreferencePair.objects.exists()
