"""What a measure of checkpoints is, and what it is given: an :class:`EvaluationContext` over the saved rows.

Every row is saved as it is made and asked for by what is missing, so a measure that was interrupted goes on where it
was. A measure computes its figures from saved rows alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from training.config import RunConfig
from training.domain.metric import Metric
from training.domain.ranking import Ranked
from training.domain.rows import ComparisonOutcome, PromptRow, ResponseRow, Verdict

#: What a checkpoint or a run lacks for a measure: the setting is off, no teacher judges, no checkpoint came before.
Unmet = Literal["off", "no-teacher", "no-previous"]


@dataclass(frozen=True, slots=True)
class JudgeRef:
    """Who judges: the teacher, or a checkpoint of the run by its number."""

    source: Literal["teacher", "self"]
    checkpoint: int | None = None


TEACHER = JudgeRef("teacher")


@dataclass(frozen=True, slots=True)
class Answer:
    """A saved response of the checkpoint; ``tokens`` is ``None`` where the engine did not count them."""

    id: int
    prompt_id: int
    text: str
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A saved judgement: the mean of its replies' scores, and the score of each (``None``: unparsed)."""

    response_id: int
    score: float | None
    replies: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """A saved head-to-head row: the verdicts with the newer answer first and second, and the newer one's outcome."""

    verdict_first: Verdict
    verdict_second: Verdict
    outcome: ComparisonOutcome


class Responses(Protocol):
    """A set of saved responses, which only the context that gave it looks into."""

    def count(self) -> int:
        """How many there are."""


class EvaluationContext(Protocol):
    """The checkpoint that is evaluated, the rows saved so far, and how more of them are made."""

    @property
    def config(self) -> RunConfig:
        """The run's config."""

    @property
    def has_previous(self) -> bool:
        """Whether a checkpoint that was evaluated comes before."""

    @property
    def checkpoint(self) -> JudgeRef:
        """The evaluated checkpoint as a judge."""

    @property
    def self_judges(self) -> Sequence[JudgeRef]:
        """Every checkpoint of the run so far as a judge, the newest first."""

    @property
    def prompts(self) -> Sequence[PromptRow]:
        """The held-out prompts of ``evaluation.dataset``, in order."""

    def generate(self, prompts: Sequence[PromptRow], *, purpose: str, n: int, sampling: Any) -> None:
        """Save the checkpoint's responses that are missing, ``n`` to each prompt, drawn as a config section says."""

    def responses(self, purpose: str) -> Responses:
        """The checkpoint's responses of one purpose."""

    def scored_blind(self) -> Responses:
        """The held-out responses that people scored before any judge was shown."""

    def judge(self, responses: Responses, judge: JudgeRef) -> None:
        """Save the judgements that are missing on these responses."""

    def unjudged(self, responses: Responses, judge: JudgeRef) -> int:
        """How many of these responses the judge has not judged."""

    def answers(self, responses: Responses) -> Sequence[Answer]:
        """The responses with their texts, in order of prompts and of their index."""

    def judgements(self, responses: Responses, source: Literal["teacher", "self"]) -> Sequence[Judged]:
        """The saved judgements of these responses by judges of one kind."""

    def mean_score(self, responses: Responses, source: Literal["teacher", "self"]) -> float | None:
        """The mean of these responses' scores; ``None`` where none has one."""

    def previous_answers(self) -> Mapping[int, ResponseRow]:
        """The previous checkpoint's answers to held-out prompts, by prompt."""

    def current_answers(self) -> Mapping[int, ResponseRow]:
        """The checkpoint's answers to held-out prompts, by prompt."""

    def compare(self, pairs: Sequence[tuple[PromptRow, ResponseRow, ResponseRow]]) -> None:
        """Save the teacher's verdicts in both orders on (prompt, newer, older) that are missing."""

    def compared(self) -> Sequence[Compared]:
        """The saved head-to-head rows."""

    def compared_prompts(self) -> set[int]:
        """The ids of the prompts that have a head-to-head row."""

    def judge_rankings(self) -> None:
        """Save the checkpoint's judgements that are missing on the held-out responses that people ranked."""

    def unjudged_rankings(self) -> int:
        """How many of those judgements are missing."""

    def rankings(self, *, before: bool) -> Mapping[int, Ranked]:
        """By prompt: scores beside people's ranks; of the checkpoint, or of the model ``before`` the EFT rows."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows a measure has saved, and how many it will have."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that a measure makes for one checkpoint, all to one model. Lengths are tokens per request.

    ``per_prompt`` requests have the same prompt, which an engine reads once.
    """

    to: Literal["student", "teacher"]
    count: float
    prompt_tokens: float
    reply_tokens: float
    per_prompt: int = 1


class Sizes(Protocol):
    """The lengths, in tokens, and the counts that the estimate assumes before a run exists."""

    @property
    def prompt(self) -> float:
        """A prompt."""

    @property
    def judge_prompt(self) -> float:
        """A judge's prompt without the response."""

    @property
    def judgement(self) -> float:
        """A judge's reply."""

    def response(self, limit: int) -> float:
        """A response of at most ``limit`` tokens."""

    def held_out_rankings(self, prompts: int) -> float:
        """How many ranked responses to at most ``prompts`` prompts are held out; a number of rows."""


class Measure(ABC):
    """Something that is measured on a checkpoint. One instance stands in :data:`training.evaluation.registry.MEASURES`.

    Attributes:
        key: the name in the registry.
        title: the name on screens.
        metrics: what it measures; the keys are those of :meth:`figures`.
        datasets: fields of the config that name the data sets it reads.
        needs_teacher: whether nothing of it can be measured without a teacher.
        needs_previous: whether the previous checkpoint takes part, so that the first one has none of the metrics.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    datasets: ClassVar[tuple[str, ...]] = ("evaluation.dataset",)
    needs_teacher: ClassVar[bool] = False
    needs_previous: ClassVar[bool] = False

    def is_enabled(self, config: RunConfig) -> bool:
        """Whether the config asks for it, given that it asks for evaluation at all."""
        return True

    def unmet(self, config: RunConfig, *, has_previous: bool) -> tuple[Unmet, ...]:
        """What is missing for it to be measured; empty where it is measured."""
        found: list[Unmet] = []
        if not (config.evaluation.enabled and self.is_enabled(config)):
            found.append("off")
        if self.needs_teacher and not config.teacher.exists:
            found.append("no-teacher")
        if self.needs_previous and not has_previous:
            found.append("no-previous")
        return tuple(found)

    @abstractmethod
    def rows(self, context: EvaluationContext) -> Rows:
        """How many rows are saved, and how many there will be."""

    @abstractmethod
    def run(self, context: EvaluationContext) -> None:
        """Make and save the rows that are missing."""

    @abstractmethod
    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        """Every figure from the saved rows, by key; ``None`` where nothing measured it."""

    @abstractmethod
    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        """What it asks of the models for one checkpoint. Those to a teacher count where there is one."""
