"""How the weights of an iteration were chosen among those that its training made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from alignment_app.models import Iteration, Run, Stage


@dataclass(frozen=True, slots=True)
class Choice:
    """What one iteration's training chose among: trials of λ, each with its figures on the held-out pairs."""

    iteration: Iteration
    trials: list[dict[str, Any]] = field(default_factory=list)
    chosen: float | None = None  #: the λ that was taken, when the training is done

    @property
    def model(self) -> str:
        return f"M{self.iteration.number + 1}"


def choices(run: Run) -> list[Choice]:
    """The choices of a run whose iterations and stages are loaded, newest first."""
    found = [choice_of(iteration, list(iteration.stages.all())) for iteration in run.iterations.all()]
    return [choice for choice in reversed(found) if choice]


def choice_of(iteration: Iteration, stages: list[Stage]) -> Choice | None:
    """What the training of an iteration chose among, as far as it is; ``None`` where there was no choice."""
    training = next((stage for stage in stages if stage.kind == Stage.Kind.TRAINING), None)
    if training is None or not training.detail.get("trials"):
        return None
    return Choice(iteration, training.detail["trials"], training.detail.get("lam"))
