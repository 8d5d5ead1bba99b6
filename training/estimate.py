"""How long a run will take, and what memory and disk it needs, before it is launched.

Pure arithmetic on the config, the model's size and the machine. Every assumption is a constant here or a note in the
result. Time is counted in forward passes of 2 floating-point operations a parameter and token (a training step is three
of them), plus a fixed cost a step, which is what decides for small models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from training.config import LAMBDAS, RunConfig
from training.domain.spending import Budget, Price, Usage
from training.hardware import Hardware
from training.model_size import ModelSize, model_size
from training.speed import Speed, speed_of

# Lengths in tokens, where only the run itself can tell.
PROMPT_TOKENS: Final = 60  # and an eighth of max_length at most: who sets a short one has short rows
JUDGE_PROMPT_TOKENS: Final = 340  # the additive template without the question and the response; a third at most
RESPONSE_SHARE: Final = 0.5  # responses end at half of the limit on average
JUDGEMENT_TOKENS: Final = 120
SHOT_TOKENS: Final = 400  # a self-instruct prompt with its eight demonstrations
ROWS_PER_DATASET: Final = 3_000
RANKED_RESPONSES: Final = 3  # of a ranked prompt: 001 has 2.85
RANKED_KEPT: Final = 0.4  # share of the ranked responses whose judgement agrees with people and is trained on
PAIRS_KEPT: Final = 0.8  # share of prompts whose best and worst score differ
COMPARISON_ORDERS: Final = 2
REMOTE_SECONDS: Final = 3.0  # a request to a remote teacher
# Memory.
PROCESS_BYTES: Final = 900_000_000  # Python, torch and the trainer's libraries
CUDA_BYTES: Final = 1_000_000_000
SAVED_PER_LAYER: Final = 20  # numbers of the model's width that a layer keeps for the backward pass, a token
LOGITS_COPIES: Final = 2.5
ROW_BYTES: Final = 2_500  # a generated text in the record, with its indexes
QUANTIZED_BYTES: Final = 0.56
RESUMABLE: Final = 3  # checkpoints to resume from: two are kept, and a third is written before the older one goes


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, peak memory (of the GPU where there is one) and disk, in bytes; ``None``: it cannot be said.

    ``parts`` are (what, seconds) in order of the run; ``notes`` are sentences: what was assumed, what will not fit.
    ``teacher_tokens`` and ``teacher_usd`` are what a remote teacher takes; ``None``: there is none, or no price known.
    ``fits`` is false where the machine has less memory or disk than the run needs.
    """

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    notes: list[str] = field(default_factory=list)
    parts: list[tuple[str, float]] = field(default_factory=list)
    fits: bool = True
    teacher_tokens: int | None = None
    teacher_usd: float | None = None


def estimate(
    config: RunConfig, hardware: Hardware, *, rows: Mapping[str, int] | None = None, folders: tuple[Path, ...] = ()
) -> Estimate:
    """What a run of ``config`` costs on ``hardware``.

    Args:
        config: a valid config.
        hardware: the machine; see :meth:`Hardware.detect`.
        rows: rows of the data sets by name, as far as known.
        folders: where a relative model path may lie, such as the data folder.
    """
    counts = _Counts(config, dict(rows or {}))
    bill: dict[str, Any] = {}
    bill_notes: list[str] = []
    if config.teacher.kind in ("gemini", "openai_compatible"):
        requests, used = _teacher_use(config, counts)
        price = Price(config.teacher.prompt_price, config.teacher.completion_price)
        bill = {"teacher_tokens": used.tokens, "teacher_usd": price.cost(used)}
        bill_notes = _teacher_notes(config, requests, used)
    size = model_size(config.student.model, folders)
    if size is None:
        return Estimate(
            None,
            None,
            None,
            [
                (
                    f"The size of {config.student.model!r} is not known here, so time and memory cannot be said. "
                    "Give the path of a downloaded model, or a name that holds its size, like org/name-1.5b."
                ),
                *bill_notes,
            ],
            **bill,
        )
    teacher = model_size(config.teacher.model, folders) if config.teacher.kind == "checkpoint" else None
    speed = speed_of(config, hardware)
    parts = _parts(config, counts, size, teacher, speed)
    memory = _memory(config, size, teacher, speed)
    disk = _disk(config, counts, size)
    notes = _notes(config, counts, size, teacher, speed, hardware)
    problems = _problems(hardware, speed, memory, disk)
    seconds = sum(part for _, part in parts)
    return Estimate(seconds, memory, disk, problems + notes + bill_notes, parts, fits=not problems, **bill)


