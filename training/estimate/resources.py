"""Estimated memory and disk space of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from training.config import RunConfig
from training.estimate.counts import Counts, judge_prompt_tokens
from training.estimate.evaluation import requests_of_run
from training.model_size import ModelSize
from training.speed import Speed

PROCESS_BYTES: Final = 900_000_000  # Python, torch and the trainer's libraries
CUDA_BYTES: Final = 1_000_000_000
SAVED_PER_LAYER: Final = 20  # activations kept for the backward pass, per layer and token, in multiples of the width
LOGITS_COPIES: Final = 2.5
ROW_BYTES: Final = 2_500  # a generated text in the database, with its indexes
QUANTIZED_BYTES: Final = 0.56
RESUMABLE: Final = 3  # checkpoints for resuming: two are kept, and a third is written before the oldest is deleted


def memory_bytes(config: RunConfig, size: ModelSize, others: Iterable[ModelSize | None], speed: Speed) -> int:
    """Return the peak memory of a run in bytes, on the GPU if there is one.

    ``others`` are the sizes of the local models that judge or demonstrate, one of which is loaded at a time.
    """
    stored = 2 if speed.on_gpu and config.student.dtype != "float32" else 4
    base = CUDA_BYTES if speed.on_gpu else PROCESS_BYTES
    context = judge_prompt_tokens(config) + config.candidates.max_new_tokens + config.judging.max_new_tokens
    cache = 2 * size.layers * size.kv_width * stored * min(context, config.student.max_length)
    generating = size.parameters * stored + cache * config.engine.batch_size
    steps: list[float] = [generating]
    for other in others:
        if other is not None:
            both = max(generating, other.parameters * stored) + min(size.parameters, other.parameters) * stored
            steps.append(both)
    if config.sft.enabled:
        steps.append(training_bytes(config, size, speed, "sft") - base)
    if config.iterations:
        steps.append(training_bytes(config, size, speed, "training") - base)
    return round(max(steps) + base)


def training_bytes(config: RunConfig, size: ModelSize, speed: Speed, section: Literal["sft", "training"]) -> float:
    """Return the peak memory of one training in bytes: process, weights, gradients, optimizer and activations."""
    settings = config.sft if section == "sft" else config.training
    rows = 1 if section == "sft" or config.training.method == "positive_only" else 2  # two sequences per pair
    sequences = rows * settings.micro_batch_size
    weight = 4 if config.student.dtype in ("auto", "float32") or not speed.on_gpu else 2
    states = 2 if settings.optimizer == "adamw" else 1
    lora = config.training.lora if section == "training" else None
    if lora is None:
        static: float = size.parameters * weight * (2 + states)
    else:
        frozen = QUANTIZED_BYTES if lora.quantize_4bit else weight
        # q, k, v, o and three MLP projections: inputs and outputs of about 22 widths per layer.
        trained = lora.rank * size.layers * size.width * 22
        static = size.parameters * frozen + trained * 4 * (2 + states)
    mixed = speed.on_gpu and config.student.dtype == "auto"
    if mixed and lora is None:
        static += size.parameters * 2  # bfloat16 copies that autocast keeps for a step
    computed = 2 if mixed or weight == 2 else 4
    length = min(config.student.max_length, judge_prompt_tokens(config) + config.candidates.max_new_tokens)
    tokens = sequences * length
    # With checkpointing, each layer keeps only its input, and one layer at a time has all its activations.
    kept = size.layers + SAVED_PER_LAYER if settings.gradient_checkpointing else size.layers * SAVED_PER_LAYER
    base = CUDA_BYTES if speed.on_gpu else PROCESS_BYTES
    return base + static + tokens * (size.width * kept * computed + size.vocabulary * 4 * LOGITS_COPIES)


def training_disk_bytes(config: RunConfig, size: ModelSize, section: Literal["sft", "training"]) -> int:
    """Return the peak disk space of one training in bytes: checkpoints for resuming, and the saved model."""
    settings = config.sft if section == "sft" else config.training
    weight = 2 if config.student.dtype in ("bfloat16", "float16") else 4
    states = 2 if settings.optimizer == "adamw" else 1
    whole = size.parameters * weight
    if section == "training" and config.training.lora:
        return round(whole * 1.1)  # adapter checkpoints are small
    return RESUMABLE * (1 + states) * whole + whole


def disk_bytes(config: RunConfig, counts: Counts, size: ModelSize) -> int:
    """Return the disk space of a run in bytes, including the checkpoints of the training in progress."""
    weight = 2 if config.student.dtype in ("bfloat16", "float16") else 4
    checkpoints = config.iterations + (1 if config.sft.enabled else 0)
    each: list[Literal["sft", "training"]] = ["sft"] if config.sft.enabled else []
    each += ["training"] if config.iterations else []
    saved = size.parameters * weight  # counted below
    resuming = max((training_disk_bytes(config, size, section) - saved for section in each), default=0)
    if config.iterations and config.training.chooses_lambda:
        resuming += 2 * size.parameters * weight  # the models of the best λ so far and of the latest one
    download = 0 if size.local else size.parameters * 2
    texts: float = counts.responses + counts.judged * config.judging.k + counts.pairs
    texts = texts * config.iterations + counts.sft
    texts += sum(one.count for one in requests_of_run(config, counts))
    return round(checkpoints * size.parameters * weight + resuming + download + texts * ROW_BYTES)
