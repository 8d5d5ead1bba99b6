"""Estimated time of each stage.

A forward pass takes 2 floating-point operations per parameter and token, and a training step three times as many. Each
step also has a fixed cost, which dominates for small models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from training.config import LAMBDAS, ModelRole, RunConfig
from training.estimate.counts import (
    RESPONSE_SHARE,
    SHOT_TOKENS,
    Counts,
    judge_prompt_tokens,
    judgement_tokens,
    prompt_tokens,
    response_tokens,
    stopping_checkpoints,
    stopping_comparisons,
)
from training.estimate.evaluation import requests_of
from training.estimate.paid import REMOTE_SECONDS
from training.model_size import ModelSize
from training.plan import StageSpec, import_function, plan_iteration
from training.speed import Speed


@dataclass(frozen=True, slots=True)
class Workload:
    """Input of the estimates: config, counts, model sizes and the speed of the machine.

    ``local`` holds the sizes of the local models that judge or demonstrate, by section of the config, if known.
    """

    config: RunConfig
    counts: Counts
    size: ModelSize
    local: Mapping[ModelRole, ModelSize | None]
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
    seconds = _by_model(work, "teacher", work.counts.prompts, prompt_tokens(config), length)
    return _without_overlap(responses(work, number), seconds, config)


def judgements(work: Workload, number: int) -> float:
    """The judgements of the responses, minus the overlap of a remote teacher with the student."""
    config = work.config
    replies = work.counts.judged * config.judging.k
    prompt = judge_prompt_tokens(config) + response_tokens(config.candidates.max_new_tokens)
    reply = judgement_tokens(config)
    if config.paradigm == "self_reward":
        return work.speed.generation(work.size, replies, prompt, reply, shared=config.judging.k)
    judged = _by_model(work, "teacher", replies, prompt, reply)
    return _without_overlap(responses(work, number), judged, config)


def preference_training(work: Workload, number: int) -> dict[str, float]:
    """One preference training, and its early-stopping checks."""
    return {
        "training": _preference(work.config, work.counts, work.size, work.speed),
        "early stopping": _early_stopping(work),
    }


def evaluation(work: Workload, number: int) -> float:
    """The evaluation of the iteration's checkpoint: the requests to the student and the evaluator."""
    seconds = 0.0
    for requests in requests_of(work.config, work.counts, has_previous=number > 0):
        count, prompt, reply = requests.count, requests.prompt_tokens, requests.reply_tokens
        if requests.to == "student":
            seconds += work.speed.generation(work.size, count, prompt, reply, shared=requests.per_prompt)
        else:
            seconds += _by_model(work, work.config.evaluator_role, count, prompt, reply)
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
    trained = min(trained, training.most_pairs_of_any or trained)
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


def _early_stopping(work: Workload) -> float:
    """Return the seconds of the answers and comparisons of all checkpoints, if the training does not stop early."""
    config, stopping = work.config, work.config.training.early_stopping
    if stopping is None:
        return 0.0
    length = response_tokens(config.evaluation.max_new_tokens)
    answers = work.speed.generation(work.size, stopping.count, prompt_tokens(config), length)
    requests, prompt = stopping_comparisons(config, work.counts), judge_prompt_tokens(config) + 2 * length
    reply = judgement_tokens(config)
    role = config.stopping_role
    if role == "self":
        compared = work.speed.generation(work.size, requests, prompt, reply)
    else:
        compared = _by_model(work, role, requests, prompt, reply)
    return stopping_checkpoints(config, work.counts) * answers + compared


def _by_model(work: Workload, role: ModelRole, requests: float, prompt: float, reply: float) -> float:
    """Return the seconds of requests to the model of a section; 0 for a program or a model of unknown size."""
    section = work.config.model_of(role)
    if section.entry.loads_weights:
        size = work.local.get(role)
        return work.speed.generation(size, requests, prompt, reply) if size else 0.0
    return requests * REMOTE_SECONDS / section.concurrency if section.is_remote else 0.0
