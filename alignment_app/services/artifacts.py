"""Frozen training sets and checkpoints: files in the data folder and their database rows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError

from alignment_app.models import (
    Checkpoint,
    Comparison,
    DatasetSnapshot,
    Evaluation,
    Iteration,
    IterationPrompt,
    Judgement,
    PairMargin,
    PreferencePair,
    Response,
    Run,
    SnapshotItem,
    StageAttempt,
    StepComparison,
)
from alignment_app.services.errors import Refused
from alignment_app.services.stages import leased
from training.domain.margins import MeasuredPair, margin_figures


class EmptyTrainingSet(ValueError):
    """There are no rows to freeze. No snapshot is stored, so a later attempt can still freeze one."""


def resolve(location: str) -> str:
    """Return the absolute path of a checkpoint's location; hub model names are returned unchanged."""
    inside = settings.HOME / location
    return str(inside) if not Path(location).is_absolute() and inside.exists() else os.path.expanduser(location)


def run_folder(run_id: int) -> Path:
    """Return the folder of a run's files."""
    return Path(settings.HOME) / "runs" / str(run_id)


def converted_models() -> Path:
    """Return the folder of checkpoints converted from GGUF files. It can be deleted at any time."""
    return Path(settings.HOME) / "converted-models"


def reference_store() -> Path:
    """Return the folder of cached reference log-probabilities. It can be deleted at any time."""
    return Path(settings.HOME) / "reference-logps"


def freeze(
    attempt: StageAttempt, iteration: Iteration, kind: str, rows: Iterable[tuple[dict[str, Any], dict[str, int]]]
) -> DatasetSnapshot:
    """Write an iteration's training set to a file named by its content hash, and record its rows.

    If the iteration already has a snapshot, return that one.

    ``rows`` are tuples of a JSON row and {"pair_id", "response_id" or "judgement_id": id}.
    Raises :class:`EmptyTrainingSet` when there are no rows.
    """
    existing = DatasetSnapshot.objects.filter(iteration=iteration).first()
    if existing:
        return existing
    folder = Path(settings.HOME) / "snapshots"
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    items: list[dict[str, int]] = []
    with tempfile.NamedTemporaryFile("wb", dir=folder, delete=False) as file:
        for row, source in rows:
            line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"
            digest.update(line)
            file.write(line)
            items.append(source)
        file.flush()
        os.fsync(file.fileno())
    if not items:
        os.unlink(file.name)
        raise EmptyTrainingSet("The training set would be empty.")
    final = folder / f"{digest.hexdigest()}.jsonl"
    os.replace(file.name, final)
    with leased(attempt):
        snapshot = DatasetSnapshot.objects.create(
            iteration=iteration,
            kind=kind,
            content_hash=digest.hexdigest(),
            path=str(final.relative_to(settings.HOME)),
            row_count=len(items),
        )
        SnapshotItem.objects.bulk_create(
            (SnapshotItem(snapshot=snapshot, position=position, **source) for position, source in enumerate(items)),
            batch_size=500,
        )
    return snapshot


