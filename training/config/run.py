"""``RunConfig``: the whole run, its hash, and what differs between two."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

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
from training.config.upgrades import VERSION, upgrade

Paradigm = Literal["self_reward", "teacher_reward", "teacher_demonstration"]
#: Key of the validation context in which rules across fields are left out; ``stored.read_stored`` reports them.
LENIENT: Final = "lenient"


class RunConfig(Section):
    """A whole alignment run: M0, supervised fine-tuning to M1, then ``iterations`` rounds of preference training."""

    version: int = Field(
        VERSION, ge=VERSION, le=VERSION, description="Format of the config; earlier formats are upgraded when read."
    )
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
    def _fits_together(self, info: ValidationInfo) -> Self:
        if (info.context or {}).get(LENIENT):
            return self
        problems = list(cross_field_problems(self))
        if problems:
            raise ConfigError(problems)
        return self

    @classmethod
    def parse(cls, data: Any) -> RunConfig:
        """Validate a mapping, the strict read: data that states an earlier version is upgraded first.

        Raises :class:`ConfigError` with every problem at once, each on its field.
        """
        if not isinstance(data, dict):
            raise ConfigError([("", "the config must be a mapping of fields; see any preset for an example")])
        try:
            return cls.model_validate(upgrade(data))
        except ValidationError as error:
            problems: list[tuple[str, str]] = []
            for item in error.errors():
                cause = item.get("ctx", {}).get("error")
                problems += cause.problems if isinstance(cause, ConfigError) else [sentence(item)]
            raise ConfigError(problems) from None

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Read a YAML document. Raises :class:`ConfigError` naming line and column where it is not YAML."""
        return cls.parse(read_yaml(text))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every field present, in the order of declaration."""
        return self.model_dump(mode="json", warnings=False)  # a stored value may be outside of today's limits

    def to_yaml(self) -> str:
        """The YAML that :meth:`from_yaml` reads back to an equal config."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @property
    def uses_ready_pairs(self) -> bool:
        """Whether preference pairs come from a data set: nothing is generated and nothing judged for them."""
        return bool(self.pairs.from_dataset)

    @property
    def uses_recorded_responses(self) -> bool:
        """Whether candidate responses come from a data set instead of the student."""
        return bool(self.candidates.from_dataset)

    @property
    def makes_candidates(self) -> bool:
        """Whether the student writes the candidate responses."""
        return not (self.uses_ready_pairs or self.uses_recorded_responses)

    @property
    def writes_prompts(self) -> bool:
        """Whether the prompts of an iteration are written by a model, and not taken from a data set."""
        return self.prompts.source == "self_instruct" and self.makes_candidates

    @property
    def demonstrates(self) -> bool:
        """Whether the teacher writes the chosen responses, so that nobody scores candidates."""
        return self.paradigm == "teacher_demonstration"

    @property
    def judges_candidates(self) -> bool:
        """Whether a judge of this run scores the candidate responses."""
        return not (self.uses_ready_pairs or self.demonstrates or self.judging.recorded_scores)

    @property
    def judging_source(self) -> str:
        """Whose scores make the pairs: the student's own or the teacher's, recorded ones included."""
        return self.judging.score_rule(self.paradigm).source

    @property
    def pairs_follow_scores(self) -> bool:
        """Whether pairs are made of the highest and the lowest score, so that another score makes another pair."""
        return self.pairs.rule == "max_min" and not (self.demonstrates or self.uses_ready_pairs)

    def judges(self) -> dict[str, str]:
        """The judges that this run asks, by the field that names them."""
        return {"judging.template": self.judging.template, "evaluation.judge": self.evaluation.judge}

    @property
    def config_hash(self) -> str:
        """SHA-256 over the canonical JSON, without name and version: two runs with one hash have the same settings."""
        data = self.to_dict()
        del data["name"], data["version"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


#: What a number that is none is told, by pydantic's name for the mistake.
_PLAIN = dict.fromkeys(("int_parsing", "int_from_float", "int_type"), "must be a whole number") | dict.fromkeys(
    ("float_parsing", "float_type"), "must be a number"
)

_OF_FIELD = {
    ("training.beta", "greater_than"): "must be above 0: at 0 DPO's loss would be the same whatever the model does, "
    "and IPO's target 1/(2β) would be infinite; the papers take 0.1",
}


def sentence(item: Any) -> tuple[str, str]:
    """A pydantic error as (dotted field, plain sentence)."""
    field = ".".join(str(part) for part in item["loc"])
    kind, text = item["type"], item["msg"]
    if field == "version" and kind != "int_type":
        return field, f"must be {VERSION} or earlier; a later Plumbline wrote this config"
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
