"""What memory and disk the steps of a run need."""

from __future__ import annotations

from typing import Final, Literal

from training.config import RunConfig
from training.estimate.counts import Counts, judge_prompt_tokens
from training.estimate.evaluation import requests_of_run
from training.model_size import ModelSize
from training.speed import Speed

PROCESS_BYTES: Final = 900_000_000  # Python, torch and the trainer's libraries
CUDA_BYTES: Final = 1_000_000_000
SAVED_PER_LAYER: Final = 20  # numbers of the model's width that a layer keeps for the backward pass, a token
LOGITS_COPIES: Final = 2.5
ROW_BYTES: Final = 2_500  # a generated text in the record, with its indexes
QUANTIZED_BYTES: Final = 0.56
RESUMABLE: Final = 3  # checkpoints to resume from: two are kept, and a third is written before the older one goes


def memory_bytes(config: RunConfig, size: ModelSize, teacher: ModelSize | None, speed: Speed) -> int:
    """Peak bytes of the hungriest step, on the GPU where there is one."""
    stored = 2 if speed.on_gpu and config.student.dtype != "float32" else 4
    base = CUDA_BYTES if speed.on_gpu else PROCESS_BYTES
    context = judge_prompt_tokens(config) + config.candidates.max_new_tokens + config.judging.max_new_tokens
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
    length = min(config.student.max_length, judge_prompt_tokens(config) + config.candidates.max_new_tokens)
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


def disk_bytes(config: RunConfig, counts: Counts, size: ModelSize) -> int:
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
    texts: float = counts.responses + counts.judged * config.judging.k + counts.pairs
    texts = texts * config.iterations + counts.sft
    texts += sum(one.count for one in requests_of_run(config, counts))
    return round(checkpoints * size.parameters * weight + resuming + download + texts * ROW_BYTES)
