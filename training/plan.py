"""Which stages an iteration has: a pure consequence of the config."""

from __future__ import annotations

from dataclasses import dataclass

from training.config import RunConfig

REMOTE_TEACHERS = ("openai_compatible", "gemini")


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage's kind, the queue that its work belongs on, and whether this config leaves it out."""

    kind: str
    queue: str
    skipped: bool = False


def plan_iteration(config: RunConfig, number: int) -> list[PlannedStage]:
    """The stages of iteration ``number`` in order; 0 makes M1 by fine-tuning, t ≥ 1 trains M_t into M_t+1."""
    evaluation = PlannedStage("evaluation", "generation", skipped=not config.evaluation.enabled)
    if number == 0:
        no_sft = not config.sft.enabled
        return [
            *(_towards_eft() if config.eft.enabled else []),
            PlannedStage("dataset", "light", no_sft),
            PlannedStage("sft", "training", no_sft),
            evaluation,
        ]
    return [
        *_towards_pairs(config),
        PlannedStage("pairs", "light"),
        PlannedStage("review", "light", skipped=not config.review.enabled),
        PlannedStage("dataset", "light"),
        PlannedStage("training", "training"),
        evaluation,
    ]


def _towards_eft() -> list[PlannedStage]:
    """What has to exist before M1 can be trained on judgements that agree with people (001 section 3.1.1)."""
    return [
        PlannedStage("ift", "training"),
        PlannedStage("prompts", "light"),
        PlannedStage("judgements", "generation"),
        PlannedStage("eft", "light"),
    ]


def _towards_pairs(config: RunConfig) -> list[PlannedStage]:
    """What has to exist before pairs can be made."""
    if config.pairs.from_dataset:
        return []
    teacher_queue = "teacher" if config.teacher.kind in REMOTE_TEACHERS else "generation"
    recorded = bool(config.candidates.from_dataset)
    writes_prompts = config.prompts.source == "self_instruct" and not recorded
    stages = [
        PlannedStage("prompts", "generation" if writes_prompts else "light"),
        PlannedStage("responses", "light" if recorded else "generation"),
    ]
    if config.paradigm == "teacher_demonstration":
        stages.append(PlannedStage("demonstrations", teacher_queue))
    elif config.judging.recorded_scores:
        stages.append(PlannedStage("judgements", "light"))
    else:
        stages.append(PlannedStage("judgements", "generation" if config.paradigm == "self_reward" else teacher_queue))
    return stages
