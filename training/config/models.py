"""Config sections of the models that judge or demonstrate: the teacher, the evaluator, the judge of early stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from training.config.base import Probability, Section, Temperature
from training.domain.engine_kinds import ENGINES, TEACHERS, EngineEntry, key_variables

KeyName = Annotated[str, Field(max_length=60, pattern=r"^[\w.-]*$")]
SafetyThreshold = Literal[
    "", "off", "block_none", "block_only_high", "block_medium_and_above", "block_low_and_above"
]  # fmt: skip
#: The sections of this module in a :class:`training.config.RunConfig`.
ModelRole = Literal["teacher", "evaluator", "stopping_judge"]
MODEL_ROLES: Final[tuple[ModelRole, ...]] = ("teacher", "evaluator", "stopping_judge")
#: ``evaluator.kind``: the teacher also judges the evaluation.
SAME_AS_TEACHER: Final = "teacher"
# Type checkers need plain strings; pydantic, the form and the API schema take the choices from the registry.
if TYPE_CHECKING:
    TeacherKind = str
    EvaluatorKind = str
else:
    TeacherKind = Literal[TEACHERS]
    EvaluatorKind = Literal[(SAME_AS_TEACHER, *TEACHERS)]


class ModelConfig(Section):
    """A model, program or service that judges or demonstrates."""

    kind: str = "none"
    model: str = Field("", description="Model name or path. Empty for a program.")
    base_url: str = Field("", description="Address of the server, for openai_compatible. Gemini: optional.")
    key: KeyName = Field(
        "", description=f"Name of a stored API key. Empty: {' or '.join(key_variables())} from the environment."
    )
    concurrency: int = Field(4, ge=1, le=256, description="Number of concurrent requests.")
    timeout: float = Field(
        120, ge=1, le=3600, description="Timeout of a request in seconds, after which it is repeated."
    )
    system: str = Field("", max_length=20_000, description="System prompt of every request to a remote model.")
    reasoning_tokens: int = Field(
        0,
        ge=0,
        le=131072,
        description="Tokens of each request for the reasoning of a remote model, added to the limit of its answer. "
        "Providers count both together. 0 for a model that does not reason.",
    )
    safety: SafetyThreshold = Field("", description="Gemini: threshold of all safety filters. Empty: Google's default.")
    prompt_price: float | None = Field(None, ge=0, description="Price in USD per million prompt tokens.")
    completion_price: float | None = Field(
        None, ge=0, description="Price in USD per million completion tokens, including reasoning."
    )

    @property
    def entry(self) -> EngineEntry:
        """The registered kind; that of "none" for a kind that is not an engine, or unknown."""
        return ENGINES.get(self.kind, ENGINES["none"])

    @property
    def exists(self) -> bool:
        """Whether the section names a model."""
        return self.entry.name != "none"

    @property
    def is_remote(self) -> bool:
        """Whether the model is called over a network, with metered usage."""
        return self.entry.is_remote

    @property
    def label(self) -> str:
        """The model, or the kind if it has no model name. A program ignores a name that is left in the form."""
        return self.model if self.model and "model" in self.entry.teacher_fields else self.kind

    @property
    def identity(self) -> tuple[str, str, str]:
        """Kind, model and address: equal for sections that name the same model."""
        return self.kind, self.label, self.base_url.rstrip("/")


class TeacherConfig(ModelConfig):
    """The teacher, which scores or writes responses. It also judges the evaluation, unless there is an evaluator."""

    kind: TeacherKind = Field(
        "none",
        description="The oracle works for the miniature only. A verifier scores answers by the checks that prompts "
        "carry. Gemini and most servers need an API key.",
    )
    budget_tokens: int | None = Field(
        None,
        ge=1,
        description="Limit of prompt and completion tokens of all remote models that judge or demonstrate in the run. "
        "The run pauses before it is exceeded.",
    )
    budget_usd: float | None = Field(
        None, gt=0, description="Limit of their cost in USD. The run pauses before it is exceeded. Needs their prices."
    )


class JudgeModelConfig(ModelConfig):
    """A model that judges, with its sampling."""

    temperature: Temperature = Field(0.0, description="Sampling temperature of the judge; 0: greedy.")
    top_p: Probability = Field(1.0, description="Nucleus sampling of the judge.")
    max_new_tokens: int = Field(256, ge=1, le=8192, description="Maximum length of a judgement in tokens.")


class EvaluatorConfig(JudgeModelConfig):
    """The model that measures the result: it scores and compares the answers of the evaluation.

    A model that also makes the preferences favours what it has taught; choose another one here.
    """

    kind: EvaluatorKind = Field(
        SAME_AS_TEACHER, description="By default the teacher, with the settings under Judging. None: no model judges."
    )
    template: str = Field("", description="The judge prompt that scores answers. Empty: that of Judging.")
    k: int = Field(1, ge=1, le=64, description="Judgements sampled per answer. At temperature 0 they are all equal.")


class StoppingJudgeConfig(JudgeModelConfig):
    """The model that compares the checkpoints for early stopping, if it is neither the evaluator nor the teacher."""

    kind: TeacherKind = Field("none", description="Used if the judge of early stopping is a model of its own.")
