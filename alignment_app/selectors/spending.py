"""What a run's paid teacher has cost so far, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from alignment_app.models import Run, TeacherCall
from alignment_app.models.runs import Stage
from alignment_app.services import spending
from alignment_app.services.keys import ADDRESSES
from training.config import RunConfig
from training.domain.spending import Budget, Price


@dataclass(frozen=True, slots=True)
class StageCosts:
    """What one stage has used."""

    where: str
    calls: int
    prompt: int
    completion: int
    usd: float | None


@dataclass(frozen=True, slots=True)
class Costs:
    """The whole account. ``usd`` is ``None`` where the config states no prices."""

    stages: list[StageCosts]
    calls: int
    prompt: int
    completion: int
    tokens: int
    usd: float | None
    lost: int  #: sent, and nothing came back: counted at the most that they can have used
    fruitless: int  #: empty or blocked: paid for, and nothing to use
    budget: Budget
    price: Price
    may_set_usd: bool

    @property
    def share(self) -> float:
        """How much of the tighter budget is spent, 0 to 1."""
        tokens = self.tokens / self.budget.tokens if self.budget.tokens else 0.0
        return max(tokens, (self.usd or 0.0) / self.budget.usd if self.budget.usd else 0.0)

    @property
    def is_nearly_spent(self) -> bool:
        return self.share > 0.9


def costs(run: Run) -> Costs | None:
    """A run's account; ``None`` where its teacher costs nothing."""
    config = RunConfig.parse(run.config)
    if config.teacher.kind not in ADDRESSES:
        return None
    found = (
        TeacherCall.objects.filter(run=run)
        .values("attempt__stage__iteration__number", "attempt__stage__position", "attempt__stage__kind")
        .annotate(
            calls=Count("pk"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), usd=Sum("cost_usd")
        )
        .order_by("attempt__stage__iteration__number", "attempt__stage__position")
    )
    price = spending.price_of(config)
    is_priced = None not in (price.prompt, price.completion)
    stages = [
        StageCosts(
            f"M{row['attempt__stage__iteration__number'] + 1}: {Stage.Kind(row['attempt__stage__kind']).label.lower()}",
            row["calls"],
            row["prompt"],
            row["completion"],
            row["usd"] if is_priced else None,
        )
        for row in found
    ]
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
        price=price,
        may_set_usd=is_priced,
        **outcomes,
    )
