"""The stages of the loop, in order, and the plan of an iteration.

To add a stage, declare a :class:`~training.plan.spec.StageSpec` in a module of this package, insert it in that module's
``STAGES``, and write its job. The database, workers, pages, API and estimate use the declaration.
"""

from __future__ import annotations

from typing import Final

from training.config import RunConfig
from training.plan import gathering, judging_rows, training
from training.plan.gathering import PROMPTS, REVIEW
from training.plan.judging_rows import EFT, RANKED_JUDGEMENTS, RANKED_PROMPTS
from training.plan.spec import PlannedStage, StageSpec, import_function
from training.plan.training import EVALUATION, TRAINING

__all__ = [
    "EFT",
    "EVALUATION",
    "LOOP",
    "PROMPTS",
    "RANKED_JUDGEMENTS",
    "RANKED_PROMPTS",
    "REVIEW",
    "TRAINING",
    "PlannedStage",
    "StageSpec",
    "import_function",
    "plan_iteration",
    "spec_of",
]

#: All stages, in the order of an iteration.
LOOP: Final[list[StageSpec]] = [*judging_rows.STAGES, *gathering.STAGES, *training.STAGES]


def spec_of(kind: str) -> StageSpec:
    """Return the declaration of a stage. Raises :class:`LookupError` for an unknown kind."""
    for spec in LOOP:
        if spec.kind == kind:
            return spec
    raise LookupError(f"unknown stage {kind!r}; choose one of {', '.join(spec.kind for spec in LOOP)}")


def plan_iteration(config: RunConfig, number: int) -> list[PlannedStage]:
    """Return the stages of an iteration in order. Iteration 0 fine-tunes M0 to M1; t ≥ 1 trains M_t to M_t+1."""
    return [
        PlannedStage(spec, spec.queue_for(config), spec.skipped(config, number))
        for spec in LOOP
        if spec.applies(config, number)
    ]
