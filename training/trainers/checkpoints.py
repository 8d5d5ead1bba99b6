"""Checkpoints that are whole or not there: a manifest seals each one, and the final model appears by one rename."""

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
KEPT = 2  # checkpoints to resume from: the newest, and the one before it should the newest turn out not whole


def training_key(**parts: Any) -> str:
    """SHA-256 over all that decides a training: its checkpoints are resumed from by the very same one alone."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def seal(checkpoint: Path, key: str) -> None:
    """Write the manifest, the last file of a checkpoint: what it holds and which training it belongs to."""
    files = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
    _write_json(checkpoint / MANIFEST, {"key": key, "files": files})


def is_whole(checkpoint: Path, key: str) -> bool:
    """True where the manifest is there, is this training's, and every file has its full size."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        return manifest["key"] == key and all(
            (checkpoint / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def latest(output_dir: Path, key: str) -> tuple[Path, int] | None:
    """The newest whole checkpoint of this training and its step; every other one is removed."""
    found: list[tuple[int, Path]] = []
    for path in (output_dir / RESUME).glob("checkpoint-*"):
        step = path.name.removeprefix("checkpoint-")
        if step.isdigit() and is_whole(path, key):
            found.append((int(step), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return (max(found)[1], max(found)[0]) if found else None


def step_folder(output_dir: Path, step: int) -> Path:
    """Where the model of a step is kept, for a training that pauses there."""
    return output_dir / STEPS / f"step-{step}"


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of the model that was saved into a folder; ``None`` where there is none."""
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError):
        return None
    return summary


def finished(output_dir: Path, key: str, pause_at: int | None = None) -> dict[str, Any] | None:
    """The summary of this training where it is finished, or at its pause, so that a job started twice trains once."""
    paused = read_summary(step_folder(output_dir, pause_at)) if pause_at else None
    for summary in (read_summary(output_dir / MODEL), paused):
        if summary is not None and summary.get("key") == key:
            return summary
    return None


def publish(output_dir: Path, summary: dict[str, Any], save: Callable[[Path], None]) -> Path:
    """Save the final model beside its place and rename it there; then the checkpoints to resume from are removed."""
    final = save_whole(output_dir / MODEL, summary, save)
    shutil.rmtree(output_dir / RESUME, ignore_errors=True)
    return final


def save_whole(final: Path, summary: dict[str, Any], save: Callable[[Path], None]) -> Path:
    """Save a model beside its place and rename it there: it is there as a whole or not at all."""
    building = final.with_name(f"{final.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save(building)
    _write_json(building / SUMMARY, summary)
    for path in _files(building):
        path.chmod(0o644)  # safetensors writes for its owner alone; the web process may be another user
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
