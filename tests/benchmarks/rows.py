"""The rows of a run as values, and the differences between two runs."""

from __future__ import annotations

import json
from typing import Any


def rows_of(run_id: int) -> dict[str, list[Any]]:
    """Return all rows of a run as values, without database ids and times."""
    from alignment_app.models import (
        Checkpoint,
        DatasetSnapshot,
        IterationPrompt,
        Judgement,
        PreferencePair,
        RejectedPrompt,
        Response,
        Stage,
    )

    def rows(queryset: Any, *fields: str) -> list[Any]:
        return sorted((json.dumps(row, sort_keys=True, default=str) for row in queryset.values_list(*fields)), key=str)

    mine = {"iteration__run": run_id}
    made_by = ("response__prompt__text", "response__purpose", "response__index", "response__iteration__number")
    return {
        "prompts": rows(
            IterationPrompt.objects.filter(**mine), "iteration__number", "role", "position", "prompt__text", "outcome"
        ),
        "removed prompts": rows(
            RejectedPrompt.objects.filter(**mine), "round", "place", "text", "reason", "detail", "rouge_l"
        ),
        "rows of the run": rows(
            Response.objects.filter(prompt__dataset__run=run_id, iteration__isnull=True),
            "prompt__position", "prompt__text", "text",
        ),
        "responses": rows(
            Response.objects.filter(**mine),
            "iteration__number", "prompt__text", "purpose", "source", "checkpoint__number", "index", "text", "seed",
        ),
        "judgements": rows(
            Judgement.objects.filter(**mine),
            "iteration__number", "source", *made_by, "response__text", "samples", "score",
        ),
        "pairs": rows(
            PreferencePair.objects.filter(**mine),
            "iteration__number", "prompt__text", "chosen__text", "rejected__text", "margin", "origin", "state",
        ),
        "snapshots": rows(DatasetSnapshot.objects.filter(**mine), "iteration__number", "content_hash", "row_count"),
        "checkpoints": rows(Checkpoint.objects.filter(run=run_id), "number", "kind", "parent__number"),
        "weights": sorted(
            f"M{checkpoint.number} {file['name']} {file['sha256']}"
            for checkpoint in Checkpoint.objects.filter(run=run_id)
            for file in checkpoint.files
            if file["name"].endswith(".safetensors")
        ),
        "stages": rows(Stage.objects.filter(**mine), "iteration__number", "kind", "status", "done", "total"),
    }  # fmt: skip


def counts(rows: dict[str, list[Any]]) -> str:
    return ", ".join(f"{len(found)} {name}" for name, found in rows.items())


def compare(wanted: dict[str, list[Any]], found: dict[str, list[Any]]) -> list[str]:
    """Return the differences between two runs as sentences; empty if they are equal."""
    lines = []
    for name, rows in wanted.items():
        lost = [row for row in rows if row not in found[name]]
        extra = [row for row in found[name] if row not in rows]
        if len(rows) != len(found[name]) or lost or extra:
            example = f"; for example {str((lost or extra)[0])[:300]}" if lost or extra else ""
            lines.append(f"{name}: {len(rows)} wanted, {len(found[name])} found, {len(lost)} differ{example}")
    return lines
