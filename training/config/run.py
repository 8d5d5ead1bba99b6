"""``RunConfig``, the root of the config, its hash, and the difference of two configs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from training.config.base import ConfigError, Section, read_yaml
from training.config.checks import cross_field_problems
from training.config.models import (
    MODEL_ROLES,
    SAME_AS_TEACHER,
    EvaluatorConfig,
    ModelConfig,
    ModelRole,
    StoppingJudgeConfig,
    TeacherConfig,
)
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
)
from training.config.upgrades import VERSION, upgrade
from training.domain.judges import JudgeKind

#: Fields that name a judge prompt, with its kind.
JUDGE_FIELDS: Final[dict[str, JudgeKind]] = {
    "judging.template": "score",
    "evaluation.judge": "comparison",
    "evaluator.template": "score",
}
Paradigm = Literal["self_reward", "teacher_reward", "teacher_demonstration"]
#: Key of the validation context in which rules across fields are left out; ``stored.read_stored`` reports them.
LENIENT: Final = "lenient"


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How a model judges.

    Attributes:
        template: the config field that names the judge prompt for scores.
        sampling: a section with temperature, top_p and max_new_tokens.
        k: judgements per response.
    """

    template: str
    sampling: JudgingConfig | EvaluatorConfig | StoppingJudgeConfig
    k: int


