"""Stages that create the pairs of an iteration t ≥ 1: prompts, responses, scores or demonstrations, pairs, review."""

from __future__ import annotations

from training.config import RunConfig
from training.plan.spec import (
    FinishedStage,
    JudgeData,
    LiveJudgeData,
    LiveStageData,
    ModelStageData,
    Queue,
    StageData,
    StageSpec,
    SummaryFormat,
    left_out_note,
    teacher_queue,
)


def _gathers(config: RunConfig, iteration: int) -> bool:
    return iteration > 0 and not config.uses_ready_pairs


def _makes_pairs(config: RunConfig, iteration: int) -> bool:
    return iteration > 0


def _demonstrates(config: RunConfig, iteration: int) -> bool:
    return _gathers(config, iteration) and config.demonstrates


def _judges(config: RunConfig, iteration: int) -> bool:
    return _gathers(config, iteration) and not config.demonstrates


def _prompts_queue(config: RunConfig) -> Queue:
    return "generation" if config.writes_prompts else "light"


def _responses_queue(config: RunConfig) -> Queue:
    return "light" if config.uses_recorded_responses else "generation"


def _judgements_queue(config: RunConfig) -> Queue:
    if config.judging.recorded_scores:
        return "light"
    return "generation" if config.judging_source == "self" else teacher_queue(config)


class PromptsResult(StageData):
    """The source of the prompts, and the prompts that the self-instruct filters removed."""

    source: str = "dataset"
    dataset: str = ""
    removed: dict[str, int] = {}  #: by reason


class PromptsProgress(LiveStageData):
    """The prompts that the filters have removed so far."""

    removed: dict[str, int] = {}


class WrittenResult(ModelStageData):
    """The number of responses that the token limit cut."""

    cut: int = 0


class ResponsesResult(WrittenResult):
    """The data set of the candidates; empty if the student wrote them."""

    dataset: str = ""


class DemonstrationsResult(WrittenResult):
    """The teacher that wrote the demonstrations."""

    teacher: str = ""


class JudgementsResult(JudgeData):
    """The judge, and the mean and standard deviation of its scores."""

    judge: str = ""
    mean: float | None = None
    spread: float | None = None


class PairsResult(StageData):
    """The number of pairs, and of prompts without a pair by reason."""

    pairs: int | None = None
    none: int = 0
    reasons: dict[str, int] = {}


def _prompts(result: PromptsResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    return words.number(stage.done), f"{words.number(sum(result.removed.values()))} removed" if result.removed else ""


def _written(result: WrittenResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    cut = f"{words.number(result.cut)} cut" if result.cut else ""
    return words.number(stage.done), ", ".join(note for note in (cut, left_out_note(result, words)) if note)


def judged_summary(result: JudgeData, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    """Return the number of judgements, the share of replies with a score, and the responses that were left out."""
    parsed = f"{words.percent(result.parse_rate, 1)} parsed" if result.parse_rate is not None else ""
    return words.number(stage.done), ", ".join(note for note in (parsed, left_out_note(result, words)) if note)


def _pairs(result: PairsResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    count = stage.done if result.pairs is None else result.pairs
    return words.number(count), f"{words.number(result.none)} prompts without a pair" if result.none else ""


PROMPTS = StageSpec(
    kind="prompts",
    title="Prompts",
    unit="prompts",
    queue=_prompts_queue,
    applies=_gathers,
    job="training.jobs.gather:gather_prompts",
    result=PromptsResult,
    progress=PromptsProgress,
    summary=_prompts,
    samples="prompts",
    estimate="training.estimate.seconds:prompts",
)
RESPONSES = StageSpec(
    kind="responses",
    title="Responses",
    unit="responses",
    queue=_responses_queue,
    applies=_gathers,
    job="training.jobs.gather:collect_responses",
    result=ResponsesResult,
    summary=_written,
    samples="prompts",
    refreshes=("sample",),
    overlaps_teacher=True,
    estimate="training.estimate.seconds:responses",
)
DEMONSTRATIONS = StageSpec(
    kind="demonstrations",
    title="Demonstrations",
    unit="responses",
    queue=teacher_queue,
    applies=_demonstrates,
    job="training.jobs.gather:demonstrate",
    overlap="training.jobs.gather:demonstrate",
    result=DemonstrationsResult,
    summary=_written,
    samples="prompts",
    refreshes=("sample",),
    estimate="training.estimate.seconds:demonstrations",
)
JUDGEMENTS = StageSpec(
    kind="judgements",
    title="Judgements",
    unit="judgements",
    queue=_judgements_queue,
    applies=_judges,
    job="training.jobs.gather:judge_candidates",
    overlap="training.jobs.gather:judge_overlapping",
    result=JudgementsResult,
    progress=LiveJudgeData,
    summary=judged_summary,
    samples="prompts",
    refreshes=("sample",),
    estimate="training.estimate.seconds:judgements",
)
PAIRS = StageSpec(
    kind="pairs",
    title="Pairs",
    unit="pairs",
    queue="light",
    applies=_makes_pairs,
    job="training.jobs.gather:make_pairs",
    result=PairsResult,
    summary=_pairs,
    samples="prompts",
    refreshes=("sample",),
)
REVIEW = StageSpec(
    kind="review",
    title="Review",
    unit="pairs",
    queue="light",
    applies=_makes_pairs,
    skipped=lambda config, _: not config.review.enabled,
    job=None,
    samples="prompts",
)
#: The stages of this module, in the order of an iteration.
STAGES = (PROMPTS, RESPONSES, DEMONSTRATIONS, JUDGEMENTS, PAIRS, REVIEW)
