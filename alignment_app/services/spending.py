"""Spending of a run on its paid models, such as the teacher and the evaluator: usage, reservations and the budget.

All paid models of a run share one budget.

The maximum cost of a request is stored as a reservation before it is sent, and replaced by the actual usage when the
response is saved. So the stored sum is never below the real one, even after a crash.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, F, Q, Sum

from alignment_app.models import Run, StageAttempt, TeacherCall
from alignment_app.services import events
from alignment_app.services.errors import Refused
from alignment_app.services.stages import leased
from training.config import RunConfig
from training.domain.rows import FinishReason, Message, storable
from training.domain.spending import Budget, Price, Usage

SAVE_SECONDS: Final = 0.4
BATCH: Final = 400


def allowance(run: Run, config: RunConfig | None = None) -> Budget:
    """Return the budget in force: the changed one if any, else the config's."""
    teacher = (config or run.typed_config).teacher
    return Budget(
        run.budget_tokens if run.budget_tokens is not None else teacher.budget_tokens,
        run.budget_usd if run.budget_usd is not None else teacher.budget_usd,
    )


def prices_of(config: RunConfig) -> dict[str, Price]:
    """Return the prices of the paid models in the config, by section."""
    paid = {role: section for role, section in config.models().items() if section.is_remote}
    return {role: Price(section.prompt_price, section.completion_price) for role, section in paid.items()}


def is_priced(config: RunConfig) -> bool:
    """Return whether the config states the prices of all paid models, so that the cost in USD is known."""
    return all(price.cost(Usage()) is not None for price in prices_of(config).values())


@transaction.atomic
def set_budget(run: Run, *, tokens: int | None, usd: float | None, user: Any = None) -> Run:
    """Change the teacher budget of a run; ``None`` keeps a limit. The change is logged; the config is not changed.

    Raises :class:`Refused` for a limit that is already exceeded, or a USD limit without prices.
    """
    run = Run.objects.select_for_update().get(pk=run.pk)
    config = run.typed_config
    before, spent = allowance(run, config), totals(run.pk)
    changes = []
    if tokens is not None:
        if tokens < max(1, spent["tokens"]) or tokens > 10**15:
            raise Refused("budget-passed", f"{spent['tokens']:,} tokens are spent; give a larger budget.", status=400)
        run.budget_tokens = tokens
        changes.append(f"{before.tokens or 0:,} to {tokens:,} tokens" if before.tokens else f"{tokens:,} tokens")
    if usd is not None:
        if not is_priced(config):
            raise Refused("no-prices", "The run's config has no prices. Set a token budget instead.", status=400)
        if not spent["usd"] < usd < 1e9:
            raise Refused("budget-passed", f"{spent['usd']:.4f} USD are spent; give a larger budget.", status=400)
        run.budget_usd = usd
        changes.append(f"{before.usd:g} to {usd:g} USD" if before.usd else f"{usd:g} USD")
    if not changes:
        raise Refused("nothing-given", "Give a number of tokens, or USD.", status=400)
    run.save(update_fields=["budget_tokens", "budget_usd"])
    who = user or "the command line"
    verb = "from " if before.tokens or before.usd else "to "
    events.log(run.pk, f"The teacher's budget was set {verb}{' and '.join(changes)} by {who}.")
    return run


def totals(run_id: int) -> dict[str, Any]:
    """Return calls, tokens and USD of a run; ``held`` is reserved for requests in flight."""
    calls = TeacherCall.objects.filter(run=run_id).aggregate(
        calls=Count("pk"),
        lost=Count("pk", filter=Q(outcome=TeacherCall.Outcome.LOST)),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
        usd=Sum("cost_usd"),
        unpriced=Count("pk", filter=Q(cost_usd__isnull=True)),
    )
    prompt, completion = calls["prompt"] or 0, calls["completion"] or 0
    return {
        **calls,
        "prompt": prompt,
        "completion": completion,
        "tokens": prompt + completion,
        "usd": calls["usd"] or 0.0,
    }