def read_snapshot(snapshot: DatasetSnapshot) -> list[dict[str, Any]]:
    """Return the frozen rows. Raises :class:`ValueError` when the file is missing or was changed."""
    path = Path(settings.HOME) / snapshot.path
    if not path.is_file():
        raise ValueError(f"The training set {path} is missing. Restore it, or clone the run and start again.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != snapshot.content_hash:
        raise ValueError(f"The training set {path} was changed after it was frozen. Clone the run and start again.")
    return [json.loads(line) for line in content.splitlines()]


def file_list(folder: Path) -> list[dict[str, Any]]:
    """Return name, size in bytes and SHA-256 of every file of a saved model."""
    listed = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        listed.append({"name": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": digest})
    return listed


def record_ift_model(attempt: StageAttempt, iteration: Iteration, folder: Path) -> None:
    """Record the location of the model fine-tuned on instruction data only, which is not a checkpoint."""
    with leased(attempt):
        iteration.ift_location = str(folder.relative_to(settings.HOME))
        iteration.save(update_fields=["ift_location"])


def register_checkpoint(
    attempt: StageAttempt,
    iteration: Iteration,
    *,
    kind: str,
    folder: Path,
    reference: Checkpoint | None,
    steps: int,
    seconds: float,
    metrics: dict[str, Any],
) -> Checkpoint:
    """Record the model that a training stage saved in ``folder``."""
    files = file_list(folder)
    run = iteration.run
    with leased(attempt):
        checkpoint, _ = Checkpoint.objects.update_or_create(
            run=run,
            number=iteration.number + 1,
            defaults={
                "iteration": iteration,
                "kind": kind,
                "parent": iteration.input_checkpoint,
                "reference": reference,
                "snapshot": DatasetSnapshot.objects.get(iteration=iteration),
                "config_hash": run.config_hash,
                "location": str(folder.relative_to(settings.HOME)),
                "files": files,
                "metrics": metrics,
                "steps": steps,
                "train_seconds": seconds,
            },
        )
    return checkpoint


def save_margins(
    attempt: StageAttempt, checkpoint: Checkpoint, measured: Mapping[str, Sequence[tuple[int, MeasuredPair]]]
) -> None:
    """Save a checkpoint's pair margins, (pair id, margin) by part, and the metrics of each part."""
    rows = [
        PairMargin(
            checkpoint=checkpoint,
            pair_id=pair_id,
            part=part,
            chosen_log_ratio=pair.chosen_log_ratio,
            rejected_log_ratio=pair.rejected_log_ratio,
            margin=pair.margin,
            augmented_margin=pair.augmented_margin,
            score_difference=pair.score_difference,
        )
        for part, pairs in measured.items()
        for pair_id, pair in pairs
    ]
    figures = {part: asdict(margin_figures([pair for _, pair in pairs])) for part, pairs in measured.items() if pairs}
    with leased(attempt):
        checkpoint.pair_margins.all().delete()
        PairMargin.objects.bulk_create(rows, batch_size=500)
        checkpoint.metrics = {**checkpoint.metrics, "margins": figures}
        checkpoint.save(update_fields=["metrics"])


def delete_run_rows(run: Run) -> None:
    """Delete a run's rows, dependent rows first, and its files after the commit.

    Raises :class:`Refused` when another run uses prompts generated by this run.
    """
    folder = run_folder(run.pk)
    snapshots = list(DatasetSnapshot.objects.filter(iteration__run=run).values_list("path", "content_hash"))
    Comparison.objects.filter(evaluation__checkpoint__run=run).delete()
    Evaluation.objects.filter(checkpoint__run=run).delete()
    PairMargin.objects.filter(checkpoint__run=run).delete()
    SnapshotItem.objects.filter(snapshot__iteration__run=run).delete()
    PreferencePair.objects.filter(iteration__run=run).delete()
    StepComparison.objects.filter(iteration__run=run).delete()
    Judgement.objects.filter(iteration__run=run).delete()
    Response.objects.filter(iteration__run=run).delete()
    IterationPrompt.objects.filter(iteration__run=run).delete()
    Iteration.objects.filter(run=run).update(input_checkpoint=None)
    Checkpoint.objects.filter(run=run).update(snapshot=None)
    try:
        run.delete()
    except ProtectedError:
        raise Refused("in_use", "Another run uses prompts generated by this run. Remove that run first.") from None
    still_used = set(
        DatasetSnapshot.objects.filter(content_hash__in=[digest for _, digest in snapshots]).values_list(
            "path", flat=True
        )
    )

    def remove_files() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for path, _ in snapshots:
            if path not in still_used:
                (Path(settings.HOME) / path).unlink(missing_ok=True)

    transaction.on_commit(remove_files)
