"""Stages of iteration 0 that create the EFT rows, which teach M1 to judge (Yuan et al., 2024, section 3.1.1)."""

from __future__ import annotations

from training.config import RunConfig
from training.domain.ranking import RankAgreement
from training.plan.gathering import judged_summary
from training.plan.spec import (
    FinishedStage,
    JudgeData,
    LiveJudgeData,
    LiveStageData,
    StageData,
    StageSpec,
    SummaryFormat,
)
from training.plan.training import TrainingProgress, TrainingResult, training_summary


def _teaches_judging(config: RunConfig, iteration: int) -> bool:
    return iteration == 0 and config.eft.enabled


class RankedPromptsResult(StageData):
    """The number of prompts with ranked responses, and of those that are also in the IFT data sets."""

    dataset: str = ""
    ranked: int = 0
    overlapping: int = 0


class RankedJudgementsResult(JudgeData):
    """The judge of the ranked responses."""

    judge: str = ""


class EFTSelection(StageData):
    """The counts of each selection step; see :class:`training.domain.eft.EFTSelection`."""

    asked: int = 0
    parsed: int = 0
    prompts: int = 0
    agreeing_prompts: int = 0
    agreeing: int = 0
    common_score: float | None = None
    thinned: int = 0
    train: int = 0
    eval: int = 0


class EFTResult(StageData):
    """The selection, and the ranking agreement of the model before EFT on held-out responses."""

    selection: EFTSelection | None = None
    ranking: RankAgreement | None = None


class EFTProgress(LiveStageData):
    """The selection, even if no row is left for training."""

    selection: EFTSelection | None = None


def _eft(result: EFTResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    if result.selection is None:
        return words.number(stage.done), ""
    return f"{words.number(result.selection.train)} rows", f"and {words.number(result.selection.eval)} held out"


IFT = StageSpec(
    kind="ift",
    title="Instruction tuning",
    unit="steps",
    queue="training",
    applies=_teaches_judging,
    job="training.jobs.eft:fine_tune_on_ift",
    result=TrainingResult,
    progress=TrainingProgress,
    summary=training_summary,
    estimate="training.estimate.seconds:instruction_tuning",
)
RANKED_PROMPTS = StageSpec(
    kind="ranked_prompts",
    title="Ranked prompts",
    unit="prompts",
    queue="light",
    applies=_teaches_judging,
    job="training.jobs.eft:choose_ranked",
    result=RankedPromptsResult,
    samples="prompts",
)
RANKED_JUDGEMENTS = StageSpec(
    kind="ranked_judgements",
    title="Ranked judgements",
    unit="judgements",
    queue="generation",
    applies=_teaches_judging,
    job="training.jobs.eft:judge_ranked",
    result=RankedJudgementsResult,
    progress=LiveJudgeData,
    summary=judged_summary,
    samples="prompts",
    refreshes=("sample",),
    estimate="training.estimate.seconds:ranked_judgements",
)
EFT = StageSpec(
    kind="eft",
    title="Judging rows",
    unit="rows",
    queue="light",
    applies=_teaches_judging,
    job="training.jobs.eft:build_rows",
    result=EFTResult,
    progress=EFTProgress,
    summary=_eft,
    samples="prompts",
)
#: The stages of this module, in the order of an iteration.
STAGES = (IFT, RANKED_PROMPTS, RANKED_JUDGEMENTS, EFT)
