"""Stages that freeze a training set, train on it, and evaluate the model."""

from __future__ import annotations

from typing import Any

from training.config import RunConfig
from training.plan.spec import (
    FinishedStage,
    HealthData,
    LiveStageData,
    ModelStageData,
    StageData,
    StageSpec,
    SummaryFormat,
    left_out_note,
)


def _makes_m1_from_m0(config: RunConfig, iteration: int) -> bool:
    return iteration == 0


def _trains_on_pairs(config: RunConfig, iteration: int) -> bool:
    return iteration > 0


def _no_fine_tuning(config: RunConfig, iteration: int) -> bool:
    return iteration == 0 and not config.sft.enabled


class DatasetResult(StageData):
    """The frozen training set, and the number of pairs outside it."""

    hash: str = ""
    rows: int | None = None
    held_out: int = 0
    left_out: int = 0


class TrainingResult(StageData):
    """A finished training."""

    steps: int | None = None
    seconds: float | None = None
    loss: float | None = None


class PreferenceResult(TrainingResult, ModelStageData):
    """A finished preference training, with the selected λ if it was automatic, and what early stopping left out."""

    lam: float | None = None


class TrainingProgress(LiveStageData):
    """The latest point of the curves."""

    loss: float | None = None
    accuracy: float | None = None
    margin: float | None = None
    series: str = ""  #: name of the training, if the stage has several


class LambdaTrial(StageData):
    """A training with one λ, and its accuracy and margin on the held-out pairs."""

    lam: float
    steps: int = 0
    loss: float | None = None
    seconds: float = 0.0
    tokens: int = 0
    notes: tuple[str, ...] = ()
    last: dict[str, Any] = {}  #: the latest point of the curves
    pairs: int = 0
    accuracy: float = 0.0
    margin: float = 0.0


class StepComparing(StageData):
    """Progress of an early-stopping comparison. ``against`` is empty while the model of ``step`` answers."""

    step: int
    against: int | None = None
    done: int = 0
    total: int = 0


class PreferenceProgress(TrainingProgress):
    """Training progress with the finished trials of λ, which are not repeated, and the checks of early stopping."""

    trials: tuple[LambdaTrial, ...] = ()
    comparing: StepComparing | None = None
    steps_checked: int | None = None


class EvaluationResult(HealthData):
    """The metrics of the checkpoint, and the health of the judges."""

    metrics: dict[str, int | float | None] = {}


def _dataset(result: DatasetResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    rows = stage.done if result.rows is None else result.rows
    return f"{words.number(rows)} rows", words.short_hash(result.hash) if result.hash else ""


def training_summary(result: TrainingResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    """Return the number of steps and the loss. With early stopping, more steps may have been trained."""
    steps = stage.done if result.steps is None else result.steps
    return f"{words.number(steps)} steps", f"loss {words.number(result.loss)}" if result.loss is not None else ""


def _evaluation(result: EvaluationResult, stage: FinishedStage, words: SummaryFormat) -> tuple[str, str]:
    notes = (words.headline(result.metrics), left_out_note(result, words))
    return stage.model or "measured", ", ".join(note for note in notes if note)


DATASET = StageSpec(
    kind="dataset",
    title="Dataset",
    unit="rows",
    queue="light",
    skipped=_no_fine_tuning,
    job="training.jobs.train:freeze_dataset",
    result=DatasetResult,
    summary=_dataset,
    samples="snapshot",
)
SFT = StageSpec(
    kind="sft",
    title="Fine-tuning",
    unit="steps",
    queue="training",
    applies=_makes_m1_from_m0,
    skipped=_no_fine_tuning,
    job="training.jobs.train:fine_tune",
    result=TrainingResult,
    progress=TrainingProgress,
    summary=training_summary,
    estimate="training.estimate.seconds:fine_tuning",
)
TRAINING = StageSpec(
    kind="training",
    title="Training",
    unit="steps",
    queue="training",
    applies=_trains_on_pairs,
    job="training.jobs.train:train_on_preferences",
    result=PreferenceResult,
    progress=PreferenceProgress,
    summary=training_summary,
    refreshes=("choices",),
    estimate="training.estimate.seconds:preference_training",
)
EVALUATION = StageSpec(
    kind="evaluation",
    title="Evaluation",
    unit="rows",
    queue="generation",
    skipped=lambda config, _: not config.evaluation.enabled,
    job="training.jobs.evaluate:evaluate",
    result=EvaluationResult,
    summary=_evaluation,
    samples="comparisons",
    estimate="training.estimate.seconds:evaluation",
)
#: The stages of this module, in the order of an iteration.
STAGES = (DATASET, SFT, TRAINING, EVALUATION)
