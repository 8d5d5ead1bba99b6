"""Estimated usage and cost of the remote models that judge or demonstrate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.config import ModelConfig, ModelRole, RunConfig
from training.domain.spending import Budget, Price, Usage
from training.estimate.counts import (
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
    stopping_comparisons,
)
from training.estimate.evaluation import requests_of_run

REMOTE_SECONDS: Final = 3.0  # per request to a remote model


@dataclass(frozen=True, slots=True)
class PaidUse:
    """The requests of a run to one remote model, and their tokens."""

    role: ModelRole
    section: ModelConfig
    requests: int
    used: Usage

    @property
    def cost(self) -> float | None:
        """The cost in USD; ``None`` without prices."""
        return Price(self.section.prompt_price, self.section.completion_price).cost(self.used)


def paid_use(config: RunConfig, counts: Counts) -> list[PaidUse]:
    """Return the use of every remote model of a run, in the order of the config."""
    k = config.judging.k
    prompt, judge = prompt_tokens(config), judge_prompt_tokens(config)
    answer, reply = response_tokens(config.candidates.max_new_tokens), judgement_tokens(config)
    # Count, prompt tokens each, completion tokens each.
    requests: dict[str, list[tuple[float, float, float]]] = {role: [] for role in config.models()}
    if config.paradigm == "teacher_demonstration":
        requests.setdefault("teacher", []).append((counts.prompts * config.iterations, prompt, answer))
    elif config.paradigm == "teacher_reward":
        requests.setdefault("teacher", []).append((counts.judged * k * config.iterations, judge + answer, reply))
    for one in requests_of_run(config, counts):
        if one.to == "evaluator":
            requests.setdefault(config.evaluator_role, []).append((one.count, one.prompt_tokens, one.reply_tokens))
    if config.stopping_role in requests:
        length = response_tokens(config.evaluation.max_new_tokens)
        compared = stopping_comparisons(config, counts) * config.iterations
        requests[config.stopping_role].append((compared, judge + 2 * length, reply))
    return [
        PaidUse(
            role,
            section,
            round(sum(number for number, _, _ in requests[role])),
            _usage(requests[role], section.reasoning_tokens),
        )
        for role, section in config.models().items()
        if section.is_remote
    ]


def _usage(requests: list[tuple[float, float, float]], thoughts: int) -> Usage:
    """Return the tokens of these requests; ``thoughts`` per request may all be used."""
    return Usage(
        round(sum(number * read for number, read, _ in requests)),
        round(sum(number * (written + thoughts) for number, _, written in requests)),
    )


def total_cost(uses: list[PaidUse]) -> float | None:
    """Return the cost of all models in USD; ``None`` if that of one is unknown."""
    costs = [use.cost for use in uses]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def paid_notes(config: RunConfig, uses: list[PaidUse]) -> list[str]:
    """Return sentences on the assumptions about the remote models, their cost and the budget."""
    notes = []
    for use in uses:
        notes.append(
            f"About {use.requests:,} requests to {use.section.label}, {REMOTE_SECONDS:.0f} seconds each, "
            f"{use.section.concurrency} concurrent: {use.used.prompt_tokens:,} prompt and "
            f"{use.used.completion_tokens:,} completion tokens, {use.section.reasoning_tokens:,} of each request "
            "for reasoning."
        )
        if use.cost is None:
            where = {"teacher": "Teacher", "evaluator": "Evaluator", "stopping_judge": "Judge of early stopping"}
            notes.append(f"The cost is unknown: enter the provider's prices under {where[use.role]}.")
    total = sum((use.used for use in uses), Usage())
    teacher = config.teacher
    if not Budget(teacher.budget_tokens, teacher.budget_usd).allows(total, total_cost(uses)):
        notes.append(
            "This exceeds the budget: the run will pause before the limit, and continues when the budget is raised."
        )
    return notes
