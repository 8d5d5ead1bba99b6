"""Interface of measures, and the :class:`EvaluationContext` that they work with.

Rows are saved as they are made, and only missing rows are requested, so an interrupted measure continues where it
stopped. Metrics are computed from saved rows only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from training.config import RunConfig
from training.domain.leakage import EvaluationText, Leakage, TrainingText
from training.domain.metric import Metric
from training.domain.ranking import Ranked
from training.domain.rows import ComparisonOutcome, PromptRow, ResponseRow, Verdict

#: Unmet requirements of a measure: it is disabled, or there is no evaluator or no previous checkpoint.
Unmet = Literal["off", "no-evaluator", "no-previous"]
#: Kinds of judges: the evaluator, which may be the teacher; the teacher; a checkpoint.
JudgeSource = Literal["evaluator", "teacher", "self"]


@dataclass(frozen=True, slots=True)
class JudgeRef:
    """Reference to a judge: the evaluator, the teacher, or a checkpoint of the run by its number."""

    source: JudgeSource
    checkpoint: int | None = None


EVALUATOR = JudgeRef("evaluator")
TEACHER = JudgeRef("teacher")


@dataclass(frozen=True, slots=True)
class Answer:
    """A saved response of the checkpoint; ``tokens`` is ``None`` if the engine did not count them."""

    id: int
    prompt_id: int
    text: str
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A saved judgement: the mean score and the scores of its replies (``None`` if unparsed)."""

    response_id: int
    score: float | None
    replies: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Compared:
    """A saved comparison: verdicts with the newer answer first and second, and the newer answer's outcome."""

    verdict_first: Verdict
    verdict_second: Verdict
    outcome: ComparisonOutcome


class Responses(Protocol):
    """An opaque set of saved responses, created by a context."""

    def count(self) -> int:
        """Return the number of responses."""


class EvaluationContext(Protocol):
    """Access to the evaluated checkpoint and its saved rows, with methods that make the missing rows."""

    @property
    def config(self) -> RunConfig:
        """The run's config."""

    @property
    def has_previous(self) -> bool:
        """Whether there is a previous evaluated checkpoint."""

    @property
    def checkpoint(self) -> JudgeRef:
        """The evaluated checkpoint as a judge."""

    @property
    def self_judges(self) -> Sequence[JudgeRef]:
        """All checkpoints of the run so far as judges, newest first."""

    @property
    def prompts(self) -> Sequence[PromptRow]:
        """The held-out prompts of ``evaluation.dataset``, in order."""

    def generate(self, prompts: Sequence[PromptRow], *, purpose: str, n: int, sampling: Any) -> None:
        """Generate and save the missing responses, ``n`` per prompt, with the sampling of a config section."""

    def responses(self, purpose: str) -> Responses:
        """Return the checkpoint's responses with this purpose."""

    def scored_blind(self) -> Responses:
        """Return the held-out responses that people scored without seeing a judgement."""

    def judge(self, responses: Responses, judge: JudgeRef, *, required: bool = True) -> None:
        """Generate and save the missing judgements of these responses.

        Responses whose judging prompt the model refuses are left out. If that leaves none, the stage fails, unless
        they are not ``required``.
        """

    def unjudged(self, responses: Responses, judge: JudgeRef) -> int:
        """Return the number of these responses that the judge has not judged."""

    def answers(self, responses: Responses) -> Sequence[Answer]:
        """Return the responses with their texts, ordered by prompt and index."""

    def judgements(self, responses: Responses, source: JudgeSource) -> Sequence[Judged]:
        """Return the saved judgements of these responses by one kind of judge."""

    def previous_responses(self, purpose: str) -> Responses:
        """Return the previous checkpoint's responses with this purpose."""

    def evaluation_texts(self) -> Sequence[EvaluationText]:
        """Return the held-out prompts with their known answers, for the comparison with training rows."""

    def training_texts(self) -> Iterable[TrainingText]:
        """Return all rows that the checkpoint and its predecessors were trained on."""

    def leakage(self) -> Leakage | None:
        """Return the saved leakage of the held-out prompts, or ``None`` if it is not computed yet."""

    def save_leakage(self, found: Leakage) -> None:
        """Save the leakage of the held-out prompts with the evaluation."""

    def previous_answers(self) -> Mapping[int, ResponseRow]:
        """Return the previous checkpoint's answers to held-out prompts, by prompt id."""

    def current_answers(self) -> Mapping[int, ResponseRow]:
        """Return the checkpoint's answers to held-out prompts, by prompt id."""

    def compare(self, pairs: Sequence[tuple[PromptRow, ResponseRow, ResponseRow]]) -> None:
        """Save the evaluator's missing verdicts on (prompt, newer, older) in both orders."""

    def compared(self) -> Sequence[Compared]:
        """Return the saved head-to-head comparisons."""

    def compared_prompts(self) -> set[int]:
        """Return the ids of the prompts that have a comparison."""

    def judge_rankings(self) -> None:
        """Generate and save the missing judgements of the held-out ranked responses."""

    def unjudged_rankings(self) -> int:
        """Return the number of missing judgements of held-out ranked responses."""

    def rankings(self, *, before: bool) -> Mapping[int, Ranked]:
        """Return scores and people's ranks by prompt id, of the checkpoint or of the model ``before`` EFT."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The number of rows a measure has saved, and its total."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of a measure to one model for one checkpoint. Lengths are in tokens per request.

    ``per_prompt`` requests share one prompt, which an engine processes once.
    """

    to: Literal["student", "evaluator"]
    count: float
    prompt_tokens: float
    reply_tokens: float
    per_prompt: int = 1


