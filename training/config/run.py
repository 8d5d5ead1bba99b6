"""``RunConfig``: the whole run, its hash, and what differs between two."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from training.config.base import ConfigError, Section, read_yaml
from training.config.checks import cross_field_problems
from training.config.preference import PreferenceConfig
from training.config.sections import (
    CandidatesConfig,
    EFTConfig,
    EngineConfig,
    EvaluationConfig,
    JudgingConfig,
    PairsConfig,
    PromptsConfig,
    ReviewConfig,
    SFTConfig,
    StudentConfig,
    TeacherConfig,
)

Paradigm = Literal["self_reward", "teacher_reward", "teacher_demonstration"]


class RunConfig(Section):
    """A whole alignment run: M0, supervised fine-tuning to M1, then ``iterations`` rounds of preference training."""

    name: str = Field(min_length=1, max_length=120, description="Shown in lists. Need not be unique.")
    paradigm: Paradigm = Field(
        description="Who says which response is better: the student, a teacher that scores, or a teacher that answers."
    )
    iterations: int = Field(
        2, ge=0, le=20, description="Rounds of preference training: 2 gives M2 and M3; 0 stops at M1."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Every sampled text and shuffle follows from it.")
    student: StudentConfig
    engine: EngineConfig = EngineConfig()
    teacher: TeacherConfig = TeacherConfig()
    sft: SFTConfig = SFTConfig()
    eft: EFTConfig = EFTConfig()
    prompts: PromptsConfig = PromptsConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    judging: JudgingConfig = JudgingConfig()
    pairs: PairsConfig = PairsConfig()
    review: ReviewConfig = ReviewConfig()
    training: PreferenceConfig = PreferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("the name holds characters that cannot be shown; use plain text")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = list(cross_field_problems(self))
        if problems:
            raise ConfigError(problems)
        return self

    @classmethod
    def parse(cls, data: Any) -> RunConfig:
        """Validate a mapping. Raises :class:`ConfigError` with every problem at once, each on its field."""
        if not isinstance(data, dict):
            raise ConfigError([("", "the config must be a mapping of fields; see any preset for an example")])
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            problems: list[tuple[str, str]] = []
            for item in error.errors():
                cause = item.get("ctx", {}).get("error")
                problems += cause.problems if isinstance(cause, ConfigError) else [_sentence(item)]
            raise ConfigError(problems) from None

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Read a YAML document. Raises :class:`ConfigError` naming line and column where it is not YAML."""
        return cls.parse(read_yaml(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every field present, in the order of declaration."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The YAML that :meth:`from_yaml` reads back to an equal config."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def judges(self) -> dict[str, str]:
        """The judges that this run asks, by the field that names them."""
        return {"judging.template": self.judging.template, "evaluation.judge": self.evaluation.judge}

    @property
    def config_hash(self) -> str:
        """SHA-256 over the canonical JSON, without the name: two runs with one hash were asked for the same thing."""
        data = self.to_dict()
        del data["name"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


#: What a number that is none is told, by pydantic's name for the mistake.
_PLAIN = dict.fromkeys(("int_parsing", "int_from_float", "int_type"), "must be a whole number") | dict.fromkeys(
    ("float_parsing", "float_type"), "must be a number"
)

_OF_FIELD = {
    ("training.beta", "greater_than"): "must be above 0: at 0 DPO's loss would be the same whatever the model does, "
    "and IPO's target 1/(2β) would be infinite; the papers take 0.1",
}


def _sentence(item: Any) -> tuple[str, str]:
    """A pydantic error as (dotted field, plain sentence)."""
    field = ".".join(str(part) for part in item["loc"])
    kind, text = item["type"], item["msg"]
    if kind == "extra_forbidden":
        return field, "there is no such field; check the spelling against a preset"
    if kind == "missing":
        return field, "is required"
    text = _OF_FIELD.get((field, kind)) or _PLAIN.get(kind, text)
    given = item.get("input")
    shown = f" (given: {str(given)[:60]!r})" if isinstance(given, str | int | float | bool) else ""
    return field, text.removeprefix("Value error, ").replace("Input should be", "must be") + shown


def differences(one: RunConfig, other: RunConfig) -> list[tuple[str, Any, Any]]:
    """(dotted field, value in one, value in other) for every field that differs, in order of declaration."""

    def walk(prefix: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
        if isinstance(left, dict) and isinstance(right, dict):
            keys = list(left) + [key for key in right if key not in left]
            return [
                row for key in keys for row in walk(f"{prefix}.{key}" if prefix else key, left.get(key), right.get(key))
            ]
        return [] if left == right else [(prefix, left, right)]

    return walk("", one.to_dict(), other.to_dict())
