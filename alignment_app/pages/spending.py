"""Costs and budget of a run's paid models: teacher, evaluator, judge of early stopping."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from alignment_app.models import Run, StageAttempt, TeacherCall
from alignment_app.services import spending
from training.domain.spending import Budget
from training.plan import plan_iteration, spec_of


@dataclass(frozen=True, slots=True)
class StageCosts:
    """Requests, tokens and costs of one stage."""

    where: str
    calls: int
    prompt: int
    completion: int
    usd: float | None

    def plus(self, other: StageCosts) -> StageCosts:
        """Return the sum of both, under this stage's name."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        prompt, completion = self.prompt + other.prompt, self.completion + other.completion
        return StageCosts(self.where, self.calls + other.calls, prompt, completion, usd)


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of a run. ``usd`` is ``None`` if the config has no prices."""

    stages: list[StageCosts]
    calls: int
    prompt: int
    completion: int
    tokens: int
    usd: float | None
    lost: int  #: requests without a reply, counted at their maximum cost
    fruitless: int  #: empty or blocked answers, which are charged
    failed: int  #: requests answered by an error, which are not charged
    budget: Budget
    models: list[StageCosts]  #: by model; empty if there is only one
    may_set_usd: bool

    @property
    def share(self) -> float:
        """The spent share, 0 to 1, of the budget that is closer to its limit."""
        tokens = self.tokens / self.budget.tokens if self.budget.tokens else 0.0
        return max(tokens, (self.usd or 0.0) / self.budget.usd if self.budget.usd else 0.0)

    @property
    def is_nearly_spent(self) -> bool:
        return self.share > 0.9


def costs(run: Run) -> Costs | None:
    """Return the costs of a run, or ``None`` if it has no paid model."""
    config = run.typed_config
    if not spending.prices_of(config):
        return None
    found = (
        TeacherCall.objects.filter(run=run)
        .values("attempt__stage__iteration__number", "attempt__stage__kind")
        .annotate(
            calls=Count("pk"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), usd=Sum("cost_usd")
        )
        .order_by("attempt__stage__iteration__number", "attempt__stage__position")
    )
    is_priced = spending.is_priced(config)
    # Requests of an overlapping teacher belong to the teacher's own stage.
    overlapping = next((stage.spec for stage in plan_iteration(config, 1) if stage.spec.overlap), None)
    rows: dict[str, StageCosts] = {}
    for row in found:
        spec = spec_of(row["attempt__stage__kind"])
        if spec.overlaps_teacher and overlapping:
            spec = overlapping
        where = f"M{row['attempt__stage__iteration__number'] + 1}: {spec.title.lower()}"
        usd = row["usd"] if is_priced else None
        one = StageCosts(where, row["calls"], row["prompt"], row["completion"], usd)
        rows[where] = rows[where].plus(one) if where in rows else one
    stages = list(rows.values())
    failed = StageAttempt.objects.filter(stage__iteration__run=run).aggregate(failed=Sum("failed_requests"))
    outcomes = TeacherCall.objects.filter(run=run).aggregate(
        lost=Count("pk", filter=Q(outcome="lost")),
        fruitless=Count("pk", filter=Q(outcome__in=["empty", "blocked"])),
    )
    prompt, completion = sum(row.prompt for row in stages), sum(row.completion for row in stages)
    return Costs(
        stages=stages,
        calls=sum(row.calls for row in stages),
        prompt=prompt,
        completion=completion,
        tokens=prompt + completion,
        usd=sum(row.usd or 0.0 for row in stages) if is_priced else None,
        budget=spending.allowance(run, config),
        models=_models(run, is_priced=is_priced),
        may_set_usd=is_priced,
        failed=failed["failed"] or 0,
        **outcomes,
    )


def _models(run: Run, *, is_priced: bool) -> list[StageCosts]:
    """Return the costs by model, if there are several."""
    found = (
        TeacherCall.objects.filter(run=run)
        .values("model")
        .annotate(
            calls=Count("pk"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), usd=Sum("cost_usd")
        )
        .order_by("model")
    )
    rows = [
        StageCosts(row["model"], row["calls"], row["prompt"], row["completion"], row["usd"] if is_priced else None)
        for row in found
    ]
    return rows if len(rows) > 1 else []
