"""Estimate of a run's time, memory, disk space and teacher cost before its launch.

The estimate is computed from the config, the model size and the hardware. Assumptions are constants in this package or
notes in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.config import LAMBDAS, ModelRole, RunConfig
from training.estimate.counts import ROWS_PER_DATASET, Counts, prompt_tokens
from training.estimate.paid import paid_notes, paid_use, total_cost
from training.estimate.resources import disk_bytes, memory_bytes, training_bytes, training_disk_bytes
from training.estimate.seconds import Workload, seconds_of_stages
from training.hardware import Hardware
from training.model_size import ModelSize, model_size
from training.speed import Speed, speed_of

__all__ = ["Estimate", "estimate", "training_bytes", "training_disk_bytes"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a run.

    Attributes:
        seconds, memory_bytes, disk_bytes: time, peak memory (of the GPU if there is one) and disk space; ``None`` if
            the size of the model is unknown.
        notes: problems and assumptions, as sentences.
        parts: (name, seconds) in order of execution.
        by_stage: seconds by (iteration number, kind of stage).
        fits: false if the machine has too little memory or disk space.
        teacher_tokens, teacher_usd: usage and cost of all remote models that judge or demonstrate; ``None`` without
            one or without their prices.
    """

    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    notes: list[str] = field(default_factory=list)
    parts: list[tuple[str, float]] = field(default_factory=list)
    by_stage: dict[tuple[int, str], float] = field(default_factory=dict)
    fits: bool = True
    teacher_tokens: int | None = None
    teacher_usd: float | None = None


def estimate(
    config: RunConfig, hardware: Hardware, *, rows: Mapping[str, int] | None = None, folders: tuple[Path, ...] = ()
) -> Estimate:
    """Estimate a run.

    Args:
        config: a valid config.
        hardware: the machine; see :meth:`Hardware.detect`.
        rows: the number of rows of each known data set, by name.
        folders: base folders for relative model paths, such as the data folder.
    """
    counts = Counts(config, dict(rows or {}))
    bill: dict[str, Any] = {}
    bill_notes: list[str] = []
    if uses := paid_use(config, counts):
        bill = {"teacher_tokens": sum(use.used.tokens for use in uses), "teacher_usd": total_cost(uses)}
        bill_notes = paid_notes(config, uses)
    size = model_size(config.student.model, folders)
    if size is None:
        return Estimate(
            None,
            None,
            None,
            [
                (
                    f"The size of {config.student.model!r} is unknown, so time and memory cannot be estimated. "
                    "Give the path of a downloaded model, or a name that includes its size, like org/name-1.5b."
                ),
                *bill_notes,
            ],
            **bill,
        )
    local = {
        role: model_size(section.model, folders)
        for role, section in config.models().items()
        if section.entry.loads_weights
    }
    speed = speed_of(config, hardware)
    stages = seconds_of_stages(Workload(config, counts, size, local, speed))
    parts = [(f"M{stage.iteration + 1}: {what}", seconds) for stage in stages for what, seconds in stage.parts.items()]
    memory = memory_bytes(config, size, local.values(), speed)
    disk = disk_bytes(config, counts, size)
    notes = _notes(config, counts, size, local, speed, hardware)
    problems = _problems(hardware, speed, memory, disk)
    seconds = sum(part for _, part in parts)
    by_stage = {(stage.iteration, stage.spec.kind): stage.seconds for stage in stages}
    return Estimate(seconds, memory, disk, problems + notes + bill_notes, parts, by_stage, fits=not problems, **bill)


def _notes(
    config: RunConfig,
    counts: Counts,
    size: ModelSize,
    local: Mapping[ModelRole, ModelSize | None],
    speed: Speed,
    hardware: Hardware,
) -> list[str]:
    notes = [
        f"{_count(size.parameters)} parameters{'' if size.exact else ', guessed from the name'}; {speed.where}.",
        f"Assumed: {prompt_tokens(config)} tokens per prompt, responses half as long as the limit.",
    ]
    for name in dict.fromkeys(counts.unknown):
        notes.append(f"The number of rows of {name!r} is unknown; {ROWS_PER_DATASET:,} are assumed.")
    for role, known in local.items():
        if known is None:
            model = config.model_of(role).model
            notes.append(f"The size of the {role.replace('_', ' ')} {model!r} is unknown; its time is not included.")
    if config.iterations and config.training.chooses_lambda:
        notes.append(f"λ is selected among {len(LAMBDAS)} values, with a full training for each.")
    if config.student.max_length > 4096 and config.iterations:
        notes.append("Without fused attention, long rows need more memory than estimated.")
    if len(hardware.gpus) > 1:
        notes.append(f"Only one of the {len(hardware.gpus)} GPUs is used, except by vLLM with tensor_parallel.")
    return notes


def _problems(hardware: Hardware, speed: Speed, memory: int, disk: int) -> list[str]:
    """Return a sentence with a remedy for each resource that is insufficient."""
    problems = []
    have = max(gpu.memory_bytes for gpu in hardware.gpus) if speed.on_gpu else hardware.memory_bytes
    if memory > have:
        what = "GPU memory" if speed.on_gpu else "memory"
        problems.append(
            f"The run needs about {_bytes(memory)} of {what}, and {_bytes(have)} are available. Use a smaller "
            "micro_batch_size or max_length, gradient_checkpointing, training.lora (with quantize_4bit on a GPU), or a "
            "smaller model."
        )
    if hardware.disk_free_bytes is not None and disk > hardware.disk_free_bytes:
        problems.append(
            f"The run needs about {_bytes(disk)} of disk space, and {_bytes(hardware.disk_free_bytes)} are free. Free "
            "some space, or set PLUMBLINE_HOME to a larger disk."
        )
    return problems


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def _count(number: int) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e9 else f"{number / 1e6:.1f} million"
