"""How long each step of a run takes.

Time is counted in forward passes of 2 floating-point operations a parameter and token (a training step is three of
them), plus a fixed cost a step, which is what decides for small models.
"""

from __future__ import annotations

import math

from training.config import LAMBDAS, RunConfig
from training.estimate.counts import (
    COMPARISON_ORDERS,
    RANKED_RESPONSES,
    RESPONSE_SHARE,
    SHOT_TOKENS,
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
)
from training.estimate.teacher import REMOTE_SECONDS
from training.model_size import ModelSize
from training.plan import REMOTE_TEACHERS
from training.speed import Speed


def parts_of(
    config: RunConfig, counts: Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> list[tuple[str, float]]:
    """(what, seconds) of every step, iterations one after another."""
    evaluation = _evaluation(config, counts, size, teacher, speed)
    parts: list[tuple[str, float]] = []
    if config.sft.enabled:
        limit = min(config.student.max_length, prompt_tokens(config) + config.candidates.max_new_tokens)
        tokens = prompt_tokens(config) + response_tokens(limit - prompt_tokens(config))

        def tuned(rows: int) -> float:
            steps = math.ceil(rows * config.sft.epochs / config.sft.micro_batch_size)
            return speed.training(size, rows * config.sft.epochs * tokens, steps)

        if config.eft.enabled:
            parts.append(("M1: instruction tuning", tuned(counts.sft)))
            prompt = judge_prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
            replies, shared = counts.ranked * config.eft.k, config.eft.k
            seconds = speed.generation(size, replies, prompt, judgement_tokens(config), shared=shared)
            parts.append(("M1: judgements", seconds))
        parts.append(("M1: fine-tuning", tuned(counts.sft + counts.judging_rows)))
    if config.evaluation.enabled:
        parts.append(("M1: evaluation", evaluation[0]))
    for number in range(2, config.iterations + 2):
        name = f"M{number}"
        parts += [
            (f"{name}: {what}", seconds) for what, seconds in _towards_pairs(config, counts, size, teacher, speed)
        ]
        parts.append((f"{name}: training", _preference(config, counts, size, speed)))
        parts.append((f"{name}: early stopping", _early_stopping(config, counts, size, teacher, speed)))
        if config.evaluation.enabled:
            parts.append((f"{name}: evaluation", evaluation[1]))
    return [(what, seconds) for what, seconds in parts if seconds > 0]


def _towards_pairs(
    config: RunConfig, counts: Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> list[tuple[str, float]]:
    length = response_tokens(config.candidates.max_new_tokens)
    steps: list[tuple[str, float]] = []
    if config.prompts.source == "self_instruct" and counts.responses:
        steps.append(("prompts", speed.generation(size, counts.prompts, SHOT_TOKENS, prompt_tokens(config))))
    written = speed.generation(size, counts.responses, prompt_tokens(config), length)
    steps.append(("responses", written))
    if config.paradigm == "teacher_demonstration" and counts.prompts:
        shown = _by_teacher(config, counts.prompts, prompt_tokens(config), length, teacher, speed)
        steps.append(("demonstrations", _after(written, shown, config)))
    replies = counts.judged * config.judging.k
    prompt, reply = judge_prompt_tokens(config) + length, judgement_tokens(config)
    if config.paradigm == "self_reward":
        steps.append(("judgements", speed.generation(size, replies, prompt, reply, shared=config.judging.k)))
    else:
        judged = _by_teacher(config, replies, prompt, reply, teacher, speed)
        steps.append(("judgements", _after(written, judged, config)))
    return steps


def _after(written: float, seconds: float, config: RunConfig) -> float:
    """What is left of a teacher's work when the student has written; a remote one works meanwhile."""
    if config.teacher.kind not in REMOTE_TEACHERS or not seconds:
        return seconds
    return max(seconds - written, REMOTE_SECONDS)


def _preference(config: RunConfig, counts: Counts, size: ModelSize, speed: Speed) -> float:
    """Seconds of one preference training: the reference's pass once, then the epochs."""
    training = config.training
    full = prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
    if config.pairs.from_dataset:
        full = config.student.max_length * RESPONSE_SHARE
    held_out = min(training.held_out_pairs, counts.pairs)
    measured = 2 * speed.forward(size, held_out * 2 * full, math.ceil(held_out / training.micro_batch_size))
    trained = max(1, counts.pairs - held_out)
    trained = min(trained, training.max_pairs or trained)
    tokens = trained * 2 * full
    steps = math.ceil(trained / training.micro_batch_size)
    if training.method == "positive_only":
        return measured + speed.training(size, tokens / 2 * training.epochs, math.ceil(steps * training.epochs))
    refined = training.refines
    reference = speed.forward(size, tokens * (2 if refined else 1), steps * (2 if refined else 1))
    seconds = reference + speed.training(size, tokens * training.epochs, math.ceil(steps * training.epochs))
    if refined:  # Δ: a forward pass of the policy on p⊕x at every step (003 eq. 12)
        seconds += speed.forward(size, tokens * training.epochs, math.ceil(steps * training.epochs))
    return (seconds + measured) * (len(LAMBDAS) if training.chooses_lambda else 1)


def _early_stopping(
    config: RunConfig, counts: Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> float:
    """Seconds for the answers and comparisons of all checkpoints, should the training run to its end."""
    stopping = config.training.early_stopping
    if stopping is None:
        return 0.0
    training, length = config.training, response_tokens(config.evaluation.max_new_tokens)
    pairs = max(1, counts.pairs - training.held_out_pairs)
    steps = math.ceil(min(pairs, training.max_pairs or pairs) * training.epochs / training.batch_size)
    checkpoints = math.ceil(steps / stopping.every)
    answers = speed.generation(size, stopping.count, prompt_tokens(config), length)
    asked, prompt = stopping.count * COMPARISON_ORDERS, judge_prompt_tokens(config) + 2 * length
    reply = judgement_tokens(config)
    if stopping.judge == "self":
        compared = speed.generation(size, asked, prompt, reply)
    else:
        compared = _by_teacher(config, asked, prompt, reply, teacher, speed)
    return checkpoints * answers + max(0, checkpoints - 1) * compared


def _evaluation(
    config: RunConfig, counts: Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> tuple[float, float]:
    """Seconds for M1's evaluation and for that of a later checkpoint, which is also compared with the one before."""
    section, judging = config.evaluation, config.judging
    length = response_tokens(section.max_new_tokens)
    judge_prompt = judge_prompt_tokens(config) + length
    reply = judgement_tokens(config)
    seconds = speed.generation(size, section.count, prompt_tokens(config), length)
    scored = section.count
    if section.self_judge:
        sampled = min(section.self_judge_prompts, section.count) * max(config.candidates.n, 2)
        scored += sampled
        seconds += speed.generation(
            size, sampled, prompt_tokens(config), response_tokens(config.candidates.max_new_tokens)
        ) + speed.generation(size, sampled * judging.k, judge_prompt, reply, shared=judging.k)
        ranked = min(section.self_judge_prompts * RANKED_RESPONSES, counts.ranked * config.eft.eval_share)
        if ranked:
            seconds += speed.generation(size, ranked * config.eft.k, judge_prompt, reply, shared=config.eft.k)
    seconds += _by_teacher(config, scored * judging.k, judge_prompt, reply, teacher, speed)
    compared = _by_teacher(config, section.count * COMPARISON_ORDERS, judge_prompt + length, reply, teacher, speed)
    return seconds, seconds + compared


def _by_teacher(
    config: RunConfig, requests: float, prompt: float, reply: float, teacher: ModelSize | None, speed: Speed
) -> float:
    kind = config.teacher.kind
    if kind in ("none", "oracle"):
        return 0.0
    if kind == "checkpoint":
        return speed.generation(teacher, requests, prompt, reply) if teacher else 0.0
    return requests * REMOTE_SECONDS / config.teacher.concurrency
