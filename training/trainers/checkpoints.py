"""Atomic checkpoints: a manifest seals each one, and the final model appears by a single rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "plumbline_checkpoint.json"
SUMMARY = "plumbline_training.json"
MODEL, RESUME, STEPS = "model", "resume", "steps"
KEPT = 2  # checkpoints to resume from: the newest, and its predecessor in case the newest is incomplete


def training_key(**parts: Any) -> str:
    """Return the SHA-256 of everything that determines a training; only the same training resumes from it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def seal(checkpoint: Path, key: str) -> None:
    """Write the manifest, the last file of a checkpoint, with its file sizes and the key of its training."""
    files = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
    _write_json(checkpoint / MANIFEST, {"key": key, "files": files})


def is_whole(checkpoint: Path, key: str) -> bool:
    """Return whether the manifest exists, belongs to this training, and all files have their full size."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        return manifest["key"] == key and all(
            (checkpoint / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def latest(output_dir: Path, key: str) -> tuple[Path, int] | None:
    """Return the newest complete checkpoint of this training and its step; remove all others."""
    complete: list[tuple[int, Path]] = []
    for path in (output_dir / RESUME).glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if step.isdigit() and is_whole(path, key):
            complete.append((int(step), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return (max(complete)[1], max(complete)[0]) if complete else None


def step_folder(output_dir: Path, step: int) -> Path:
    """Return the folder of the model at a step where the training pauses."""
    return output_dir / STEPS / f"step-{step}"


def read_summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary of the model saved in a folder, or ``None``."""
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError):
        return None
    return summary


def finished(output_dir: Path, key: str, pause_at: int | None = None) -> dict[str, Any] | None:
    """Return the summary of this training if it is finished or paused at ``pause_at``, else ``None``."""
    paused = read_summary(step_folder(output_dir, pause_at)) if pause_at else None
    for summary in (read_summary(output_dir / MODEL), paused):
        if summary is not None and summary.get("key") == key:
            return summary
    return None


def publish(output_dir: Path, summary: dict[str, Any], save: Callable[[Path], None]) -> Path:
    """Save the final model atomically, then remove the checkpoints to resume from."""
    final = save_whole(output_dir / MODEL, summary, save)
    shutil.rmtree(output_dir / RESUME, ignore_errors=True)
    return final


def save_whole(final: Path, summary: dict[str, Any], save: Callable[[Path], None]) -> Path:
    """Save a model atomically: write it to a temporary folder and rename that."""
    building = final.with_name(f"{final.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save(building)
    _write_json(building / SUMMARY, summary)
    for path in _files(building):
        path.chmod(0o644)  # safetensors files are private by default; the web process may be another user
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    shutil.rmtree(final, ignore_errors=True)
    building.rename(final)
    return final


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("w") as stream:
        json.dump(data, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