class _Counts:
    """How many rows each step of the config handles."""

    def __init__(self, config: RunConfig, rows: dict[str, int]) -> None:
        self.unknown: list[str] = []
        self.rows = rows
        known = [self._rows(name) for name in config.sft.datasets] if config.sft.enabled else []
        self.sft = min(sum(known), config.sft.limit or sum(known))
        self.ranked = self._rows(config.eft.dataset) * RANKED_RESPONSES if config.eft.enabled else 0
        self.judging_rows = round(self.ranked * RANKED_KEPT)
        asked = config.prompts.count
        if config.pairs.from_dataset:
            self.pairs = min(asked, self._rows(config.pairs.from_dataset))
            self.prompts = self.responses = self.judged = 0
            return
        if config.candidates.from_dataset:
            self.prompts = min(asked, self._rows(config.candidates.from_dataset))
            self.responses = 0
        else:
            self.prompts = asked
            if config.prompts.source == "dataset" and config.prompts.dataset in rows:
                self.prompts = min(asked, rows[config.prompts.dataset])
            self.responses = self.prompts * config.candidates.n
        demonstrated = config.paradigm == "teacher_demonstration"
        recorded = bool(config.judging.recorded_scores)
        candidates = self.responses or self.prompts * 4
        self.judged = 0 if demonstrated or recorded else candidates
        self.pairs = self.prompts if demonstrated else math.ceil(self.prompts * PAIRS_KEPT)

    def _rows(self, name: str) -> int:
        if name not in self.rows:
            self.unknown.append(name)
        return self.rows.get(name, ROWS_PER_DATASET)


