"""The registry of engines and its users."""

import inspect
import tomllib
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from alignment_app.forms import LaunchForm
from alignment_app.models import ProviderKey
from training.config import EngineConfig, EngineKind, RunConfig, TeacherConfig, TeacherKind
from training.domain.engine_kinds import (
    ENGINE_FIELDS,
    ENGINES,
    PROVIDERS,
    STUDENT_ENGINES,
    TEACHER_FIELDS,
    TEACHERS,
    EngineEntry,
    key_variables,
    provider_choices,
)
from training.engines import EngineSpec, create_engine
from training.engines.base import EngineError
from training.engines.remote import RemoteEngine
from training.plan import plan_iteration

ROOT = Path(__file__).parents[3]
IMPLEMENTED = [entry for entry in ENGINES.values() if entry.implementation]
MINIMUM = {"name": "n", "paradigm": "teacher_reward", "student": {"model": "m"}, "sft": {"enabled": False}}


def _name(entry: EngineEntry) -> str:
    return entry.name


def test_the_config_accepts_the_kinds_of_each_role() -> None:
    assert get_args(EngineKind) == STUDENT_ENGINES == ("transformers", "vllm", "openai_compatible")
    kinds = ("none", "oracle", "verifier", "checkpoint", "openai_compatible", "gemini")
    assert get_args(TeacherKind) == TEACHERS == kinds
    assert set(ENGINE_FIELDS) <= set(EngineConfig.model_fields)
    assert set(TEACHER_FIELDS) <= set(TeacherConfig.model_fields)


@pytest.mark.parametrize("entry", IMPLEMENTED, ids=_name)
def test_an_implementation_takes_the_arguments_of_its_entry(entry: EngineEntry) -> None:
    assert {"name", *(field.name for field in fields(EngineSpec))} >= set(entry.arguments)
    if entry.name == "vllm" and find_spec("vllm") is None:
        return
    module, _, name = entry.implementation.partition(":")
    engine = getattr(import_module(module), name)
    takes = inspect.signature(engine).parameters
    if issubclass(engine, RemoteEngine):
        takes = {**inspect.signature(RemoteEngine).parameters, **takes}
    assert set(entry.arguments) <= set(takes)
    needed = {name for name, one in takes.items() if one.default is one.empty and one.kind is not one.VAR_KEYWORD}
    assert needed <= set(entry.arguments)
    assert issubclass(engine, RemoteEngine) == entry.is_remote


@pytest.mark.parametrize("kind", ["none", "unknown"])
def test_a_kind_without_implementation_is_rejected(kind: str) -> None:
    with pytest.raises(EngineError):
        create_engine(EngineSpec(kind))


def test_remedies_name_existing_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for entry in ENGINES.values():
        if "EXTRAS=" in entry.remedy:
            assert any(item.partition("==")[0] == entry.distribution for item in extras[entry.remedy.split("=")[1]])


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_form_shows_the_fields_that_a_teacher_uses(teacher: str) -> None:
    form = LaunchForm.from_data({"teacher": {"kind": teacher}})
    shown = {leaf for leaf in TEACHER_FIELDS if form.by_path[f"teacher.{leaf}"].applies}
    assert shown == {*ENGINES[teacher].teacher_fields}
    assert dict(form.by_path["teacher.kind"].choices)[teacher] == ENGINES[teacher].label


@pytest.mark.parametrize("kind", STUDENT_ENGINES)
def test_the_form_shows_the_fields_that_an_engine_uses(kind: str) -> None:
    form = LaunchForm.from_data({"engine": {"kind": kind}})
    shown = {leaf for leaf in ENGINE_FIELDS if form.by_path[f"engine.{leaf}"].applies}
    assert shown == {*ENGINES[kind].engine_fields}


@pytest.mark.parametrize("teacher", [name for name in TEACHERS if name != "none"])
def test_a_remote_teacher_has_its_own_queue(teacher: str) -> None:
    settings = {"kind": teacher, "model": "m", "base_url": "http://127.0.0.1:1/v1"}
    config = RunConfig.parse(
        {**MINIMUM, "teacher": settings, "prompts": {"dataset": "d"}, "evaluation": {"enabled": False}}
    )
    (judging,) = [stage for stage in plan_iteration(config, 1) if stage.kind == "judgements"]
    assert judging.queue == ("teacher" if ENGINES[teacher].is_remote else "generation")


def test_a_key_can_belong_to_each_provider() -> None:
    field = ProviderKey._meta.get_field("provider")
    assert list(field.flatchoices) == provider_choices() == [
        ("gemini", "Gemini"), ("openai_compatible", "OpenAI-compatible server")
    ]  # fmt: skip
    assert max(map(len, PROVIDERS)) <= (field.max_length or 0)
    assert key_variables() == ["GEMINI_API_KEY", "OPENAI_API_KEY"]
