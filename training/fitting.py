"""What a training needs beside what this machine has: said before it starts, and when it ran out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from training.config import RunConfig
from training.estimate import training_bytes, training_disk_bytes
from training.hardware import Hardware
from training.model_size import ModelSize, model_size
from training.speed import speed_of

GIB: Final = 2**30
SPARE: Final = 0.9  # of the machine's memory that a training may count on
SMALLER: Final = 0.75  # what ran out of memory took more than was estimated: aim this much lower

Section = Literal["sft", "training"]


def missing_disk(config: RunConfig, section: Section, model: str, folder: Path, free_bytes: int) -> str:
    """A sentence where the disk of ``folder`` has too little room for this training, else nothing.

    What the training has written there already, before it was interrupted, counts as free: it is written over.
    """
    size = model_size(model)
    if size is None:
        return ""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    missing = training_disk_bytes(config, size, section) - there - free_bytes
    if missing <= 0:
        return ""
    return (
        f"The training needs about {_gib(training_disk_bytes(config, size, section))} of disk for its checkpoints and "
        f"the model, and {_gib(free_bytes)} are free at {folder}. Free {_gib(missing)}, or set PLUMBLINE_HOME to a "
        "folder on a larger disk; then resume."
    )


def settings_that_fit(config: RunConfig, section: Section, model: str, hardware: Hardware) -> str:
    """What to change after a training ran out of memory, by the same estimate that the launch form shows."""
    size = model_size(model)
    field = f"{section}.micro_batch_size"
    if size is None:
        return f"Set {field} lower, {section}.gradient_checkpointing on, or student.max_length lower."
    speed = speed_of(config, hardware)
    have = max(gpu.memory_bytes for gpu in hardware.gpus) if speed.on_gpu else hardware.memory_bytes
    now = training_bytes(config, size, speed, section)
    aim = min(SPARE * have, SMALLER * now)
    for changes, changed in _smaller(config, section, size):
        needed = training_bytes(changed, size, speed, section)
        if needed <= aim:
            words = ", ".join(f"{name} to {value}" for name, value in changes.items())
            return (
                f"By the estimate it needed {_gib(now)} of {_gib(have)} and took more. Set {words}: that is estimated "
                f"at {_gib(needed)}. Clone the run with these settings."
            )
    return (
        f"By the estimate it needed {_gib(now)} of {_gib(have)}, and no smaller batch, shorter rows or LoRA would "
        "bring that down enough. Take a smaller model or a larger machine."
    )


def _smaller(config: RunConfig, section: Section, size: ModelSize) -> Iterator[tuple[dict[str, Any], RunConfig]]:
    """Settings that need less and less: what leaves the result as it is first."""
    settings = config.sft if section == "sft" else config.training
    micro = f"{section}.micro_batch_size"
    sizes = [size for size in range(settings.micro_batch_size - 1, 0, -1) if settings.batch_size % size == 0]
    steps: list[dict[str, Any]] = [{micro: number} for number in sizes]
    checkpointing = {} if settings.gradient_checkpointing else {f"{section}.gradient_checkpointing": True}
    if checkpointing:
        steps += [checkpointing, *({micro: number} | checkpointing for number in sizes)]
    least = ({micro: 1} if sizes else {}) | checkpointing
    length = config.student.max_length // 2
    while length >= 128:
        steps.append(least | {"student.max_length": length})
        length //= 2
    if section == "training" and config.training.lora is None:
        steps.append(least | {"training.lora": {}})
    for changes in steps:
        data = config.to_dict()
        for name, value in changes.items():
            part, _, leaf = name.partition(".")
            data[part][leaf] = value
        # Only this training is looked at: what a shorter context makes of other sections is the launch form's to say.
        yield (
            changes,
            config.model_copy(
                update={
                    part: type(getattr(config, part)).model_validate(data[part])
                    for part in ("student", "sft", "training")
                }
            ),
        )


def _gib(number: float) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB / 10 else f"{number / 2**20:.0f} MiB"