def _prompt_tokens(config: RunConfig) -> int:
    return min(PROMPT_TOKENS, config.student.max_length // 8)


def _judge_prompt_tokens(config: RunConfig) -> int:
    """Tokens of the judge prompt without the response."""
    return min(JUDGE_PROMPT_TOKENS, config.student.max_length // 3) + _prompt_tokens(config)


def _judgement_tokens(config: RunConfig) -> float:
    return min(JUDGEMENT_TOKENS, config.judging.max_new_tokens * RESPONSE_SHARE)


def _response_tokens(limit: int) -> float:
    return max(1.0, limit * RESPONSE_SHARE)


def _parts(
    config: RunConfig, counts: _Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> list[tuple[str, float]]:
    """(what, seconds) of every step, iterations one after another."""
    evaluation = _evaluation(config, size, teacher, speed)
    parts: list[tuple[str, float]] = []
    if config.sft.enabled:
        limit = min(config.student.max_length, _prompt_tokens(config) + config.candidates.max_new_tokens)
        tokens = _prompt_tokens(config) + _response_tokens(limit - _prompt_tokens(config))

        def tuned(rows: int) -> float:
            steps = math.ceil(rows * config.sft.epochs / config.sft.micro_batch_size)
            return speed.training(size, rows * config.sft.epochs * tokens, steps)

        if config.eft.enabled:
            parts.append(("M1: instruction tuning", tuned(counts.sft)))
            prompt = _judge_prompt_tokens(config) + _response_tokens(config.candidates.max_new_tokens)
            replies, shared = counts.ranked * config.eft.k, config.eft.k
            seconds = speed.generation(size, replies, prompt, _judgement_tokens(config), shared=shared)
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
    config: RunConfig, counts: _Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> list[tuple[str, float]]:
    length = _response_tokens(config.candidates.max_new_tokens)
    steps: list[tuple[str, float]] = []
    if config.prompts.source == "self_instruct" and counts.responses:
        steps.append(("prompts", speed.generation(size, counts.prompts, SHOT_TOKENS, _prompt_tokens(config))))
    steps.append(("responses", speed.generation(size, counts.responses, _prompt_tokens(config), length)))
    if config.paradigm == "teacher_demonstration" and counts.prompts:
        steps.append(
            ("demonstrations", _by_teacher(config, counts.prompts, _prompt_tokens(config), length, teacher, speed))
        )
    replies = counts.judged * config.judging.k
    prompt, reply = _judge_prompt_tokens(config) + length, _judgement_tokens(config)
    if config.paradigm == "self_reward":
        steps.append(("judgements", speed.generation(size, replies, prompt, reply, shared=config.judging.k)))
    else:
        steps.append(("judgements", _by_teacher(config, replies, prompt, reply, teacher, speed)))
    return steps


def _preference(config: RunConfig, counts: _Counts, size: ModelSize, speed: Speed) -> float:
    """Seconds of one preference training: the reference's pass once, then the epochs."""
    training = config.training
    full = _prompt_tokens(config) + _response_tokens(config.candidates.max_new_tokens)
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
    config: RunConfig, counts: _Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed
) -> float:
    """Seconds for the answers and comparisons of all checkpoints, should the training run to its end."""
    stopping = config.training.early_stopping
    if stopping is None:
        return 0.0
    training, length = config.training, _response_tokens(config.evaluation.max_new_tokens)
    pairs = max(1, counts.pairs - training.held_out_pairs)
    steps = math.ceil(min(pairs, training.max_pairs or pairs) * training.epochs / training.batch_size)
    checkpoints = math.ceil(steps / stopping.every)
    answers = speed.generation(size, stopping.count, _prompt_tokens(config), length)
    asked, prompt = stopping.count * COMPARISON_ORDERS, _judge_prompt_tokens(config) + 2 * length
    reply = _judgement_tokens(config)
    if stopping.judge == "self":
        compared = speed.generation(size, asked, prompt, reply)
    else:
        compared = _by_teacher(config, asked, prompt, reply, teacher, speed)
    return checkpoints * answers + max(0, checkpoints - 1) * compared


def _evaluation(config: RunConfig, size: ModelSize, teacher: ModelSize | None, speed: Speed) -> tuple[float, float]:
    """Seconds for M1's evaluation and for that of a later checkpoint, which is also compared with the one before."""
    section, judging = config.evaluation, config.judging
    length = _response_tokens(section.max_new_tokens)
    judge_prompt = _judge_prompt_tokens(config) + length
    reply = _judgement_tokens(config)
    seconds = speed.generation(size, section.count, _prompt_tokens(config), length)
    scored = section.count
    if section.self_judge:
        sampled = min(section.self_judge_prompts, section.count) * max(config.candidates.n, 2)
        scored += sampled
        seconds += speed.generation(
            size, sampled, _prompt_tokens(config), _response_tokens(config.candidates.max_new_tokens)
        ) + speed.generation(size, sampled * judging.k, judge_prompt, reply, shared=judging.k)
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


def _memory(config: RunConfig, size: ModelSize, teacher: ModelSize | None, speed: Speed) -> int:
    """Peak bytes of the hungriest step, on the GPU where there is one."""
    stored = 2 if speed.on_gpu and config.student.dtype != "float32" else 4
    base = CUDA_BYTES if speed.on_gpu else PROCESS_BYTES
    context = _judge_prompt_tokens(config) + config.candidates.max_new_tokens + config.judging.max_new_tokens
    cache = 2 * size.layers * size.kv_width * stored * min(context, config.student.max_length)
    generating = size.parameters * stored + cache * config.engine.batch_size
    if teacher is not None:
        generating = max(generating, teacher.parameters * stored) + min(size.parameters, teacher.parameters) * stored
    steps: list[float] = [generating]
    if config.sft.enabled:
        steps.append(training_bytes(config, size, speed, "sft") - base)
    if config.iterations:
        steps.append(training_bytes(config, size, speed, "training") - base)
    return round(max(steps) + base)


def training_bytes(config: RunConfig, size: ModelSize, speed: Speed, section: Literal["sft", "training"]) -> float:
    """Peak bytes of one training: the process, weights, gradients, optimizer states, and what backward passes keep."""
    settings = config.sft if section == "sft" else config.training
    rows = 1 if section == "sft" or config.training.method == "positive_only" else 2  # a pair is two
    sequences = rows * settings.micro_batch_size
    weight = 4 if config.student.dtype in ("auto", "float32") or not speed.on_gpu else 2
    states = 2 if settings.optimizer == "adamw" else 1
    lora = config.training.lora if section == "training" else None
    if lora is None:
        held: float = size.parameters * weight * (2 + states)
    else:
        frozen = QUANTIZED_BYTES if lora.quantize_4bit else weight
        # q, k, v, o and three projections of the MLP: about 22 widths in and out a layer.
        trained = lora.rank * size.layers * size.width * 22
        held = size.parameters * frozen + trained * 4 * (2 + states)
    mixed = speed.on_gpu and config.student.dtype == "auto"
    if mixed and lora is None:
        held += size.parameters * 2  # the bfloat16 copies that autocast keeps for a step
    computed = 2 if mixed or weight == 2 else 4
    length = min(config.student.max_length, _judge_prompt_tokens(config) + config.candidates.max_new_tokens)
    tokens = sequences * length
    # With checkpointing each layer keeps its input alone, and one layer at a time has everything.
    kept = size.layers + SAVED_PER_LAYER if settings.gradient_checkpointing else size.layers * SAVED_PER_LAYER
    base = CUDA_BYTES if speed.on_gpu else PROCESS_BYTES
    return base + held + tokens * (size.width * kept * computed + size.vocabulary * 4 * LOGITS_COPIES)


def training_disk_bytes(config: RunConfig, size: ModelSize, section: Literal["sft", "training"]) -> int:
    """Bytes that one training holds at most: checkpoints to resume from with optimizer states, and the saved model."""
    settings = config.sft if section == "sft" else config.training
    weight = 2 if config.student.dtype in ("bfloat16", "float16") else 4
    states = 2 if settings.optimizer == "adamw" else 1
    whole = size.parameters * weight
    if section == "training" and config.training.lora:
        return round(whole * 1.1)  # an adapter's checkpoints are small beside the model
    return RESUMABLE * (1 + states) * whole + whole


def _disk(config: RunConfig, counts: _Counts, size: ModelSize) -> int:
    """Bytes that stay, and those that a training in progress holds to be resumed from."""
    weight = 2 if config.student.dtype in ("bfloat16", "float16") else 4
    checkpoints = config.iterations + (1 if config.sft.enabled else 0)
    each: list[Literal["sft", "training"]] = ["sft"] if config.sft.enabled else []
    each += ["training"] if config.iterations else []
    saved = size.parameters * weight  # counted below
    resuming = max((training_disk_bytes(config, size, section) - saved for section in each), default=0)
    if config.iterations and config.training.chooses_lambda:
        resuming += 2 * size.parameters * weight  # the best λ so far, and the one that was just trained
    download = 0 if size.local else size.parameters * 2
    texts = counts.responses + counts.judged * config.judging.k + counts.pairs
    texts = texts * config.iterations + counts.sft
    if config.evaluation.enabled:
        texts += (config.iterations + 1) * config.evaluation.count * 6
    return round(checkpoints * size.parameters * weight + resuming + download + texts * ROW_BYTES)


def _notes(
    config: RunConfig, counts: _Counts, size: ModelSize, teacher: ModelSize | None, speed: Speed, hardware: Hardware
) -> list[str]:
    notes = [
        f"{_count(size.parameters)} parameters{'' if size.exact else ', guessed from the name'}; {speed.where}.",
        f"Assumed: prompts of {_prompt_tokens(config)} tokens, responses half as long as allowed.",
    ]
    for name in dict.fromkeys(counts.unknown):
        notes.append(f"The rows of {name!r} are not known here; {ROWS_PER_DATASET:,} are assumed.")
    if config.teacher.kind == "checkpoint" and teacher is None:
        notes.append(f"The size of the teacher {config.teacher.model!r} is not known; its time is not counted.")
    if config.iterations and config.training.chooses_lambda:
        notes.append(f"λ is chosen among {len(LAMBDAS)}: each is trained as a whole, one after another.")
    if config.student.max_length > 4096 and config.iterations:
        notes.append("Long rows take more memory than counted where attention is not fused.")
    if len(hardware.gpus) > 1:
        notes.append(f"One of the {len(hardware.gpus)} GPUs is counted, except for vLLM with tensor_parallel.")
    return notes


def _teacher_use(config: RunConfig, counts: _Counts) -> tuple[int, Usage]:
    """Requests to a remote teacher over the whole run, and the tokens that they take: read and written."""
    section, k = config.evaluation, config.judging.k
    prompt, judge = _prompt_tokens(config), _judge_prompt_tokens(config)
    answer, reply = _response_tokens(config.candidates.max_new_tokens), _judgement_tokens(config)
    asked: list[tuple[int, float, float]] = []  # requests, tokens read each, tokens written each
    if config.paradigm == "teacher_demonstration":
        asked.append((counts.prompts * config.iterations, prompt, answer))
    elif config.paradigm == "teacher_reward":
        asked.append((counts.judged * k * config.iterations, judge + answer, reply))
    if section.enabled:
        checkpoints = config.iterations + 1
        held_out = _response_tokens(section.max_new_tokens)
        asked.append((section.count * k * checkpoints, judge + held_out, reply))
        if section.self_judge:
            probes = min(section.self_judge_prompts, section.count) * max(config.candidates.n, 2)
            asked.append((probes * k * checkpoints, judge + answer, reply))
        asked.append((section.count * COMPARISON_ORDERS * config.iterations, judge + 2 * held_out, reply))
    used = Usage(
        round(sum(number * read for number, read, _ in asked)),
        round(sum(number * written for number, _, written in asked)),
    )
    return sum(number for number, _, _ in asked), used


def _teacher_notes(config: RunConfig, requests: int, used: Usage) -> list[str]:
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


def _problems(hardware: Hardware, speed: Speed, memory: int, disk: int) -> list[str]:
    """Sentences for what the machine has too little of, each with a remedy."""
    problems = []
    have = max(gpu.memory_bytes for gpu in hardware.gpus) if speed.on_gpu else hardware.memory_bytes
    if memory > have:
        what = "GPU memory" if speed.on_gpu else "memory"
        problems.append(
            f"About {_bytes(memory)} of {what} are needed and there are {_bytes(have)}: take a smaller "
            "micro_batch_size or max_length, gradient_checkpointing, training.lora (with quantize_4bit on a GPU), or a "
            "smaller model."
        )
    if hardware.disk_free_bytes is not None and disk > hardware.disk_free_bytes:
        problems.append(
            f"About {_bytes(disk)} of disk are needed and {_bytes(hardware.disk_free_bytes)} are free: make room, or "
            "set PLUMBLINE_HOME to a larger disk."
        )
    return problems


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"
