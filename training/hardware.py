"""Detection of CPU cores, memory, disk space and GPUs, without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil

MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU: the driver's name for it, and its memory in bytes."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """The hardware of a run. ``disk_free_bytes`` is that of the data folder; ``None`` if unknown."""

    cpu_cores: int
    memory_bytes: int
    disk_free_bytes: int | None = None
    gpus: tuple[Gpu, ...] = ()

    @classmethod
    def detect(cls, home: Path | None = None) -> Self:
        """Detect the hardware of this machine, within the limits of its container."""
        free = shutil.disk_usage(home).free if home is not None and home.exists() else None
        return cls(_cores(), _memory(), free, _gpus())


def _cores() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        usable = min(usable, max(1, round(int(quota[0]) / int(quota[1]))))
    return usable


def _memory() -> int:
    total = int(psutil.virtual_memory().total)
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def _gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = ["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run([program, *query], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.rsplit(",", 1) for line in answer.stdout.splitlines() if "," in line]
    return tuple(Gpu(name.strip(), int(memory) * MEBIBYTE) for name, memory in rows if memory.strip().isdigit())