class RunConfig(Section):
    """An alignment run: supervised fine-tuning of M0 to M1, then ``iterations`` rounds of preference training."""

    version: int = Field(
        VERSION, ge=VERSION, le=VERSION, description="Format of the config; earlier formats are upgraded when read."
    )
    name: str = Field(min_length=1, max_length=120, description="Displayed in lists. Does not have to be unique.")
    paradigm: Paradigm = Field(
        description="Source of the preferences: the student's scores, a teacher's scores, or a teacher's responses."
    )
    iterations: int = Field(
        2, ge=0, le=20, description="Rounds of preference training: 2 gives M2 and M3; 0 stops at M1."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Random seed of all sampling and shuffling.")
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
    evaluator: EvaluatorConfig = EvaluatorConfig()
    stopping_judge: StoppingJudgeConfig = StoppingJudgeConfig()

    @field_validator("name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must contain printable characters only")
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
        """Validate a mapping strictly, after upgrading data of an earlier version.

        Raises :class:`ConfigError` with all problems, each with its field.
        """
        if not isinstance(data, dict):
            raise ConfigError([("", "the config must be a mapping of fields")])
        try:
            return cls.model_validate(upgrade(data))
        except ValidationError as error:
            problems: list[tuple[str, str]] = []
            for item in error.errors():
                cause = item.get("ctx", {}).get("error")
                problems += cause.problems if isinstance(cause, ConfigError) else [field_message(item)]
            raise ConfigError(problems) from None

    @classmethod
    def from_yaml(cls, text: str) -> RunConfig:
        """Read a YAML document. Raises :class:`ConfigError`, with line and column for invalid YAML."""
        return cls.parse(read_yaml(text))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data with all fields, in order of declaration."""
        return self.model_dump(mode="json", warnings=False)  # stored values may violate newer limits

    def to_yaml(self) -> str:
        """Return YAML that :meth:`from_yaml` reads into an equal config."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @property
    def uses_ready_pairs(self) -> bool:
        """Whether the preference pairs come from a data set, without generation and judging."""
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
        """Whether a model writes the prompts of an iteration (self-instruct)."""
        return self.prompts.source == "self_instruct" and self.makes_candidates

    @property
    def demonstrates(self) -> bool:
        """Whether the teacher writes the chosen responses, so that candidates are not scored."""
        return self.paradigm == "teacher_demonstration"

    @property
    def judges_candidates(self) -> bool:
        """Whether a judge scores the candidate responses in this run."""
        return not (self.uses_ready_pairs or self.demonstrates or self.judging.recorded_scores)

    @property
    def judging_source(self) -> str:
        """The source of the scores for pairs, including recorded scores: "self" or "teacher"."""
        return self.judging.score_rule(self.paradigm).source

    @property
    def pairs_follow_scores(self) -> bool:
        """Whether a changed score can change the pairs, which have the highest and the lowest score."""
        return self.pairs.rule == "max_min" and not (self.demonstrates or self.uses_ready_pairs)

    def judges(self) -> dict[str, str]:
        """Return the judges of the run by the field that names them."""
        named = {"judging.template": self.judging.template, "evaluation.judge": self.evaluation.judge}
        if self.evaluator_role == "evaluator" and self.evaluator.template:
            named["evaluator.template"] = self.evaluator.template
        return named

    @property
    def evaluator_role(self) -> ModelRole:
        """The section of the model that judges the evaluation: the evaluator's own, or the teacher's."""
        return "teacher" if self.evaluator.kind == SAME_AS_TEACHER else "evaluator"

    @property
    def has_evaluator(self) -> bool:
        """Whether a model other than the student judges the evaluation."""
        return self.model_of(self.evaluator_role).exists

    @property
    def evaluator_makes_preferences(self) -> bool:
        """Whether the model that judges the evaluation also makes the preferences of the training.

        False for a program that knows the right answers, which has no taste to learn.
        """
        evaluator = self.model_of(self.evaluator_role)
        if not (self.evaluation.enabled and self.iterations and evaluator.exists) or evaluator.entry.knows_answers:
            return False
        if (self.demonstrates and not self.uses_ready_pairs) or (
            self.judges_candidates and self.judging_source == "teacher"
        ):
            return evaluator.identity == self.teacher.identity
        return self.judges_candidates and evaluator.entry.loads_weights and evaluator.model == self.student.model

    @property
    def stopping_role(self) -> ModelRole | Literal["self"]:
        """The section of the model that judges early stopping, or "self" for the initial model of the training."""
        stopping = self.training.early_stopping
        judge = stopping.judge if stopping else "evaluator"
        if judge == "own":
            return "stopping_judge"
        return self.evaluator_role if judge == "evaluator" else judge

    def model_of(self, role: ModelRole) -> ModelConfig:
        """Return the section with this name."""
        section: ModelConfig = getattr(self, role)
        return section

    def models(self) -> dict[ModelRole, ModelConfig]:
        """Return the models that judge or demonstrate in this run, by section. The student is not among them."""
        used: set[str] = {"teacher"}
        if self.evaluation.enabled:
            used.add(self.evaluator_role)
        if self.training.early_stopping and self.iterations:
            used.add(self.stopping_role)
        return {role: section for role in MODEL_ROLES if role in used and (section := self.model_of(role)).exists}

    @property
    def verified_datasets(self) -> dict[str, str]:
        """The data sets whose prompts a verifier checks, by the field that names them."""
        found: dict[str, str] = {}
        if (
            self.teacher.entry.verifies
            and self.iterations
            and self.judges_candidates
            and self.judging_source == "teacher"
        ):
            field = "candidates.from_dataset" if self.uses_recorded_responses else "prompts.dataset"
            found[field] = self.candidates.from_dataset or self.prompts.dataset
        if self.evaluation.enabled and self.model_of(self.evaluator_role).entry.verifies:
            found["evaluation.dataset"] = self.evaluation.dataset
        stopping, role = self.training.early_stopping, self.stopping_role
        if stopping and self.iterations and role != "self" and self.model_of(role).entry.verifies:
            found["training.early_stopping.dataset"] = stopping.dataset
        return found

    def judge_settings(self, role: ModelRole) -> JudgeSettings:
        """Return how the model of a section judges."""
        if role == "teacher":
            return JudgeSettings("judging.template", self.judging, self.judging.k)
        if role == "stopping_judge":
            return JudgeSettings("judging.template", self.stopping_judge, 1)
        field = "evaluator.template" if self.evaluator.template else "judging.template"
        return JudgeSettings(field, self.evaluator, self.evaluator.k)

    @property
    def config_hash(self) -> str:
        """SHA-256 of the canonical JSON without name and version; equal for runs with the same settings."""
        data = self.to_dict()
        del data["name"], data["version"]
        for path in _LATER_FIELDS:
            *parents, leaf = path.split(".")
            holder: dict[str, Any] = reduce(lambda found, name: found[name], parents, data)
            if holder[leaf] == _default(path):
                del holder[leaf]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


#: Fields that are part of the hash only if they are set, so that configs from before them keep their hash.
_LATER_FIELDS: Final = (
    "evaluator",
    "stopping_judge",
    "evaluation.prompt_seed",
    "teacher.reasoning_tokens",
    "sft.warmup_steps",
    "training.refinement_prompt",
    "training.pairs_by_iteration",
    "training.seed_rows",
    "training.min_chosen_score",
    "training.warmup_steps",
)


def _default(path: str) -> Any:
    """Return the JSON data of a dotted field's default."""
    section, _, leaf = path.partition(".")
    default: Section = RunConfig.model_fields[section].default
    data = default.model_dump(mode="json")
    return data[leaf] if leaf else data


#: Messages for invalid numbers, by pydantic's error type.
_TYPE_MESSAGES = dict.fromkeys(("int_parsing", "int_from_float", "int_type"), "must be a whole number") | dict.fromkeys(
    ("float_parsing", "float_type"), "must be a number"
)

_FIELD_MESSAGES = {
    ("training.beta", "greater_than"): "must be above 0: at β = 0 the DPO loss is constant and the IPO target 1/(2β) "
    "is infinite; the papers use 0.1",
}


def field_message(item: Any) -> tuple[str, str]:
    """Convert a pydantic error to (dotted field, message)."""
    field = ".".join(str(part) for part in item["loc"])
    kind, text = item["type"], item["msg"]
    if field == "version" and kind != "int_type":
        return field, f"must be at most {VERSION}; a newer version of Plumbline wrote this config"
    if kind == "extra_forbidden":
        return field, "unknown field; check the spelling"
    if kind == "missing":
        return field, "is required"
    text = _FIELD_MESSAGES.get((field, kind)) or _TYPE_MESSAGES.get(kind, text)
    given = item.get("input")
    shown = f" (given: {str(given)[:60]!r})" if isinstance(given, str | int | float | bool) else ""
    return field, text.removeprefix("Value error, ").replace("Input should be", "must be") + shown


def differences(one: RunConfig, other: RunConfig) -> list[tuple[str, Any, Any]]:
    """Return (dotted field, value in one, value in other) for each field that differs, in order of declaration."""

    def walk(prefix: str, left: Any, right: Any) -> list[tuple[str, Any, Any]]:
        if isinstance(left, dict) and isinstance(right, dict):
            keys = list(left) + [key for key in right if key not in left]
            return [
                row for key in keys for row in walk(f"{prefix}.{key}" if prefix else key, left.get(key), right.get(key))
            ]
        return [] if left == right else [(prefix, left, right)]

    return walk("", one.to_dict(), other.to_dict())
