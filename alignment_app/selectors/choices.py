"""Selection of an iteration's checkpoint among the weights of its training: by λ, or by early stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.core.paginator import Page, Paginator

from alignment_app.models import Iteration, Run, Stage, StepCheck, StepComparison
from training.plan import TRAINING
from training.plan.training import LambdaTrial, PreferenceProgress, PreferenceResult, StepComparing

ROWS_A_PAGE = 20


@dataclass(frozen=True, slots=True)
class CheckpointChoice:
    """The candidates of one iteration's training, and the one selected so far."""

    iteration: Iteration
    trials: tuple[LambdaTrial, ...] = ()  #: one per λ, with metrics on the held-out pairs
    chosen: float | None = None  #: the selected λ, once training is finished
    checks: list[StepCheck] = field(default_factory=list)  #: early stopping: one per checkpoint
    comparing: StepComparing | None = None  #: the step being compared, and its progress

    @property
    def model(self) -> str:
        return f"M{self.iteration.number + 1}"

    @property
    def published(self) -> int | None:
        """The step whose weights are the checkpoint, if early stopping ended the training."""
        last = self.checks[-1] if self.checks else None
        return last.against_step if last and last.decision == StepCheck.Decision.STOP else None


def choices(run: Run) -> list[CheckpointChoice]:
    """Return the selections of a run with loaded iterations and stages, newest first."""
    found = [choice_of(iteration, list(iteration.stages.all())) for iteration in run.iterations.all()]
    return [choice for choice in reversed(found) if choice]


def choice_of(iteration: Iteration, stages: list[Stage]) -> CheckpointChoice | None:
    """Return the candidates of an iteration's training so far; ``None`` if there is nothing to select from."""
    training = next((stage for stage in stages if stage.kind == TRAINING.kind), None)
    if training is None:
        return None
    progress = PreferenceProgress.read(training.progress)
    has_checks = progress.steps_checked is not None or progress.comparing is not None
    checks = list(iteration.step_checks.select_related("judge").order_by("step")) if has_checks else []
    if not (progress.trials or checks or progress.comparing):
        return None
    chosen = PreferenceResult.read(training.result).lam
    return CheckpointChoice(iteration, progress.trials, chosen, checks, progress.comparing)


def step_comparisons(check: StepCheck, outcome: str, number: Any) -> Page[StepComparison]:
    """Return the rows behind a decision, 20 per page; ``outcome`` is win, tie, lose, unparsed or empty (all)."""
    rows = StepComparison.objects.filter(iteration=check.iteration_id, step=check.step)
    unparsed = rows.filter(verdict_first="unparsed") | rows.filter(verdict_second="unparsed")
    if outcome == "unparsed":
        rows = unparsed
    elif outcome in ("win", "tie", "lose"):
        rows = rows.filter(outcome=outcome).exclude(pk__in=unparsed.values("pk"))
    rows = rows.select_related("prompt", "response", "against").order_by("prompt__position", "id")
    return Paginator(rows, ROWS_A_PAGE).get_page(number)
