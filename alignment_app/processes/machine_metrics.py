"""Metrics of this machine: CPU, memory, disk and GPUs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

MEBIBYTE = 1024 * 1024


def read(home: Path) -> dict[str, Any]:
    """Return ``{"cpu", "memory", "memory_total", "disk_free", "gpus"}``: CPU in per cent, the others in bytes.

    ``cpu`` is the mean since the last call. ``disk_free`` is of the data folder's disk. ``gpus`` is empty without GPU.
    """
    memory = psutil.virtual_memory()
    return {
        "cpu": psutil.cpu_percent(),
        "memory": memory.total - memory.available,
        "memory_total": memory.total,
        "disk_free": psutil.disk_usage(str(home)).free,
        "gpus": gpus(),
    }


def gpus() -> list[dict[str, Any]]:
    """Return ``{"name", "memory", "memory_total", "utilisation"}`` per NVIDIA GPU, in bytes and per cent."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = "--query-gpu=name,memory.used,memory.total,utilization.gpu"
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [gpu for line in answer.stdout.splitlines() if (gpu := _gpu(line))]


def _gpu(line: str) -> dict[str, Any] | None:
    parts = [part.strip() for part in line.rsplit(",", 3)]
    if len(parts) != 4:
        return None
    name, used, total, utilisation = parts
    return {
        "name": name,
        "memory": _number(used, MEBIBYTE),
        "memory_total": _number(total, MEBIBYTE),
        "utilisation": _number(utilisation, 1),
    }


def _number(text: str, factor: int) -> int | None:
    return int(text) * factor if text.isdigit() else None
