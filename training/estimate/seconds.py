"""Estimated time of each stage.

A forward pass takes 2 floating-point operations per parameter and token, and a training step three times as many. Each
step also has a fixed cost, which dominates for small models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.config import LAMBDAS, RunConfig
from training.domain.engine_kinds import ENGINES
from training.estimate.counts import (
    RESPONSE_SHARE,
    SHOT_TOKENS,
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
)
from training.estimate.evaluation import requests_of
from training.estimate.teacher import REMOTE_SECONDS
from training.evaluation.head_to_head import ORDERS
from training.model_size import ModelSize
from training.plan import StageSpec, import_function, plan_iteration
from training.speed import Speed


@dataclass(frozen=True, slots=True)
class Workload:
    """Input of the estimates: config, counts, model sizes and the speed of the machine.

    ``teacher`` is the size of a local teacher, if known.
    """

    config: RunConfig
    counts: Counts
    size: ModelSize
    teacher: ModelSize | None
    speed: Speed


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds of one stage, by part."""

    iteration: int
    spec: StageSpec
    parts: dict[str, float]

    @property
    def seconds(self) -> float:
        """Total seconds of the stage."""
        return sum(self.parts.values())


def seconds_of_stages(work: Workload) -> list[StageSeconds]:
    """Return the seconds of every stage with a positive estimate, in order of execution."""
    stages = []
    for number in range(work.config.iterations + 1):
        for stage in plan_iteration(work.config, number):
            if stage.skipped or stage.spec.estimate is None:
                continue
            taken = import_function(stage.spec.estimate)(work, number)
            parts = taken if isinstance(taken, dict) else {stage.spec.title.lower(): taken}
            parts = {what: seconds for what, seconds in parts.items() if seconds > 0}
            if parts:
                stages.append(StageSeconds(number, stage.spec, parts))
    return stages


def instruction_tuning(work: Workload, number: int) -> float:
    """Fine-tuning of M0 on the IFT rows only."""
    return _tuned(work, work.counts.sft)


def fine_tuning(work: Workload, number: int) -> float:
    """Fine-tuning of M0 on the IFT and EFT rows."""
    return _tuned(work, work.counts.sft + work.counts.judging_rows)


def _tuned(work: Workload, rows: int) -> float:
    config = work.config
    limit = min(config.student.max_length, prompt_tokens(config) + config.candidates.max_new_tokens)
    tokens = prompt_tokens(config) + response_tokens(limit - prompt_tokens(config))
    steps = math.ceil(rows * config.sft.epochs / config.sft.micro_batch_size)
    return work.speed.training(work.size, rows * config.sft.epochs * tokens, steps)


def ranked_judgements(work: Workload, number: int) -> float:
    """``eft.k`` judgements of every ranked response."""
    config = work.config
    prompt = judge_prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
    replies, shared = work.counts.ranked * config.eft.k, config.eft.k
    return work.speed.generation(work.size, replies, prompt, judgement_tokens(config), shared=shared)


def prompts(work: Workload, number: int) -> float:
    """Self-instruct prompts; reading prompts of a data set takes negligible time."""
    config, counts = work.config, work.counts
    if config.prompts.source != "self_instruct" or not counts.responses:
        return 0.0
    return work.speed.generation(work.size, counts.prompts, SHOT_TOKENS, prompt_tokens(config))


def responses(work: Workload, number: int) -> float:
    """The student's responses."""
    config = work.config
    length = response_tokens(config.candidates.max_new_tokens)
    return work.speed.generation(work.size, work.counts.responses, prompt_tokens(config), length)


def demonstrations(work: Workload, number: int) -> float:
    """The teacher's responses, minus the overlap of a remote teacher with the student."""
    config = work.config
    if not work.counts.prompts:
        return 0.0
    length = response_tokens(config.candidates.max_new_tokens)
    seconds = _by_teacher(config, work.counts.prompts, prompt_tokens(config), length, work.teacher, work.speed)
    return _without_overlap(responses(work, number), seconds, config)


