"""What a remote teacher is asked over a run, and what that costs."""

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

REMOTE_SECONDS: Final = 3.0  # a request to a remote teacher


def teacher_use(config: RunConfig, counts: Counts) -> tuple[int, Usage]:
    """Requests to a remote teacher over the whole run, and the tokens that they take: read and written."""
    k = config.judging.k
    prompt, judge = prompt_tokens(config), judge_prompt_tokens(config)
    answer, reply = response_tokens(config.candidates.max_new_tokens), judgement_tokens(config)
    asked: list[tuple[float, float, float]] = []  # requests, tokens read each, tokens written each
    if config.paradigm == "teacher_demonstration":
        asked.append((counts.prompts * config.iterations, prompt, answer))
    elif config.paradigm == "teacher_reward":
        asked.append((counts.judged * k * config.iterations, judge + answer, reply))
    for one in requests_of_run(config, counts):
        if one.to == "teacher":
            asked.append((one.count, one.prompt_tokens, one.reply_tokens))
    used = Usage(
        round(sum(number * read for number, read, _ in asked)),
        round(sum(number * written for number, _, written in asked)),
    )
    return round(sum(number for number, _, _ in asked)), used


def teacher_notes(config: RunConfig, requests: int, used: Usage) -> list[str]:
    """What is assumed of the teacher, in sentences, and whether its budget lasts."""
    teacher = config.teacher
    said = (
        f"About {requests:,} requests go to {teacher.model}, taken as {REMOTE_SECONDS:.0f} seconds each with "
        f"{teacher.concurrency} at once: {used.prompt_tokens:,} tokens read and {used.completion_tokens:,} written. "
        "Thoughts, which some models write unseen, come on top."
    )
    notes = [said]
    cost = Price(teacher.prompt_price, teacher.completion_price).cost(used)
    if cost is None:
        notes.append("What that costs is not known: state its provider's prices under Teacher.")
    if not Budget(teacher.budget_tokens, teacher.budget_usd).allows(used, cost):
        notes.append(
            "That is more than the budget: the run will pause before it is passed, and goes on when it is raised."
        )
    return notes