class Sizes(Protocol):
    """Lengths in tokens, and counts, that the estimate assumes before a run exists."""

    @property
    def prompt(self) -> float:
        """Length of a prompt."""

    @property
    def judge_prompt(self) -> float:
        """Length of a judge's prompt without the response."""

    @property
    def judgement(self) -> float:
        """Length of a judge's reply."""

    def response(self, limit: int) -> float:
        """Return the expected length of a response of at most ``limit`` tokens."""

    def held_out_rankings(self, prompts: int) -> float:
        """Return the number of held-out ranked responses, for at most ``prompts`` prompts."""


class Measure(ABC):
    """A measure of checkpoints, registered in :data:`training.evaluation.registry.MEASURES`.

    Attributes:
        key: the name in the registry.
        title: the name on screens.
        metrics: its metrics; their keys are those of :meth:`figures`.
        datasets: config fields that name the data sets it reads.
        needs_evaluator: whether it requires an evaluator.
        needs_previous: whether it requires a previous checkpoint, so that the first one has no metrics.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    datasets: ClassVar[tuple[str, ...]] = ("evaluation.dataset",)
    needs_evaluator: ClassVar[bool] = False
    needs_previous: ClassVar[bool] = False

    def is_enabled(self, config: RunConfig) -> bool:
        """Return whether the config enables the measure, given that evaluation is enabled."""
        return True

    def unmet(self, config: RunConfig, *, has_previous: bool) -> tuple[Unmet, ...]:
        """Return the unmet requirements; empty if the measure runs."""
        unmet: list[Unmet] = []
        if not (config.evaluation.enabled and self.is_enabled(config)):
            unmet.append("off")
        if self.needs_evaluator and not config.has_evaluator:
            unmet.append("no-evaluator")
        if self.needs_previous and not has_previous:
            unmet.append("no-previous")
        return tuple(unmet)

    @abstractmethod
    def rows(self, context: EvaluationContext) -> Rows:
        """Return the number of saved rows and their total."""

    @abstractmethod
    def run(self, context: EvaluationContext) -> None:
        """Make and save the missing rows."""

    @abstractmethod
    def figures(self, context: EvaluationContext) -> dict[str, Any]:
        """Compute the metrics from the saved rows, by key; ``None`` if there is no data."""

    @abstractmethod
    def cost(self, config: RunConfig, sizes: Sizes) -> list[Requests]:
        """Return the requests per checkpoint. Those to the evaluator count only if there is one."""