def judgements(work: Workload, number: int) -> float:
    """The judgements of the responses, minus the overlap of a remote teacher with the student."""
    config = work.config
    replies = work.counts.judged * config.judging.k
    prompt = judge_prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
    reply = judgement_tokens(config)
    if config.paradigm == "self_reward":
        return work.speed.generation(work.size, replies, prompt, reply, shared=config.judging.k)
    judged = _by_teacher(config, replies, prompt, reply, work.teacher, work.speed)
    return _without_overlap(responses(work, number), judged, config)


def preference_training(work: Workload, number: int) -> dict[str, float]:
    """One preference training, and its early-stopping checks."""
    args = (work.config, work.counts, work.size)
    return {
        "training": _preference(*args, work.speed),
        "early stopping": _early_stopping(*args, work.teacher, work.speed),
    }


def evaluation(work: Workload, number: int) -> float:
    """The evaluation of the iteration's checkpoint: the requests to the student and the teacher."""
    seconds = 0.0
    for requests in requests_of(work.config, work.counts, has_previous=number > 0):
        count, prompt, reply = requests.count, requests.prompt_tokens, requests.reply_tokens
        if requests.to == "student":
            seconds += work.speed.generation(work.size, count, prompt, reply, shared=requests.per_prompt)
        else:
            seconds += _by_teacher(work.config, count, prompt, reply, work.teacher, work.speed)
    return seconds


def _without_overlap(written: float, seconds: float, config: RunConfig) -> float:
    """Return the teacher's seconds after the student has finished; a remote teacher works at the same time."""
    if not config.teacher.is_remote or not seconds:
        return seconds
    return max(seconds - written, REMOTE_SECONDS)


def _preference(config: RunConfig, counts: Counts, size: ModelSize, speed: Speed) -> float:
    """Return the seconds of one preference training: one pass of the reference, then the epochs."""
    training = config.training
    full = prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
    if config.uses_ready_pairs:
        full = config.student.max_length * RESPONSE_SHARE
    held_out = min(training.held_out_pairs, counts.pairs)
    measured = 2 * speed.forward(size, held_out * 2 * full, math.ceil(held_out / training.micro_batch_size))
    trained = max(1, counts.pairs - held_out)
    trained = min(trained, training.max_pairs or trained)
    tokens = trained * 2 * full
    steps = math.ceil(trained / training.micro_batch_size)
    if training.is_positive_only:
        return measured + speed.training(size, tokens / 2 * training.epochs, math.ceil(steps * training.epochs))
    refined = training.refines
    reference = speed.forward(size, tokens * (2 if refined else 1), steps * (2 if refined else 1))
    seconds = reference + speed.training(size, tokens * training.epochs, math.ceil(steps * training.epochs))
    if refined:  # Δ: a forward pass of the policy on p⊕x at every step (Yu et al., 2024, equation 12)
        seconds += speed.forward(size, tokens * training.epochs, math.ceil(steps * training.epochs))
    return (seconds + measured) * (len(LAMBDAS) if training.chooses_lambda else 1)


def _early_stopping(
    config: RunConfig, counts: Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> float:
    """Return the seconds of the answers and comparisons of all checkpoints, if the training does not stop early."""
    stopping = config.training.early_stopping
    if stopping is None:
        return 0.0
    training, length = config.training, response_tokens(config.evaluation.max_new_tokens)
    pairs = max(1, counts.pairs - training.held_out_pairs)
    steps = math.ceil(min(pairs, training.max_pairs or pairs) * training.epochs / training.batch_size)
    checkpoints = math.ceil(steps / stopping.every)
    answers = speed.generation(size, stopping.count, prompt_tokens(config), length)
    requests, prompt = stopping.count * ORDERS, judge_prompt_tokens(config) + 2 * length
    reply = judgement_tokens(config)
    if stopping.judge == "self":
        compared = speed.generation(size, requests, prompt, reply)
    else:
        compared = _by_teacher(config, requests, prompt, reply, teacher, speed)
    return checkpoints * answers + max(0, checkpoints - 1) * compared


def _by_teacher(
    config: RunConfig, requests: float, prompt: float, reply: float, teacher: ModelSize | None, speed: Speed
) -> float:
    entry = ENGINES[config.teacher.kind]
    if entry.loads_weights:
        return speed.generation(teacher, requests, prompt, reply) if teacher else 0.0
    return requests * REMOTE_SECONDS / config.teacher.concurrency if entry.is_remote else 0.0
