"""The loop: every stage declared once, in order, and which of them an iteration has.

A new stage is a :class:`~training.plan.spec.StageSpec` in a module of this package, its place in :data:`LOOP`, and its
job. The database, the workers, the pages, the API and the estimate read the declaration.
"""

from __future__ import annotations

from typing import Final

from training.config import RunConfig
from training.plan.gathering import DEMONSTRATIONS, JUDGEMENTS, PAIRS, PROMPTS, RESPONSES, REVIEW
from training.plan.judging_rows import EFT, IFT, RANKED_JUDGEMENTS, RANKED_PROMPTS
from training.plan.spec import PlannedStage, StageSpec, import_function
from training.plan.training import DATASET, EVALUATION, SFT, TRAINING

__all__ = [
    "DATASET",
    "DEMONSTRATIONS",
    "EFT",
    "EVALUATION",
    "IFT",
    "JUDGEMENTS",
    "LOOP",
    "PAIRS",
    "PROMPTS",
    "RANKED_JUDGEMENTS",
    "RANKED_PROMPTS",
    "RESPONSES",
    "REVIEW",
    "SFT",
    "TRAINING",
    "PlannedStage",
    "StageSpec",
    "import_function",
    "plan_iteration",
    "spec_of",
]

#: Every stage, in the order in which an iteration has them.
LOOP: Final[list[StageSpec]] = [
    IFT,
    RANKED_PROMPTS,
    RANKED_JUDGEMENTS,
    EFT,
    PROMPTS,
    RESPONSES,
    DEMONSTRATIONS,
    JUDGEMENTS,
    PAIRS,
    REVIEW,
    DATASET,
    SFT,
    TRAINING,
    EVALUATION,
]


def spec_of(kind: str) -> StageSpec:
    """The declaration of a kind of stage. Raises :class:`LookupError` for a kind that there is not."""
    for spec in LOOP:
        if spec.kind == kind:
            return spec
    raise LookupError(f"there is no stage {kind!r}; the loop has {', '.join(spec.kind for spec in LOOP)}")


def plan_iteration(config: RunConfig, number: int) -> list[PlannedStage]:
    """The stages of iteration ``number`` in order; 0 makes M1 by fine-tuning, t ≥ 1 trains M_t into M_t+1."""
    return [
        PlannedStage(spec, spec.queue_for(config), spec.skipped(config, number))
        for spec in LOOP
        if spec.applies(config, number)
    ]