def request_hash(model: str, messages: Sequence[Message], seed: int, sampling: dict[str, Any]) -> str:
    """Return the SHA-256 of everything that determines a response."""
    said = json.dumps([model, [dict(message) for message in messages], seed, sampling], sort_keys=True)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


class Account:
    """The spending of one attempt, on all paid models. Every write requires the attempt's lease.

    A run has only one open attempt at a time, so the spending of earlier attempts is constant.
    """

    def __init__(self, attempt: StageAttempt, run: Run, config: RunConfig) -> None:
        self.attempt, self.run_id = attempt, run.pk
        self.budget, self.prices = allowance(run, config), prices_of(config)
        self._models = ", ".join(dict.fromkeys(one.label for one in config.models().values() if one.is_remote))
        self._finalize_dead_attempts()
        found = totals(run.pk)
        self.spent = Usage(found["prompt"], found["completion"])
        self.spent_usd: float | None = found["usd"] if is_priced(config) else None
        self.in_flight = Usage()
        self.in_flight_usd: float | None = 0.0
        self._held = Usage()
        self._unsaved: list[TeacherCall] = []
        self._failed = 0
        self._saved_at = time.monotonic()

    def line(self, model: str, price: Price) -> AccountLine:
        """Return the part of the account for one model."""
        return AccountLine(self, model, price)

    def _finalize_dead_attempts(self) -> None:
        """Count the reservations of dead attempts as used, because their outcome is unknown.

        A reservation does not name its model, so its cost is that of the most expensive one.
        """
        with leased(self.attempt):
            others = StageAttempt.objects.filter(stage__iteration__run=self.run_id).exclude(pk=self.attempt.pk)
            for other in others.filter(Q(held_prompt_tokens__gt=0) | Q(held_completion_tokens__gt=0)):
                usage = Usage(other.held_prompt_tokens, other.held_completion_tokens)
                costs = [price.cost(usage) for price in self.prices.values()]
                cost = None if None in costs or not costs else max(one for one in costs if one is not None)
                row = _call(self.run_id, other, self._models, "lost", usage, cost)
                row.save(force_insert=True)
                others.filter(pk=other.pk).update(held_prompt_tokens=0, held_completion_tokens=0)

    def may_spend(self, worst: Usage, cost: float | None) -> bool:
        """Return whether one more request fits the budget, at the maximum cost of all requests in flight."""
        usd = None
        if self.spent_usd is not None and self.in_flight_usd is not None and cost is not None:
            usd = self.spent_usd + self.in_flight_usd + cost
        return self.budget.allows(self.spent + self.in_flight + worst, usd)

    def reserve(self, worst: Usage, cost: float | None) -> bool:
        """Reserve ``worst``, also in the database, before a request is sent. Returns false if over budget."""
        if not self.may_spend(worst, cost):
            return False
        self._fly(worst, cost)
        needed = self.in_flight
        for call in self._unsaved:
            needed += Usage(call.prompt_tokens, call.completion_tokens)
        if needed.prompt_tokens > self._held.prompt_tokens or needed.completion_tokens > self._held.completion_tokens:
            self._hold(needed * 2)  # reserve twice the need, so that not every request writes
        return True

    def release(self, worst: Usage, cost: float | None) -> None:
        """Release the reservation of a request."""
        self._fly(Usage() - worst, None if cost is None else -cost)

    def _fly(self, usage: Usage, cost: float | None) -> None:
        self.in_flight += usage
        self.in_flight_usd = None if self.in_flight_usd is None or cost is None else self.in_flight_usd + cost
        if self.in_flight == Usage():
            self.in_flight_usd = 0.0  # no rounding error stays behind

    def charge(self, row: TeacherCall) -> None:
        """Count the actual usage of a request."""
        self.spent += Usage(row.prompt_tokens, row.completion_tokens)
        if self.spent_usd is not None and row.cost_usd is not None:
            self.spent_usd += row.cost_usd
        self._unsaved.append(row)

    def count_failed(self) -> None:
        """Count a request that failed without cost."""
        self._failed += 1

    def save_if_due(self) -> None:
        """Save the finalized calls, a few times per second at most."""
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Save the finalized calls; only requests in flight stay reserved."""
        self._saved_at = time.monotonic()
        if not self._unsaved and not self._failed and self._held == self.in_flight:
            return
        with leased(self.attempt):
            TeacherCall.objects.bulk_create(self._unsaved, batch_size=BATCH)
            self._hold(self.in_flight)
            if self._failed:
                StageAttempt.objects.filter(pk=self.attempt.pk).update(
                    failed_requests=F("failed_requests") + self._failed
                )
        self._unsaved, self._failed = [], 0

    def _hold(self, usage: Usage) -> None:
        with leased(self.attempt):
            StageAttempt.objects.filter(pk=self.attempt.pk).update(
                held_prompt_tokens=usage.prompt_tokens, held_completion_tokens=usage.completion_tokens
            )
        self._held = usage

    def spent_reason(self) -> str:
        """Return why the run is paused and what to do."""
        budget, spent = self.budget, self.spent
        said = []
        if budget.tokens is not None:
            said.append(f"{spent.tokens:,} of {budget.tokens:,} tokens")
        if budget.usd is not None:
            said.append(f"{self.spent_usd or 0:.4f} of {budget.usd:g} USD")
        return (
            f"The teacher budget is used up: {' and '.join(said)} are spent, and the next request could exceed it. "
            "All responses are kept. Raise the budget on this page, then resume."
        )


class AccountLine:
    """The requests of one attempt to one model, on the attempt's account."""

    def __init__(self, account: Account, model: str, price: Price) -> None:
        self.account, self.model, self.price = account, model, price

    def reserve(self, worst: Usage) -> bool:
        """See :meth:`Account.reserve`."""
        return self.account.reserve(worst, self.price.cost(worst))

    def finalize(
        self,
        outcome: str,
        usage: Usage,
        worst: Usage,
        *,
        digest: str = "",
        seed: int | None = None,
        text: str = "",
        token_count: int = 0,
        finish_reason: FinishReason | str = "",
    ) -> None:
        """Release the reservation of a request and count its actual usage."""
        account = self.account
        account.release(worst, self.price.cost(worst))
        if outcome == "failed":
            account.count_failed()
        elif outcome != "unsent":
            row = _call(account.run_id, account.attempt, self.model, outcome, usage, self.price.cost(usage))
            row.request_hash, row.seed, row.text = digest, seed, storable(text)
            row.token_count, row.finish_reason = token_count, finish_reason
            account.charge(row)
        account.save_if_due()

    def save(self) -> None:
        """See :meth:`Account.save`."""
        self.account.save()

    def kept(self, digests: Sequence[str]) -> dict[str, TeacherCall]:
        """Return earlier responses, whose rows are incomplete, by request hash."""
        found: dict[str, TeacherCall] = {}
        calls = TeacherCall.objects.filter(
            attempt__stage__iteration=self.account.attempt.stage.iteration_id,
            outcome=TeacherCall.Outcome.ANSWERED,
            model=self.model,
        ).exclude(finish_reason="")
        for start in range(0, len(digests), BATCH):
            for call in calls.filter(request_hash__in=digests[start : start + BATCH]):
                found[call.request_hash] = call
        return found

    def spent_reason(self) -> str:
        """See :meth:`Account.spent_reason`."""
        return self.account.spent_reason()


def _call(
    run_id: int, attempt: StageAttempt, model: str, outcome: str, usage: Usage, cost: float | None
) -> TeacherCall:
    return TeacherCall(
        run_id=run_id,
        attempt=attempt,
        model=model[:200],
        outcome=outcome,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=cost,
    )


def delete_call_texts(attempt: StageAttempt) -> None:
    """Delete the stored texts of a finished stage; its rows hold them. Usage figures are kept.

    Responses requested for a later stage are kept until that stage is finished.
    """
    if attempt.stage.spec.overlaps_teacher:
        return
    with leased(attempt):
        calls = TeacherCall.objects.filter(attempt__stage__iteration=attempt.stage.iteration_id)
        calls.exclude(finish_reason="").update(text="", finish_reason="")
