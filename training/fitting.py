"""Messages on insufficient disk space before a training, and on settings that fit after it ran out of memory."""

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
SPARE: Final = 0.9  # share of the machine's memory that is available to a training
SMALLER: Final = 0.75  # target relative to the estimate that proved too low

Section = Literal["sft", "training"]


def missing_disk(config: RunConfig, section: Section, model: str, folder: Path, free_bytes: int) -> str:
    """Return an error message if ``folder`` has too little disk space for the training, else "".

    Files that the training wrote before an interruption count as free, because they are overwritten.
    """
    size = model_size(model)
    if size is None:
        return ""
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    missing = training_disk_bytes(config, size, section) - written - free_bytes
    if missing <= 0:
        return ""
    return (
        f"The training needs about {_gib(training_disk_bytes(config, size, section))} of disk space, and "
        f"{_gib(free_bytes)} are free at {folder}. Free {_gib(missing)}, or set PLUMBLINE_HOME to a folder on a larger "
        "disk; then resume."
    )


def settings_that_fit(config: RunConfig, section: Section, model: str, hardware: Hardware) -> str:
    """Return advice after a training ran out of memory, based on the estimate of the launch form."""
    size = model_size(model)
    field = f"{section}.micro_batch_size"
    if size is None:
        return f"Reduce {field} or student.max_length, or turn on {section}.gradient_checkpointing."
    speed = speed_of(config, hardware)
    have = max(gpu.memory_bytes for gpu in hardware.gpus) if speed.on_gpu else hardware.memory_bytes
    now = training_bytes(config, size, speed, section)
    aim = min(SPARE * have, SMALLER * now)
    for changes, changed in _smaller(config, section, size):
        needed = training_bytes(changed, size, speed, section)
        if needed <= aim:
            words = ", ".join(f"{name} to {value}" for name, value in changes.items())
            return (
                f"The estimate was {_gib(now)} of {_gib(have)}, but the training needed more. Clone the run and set "
                f"{words}: the new estimate is {_gib(needed)}."
            )
    return (
        f"The estimate was {_gib(now)} of {_gib(have)}. A smaller batch, shorter rows or LoRA would not reduce it "
        "enough. Use a smaller model or a larger machine."
    )


def _smaller(config: RunConfig, section: Section, size: ModelSize) -> Iterator[tuple[dict[str, Any], RunConfig]]:
    """Yield settings with decreasing memory use, first those that do not change the result."""
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
        # Cross-field validation is skipped: the launch form reports conflicts with other sections.
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
