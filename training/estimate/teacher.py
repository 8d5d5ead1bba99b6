"""Estimated usage and cost of a remote teacher."""

from __future__ import annotations

from typing import Final

from training.config import RunConfig
from training.domain.spending import Budget, Price, Usage
from training.estimate.counts import (
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
)
from training.estimate.evaluation import requests_of_run

REMOTE_SECONDS: Final = 3.0  # per request to a remote teacher


def teacher_use(config: RunConfig, counts: Counts) -> tuple[int, Usage]:
    """Return the number of requests to a remote teacher in the run, and their token usage."""
    k = config.judging.k
    prompt, judge = prompt_tokens(config), judge_prompt_tokens(config)
    answer, reply = response_tokens(config.candidates.max_new_tokens), judgement_tokens(config)
    requests: list[tuple[float, float, float]] = []  # count, prompt tokens each, completion tokens each
    if config.paradigm == "teacher_demonstration":
        requests.append((counts.prompts * config.iterations, prompt, answer))
    elif config.paradigm == "teacher_reward":
        requests.append((counts.judged * k * config.iterations, judge + answer, reply))
    for one in requests_of_run(config, counts):
        if one.to == "teacher":
            requests.append((one.count, one.prompt_tokens, one.reply_tokens))
    used = Usage(
        round(sum(number * read for number, read, _ in requests)),
        round(sum(number * written for number, _, written in requests)),
    )
    return round(sum(number for number, _, _ in requests)), used


def teacher_notes(config: RunConfig, requests: int, used: Usage) -> list[str]:
    """Return sentences on the assumptions about the teacher, its cost and its budget."""
    teacher = config.teacher
    assumed = (
        f"About {requests:,} requests to {teacher.model}, {REMOTE_SECONDS:.0f} seconds each, {teacher.concurrency} "
        f"concurrent: {used.prompt_tokens:,} prompt and {used.completion_tokens:,} completion tokens. Hidden reasoning "
        "is not included."
    )
    notes = [assumed]
    cost = Price(teacher.prompt_price, teacher.completion_price).cost(used)
    if cost is None:
        notes.append("The cost is unknown: enter the provider's prices under Teacher.")
    if not Budget(teacher.budget_tokens, teacher.budget_usd).allows(used, cost):
        notes.append(
            "This exceeds the budget: the run will pause before the limit, and continues when the budget is raised."
        )
    return notes
