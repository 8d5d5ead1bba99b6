"""Snapshots, checkpoints, evaluations, comparisons and exports."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from alignment_app.admin.base import RecordAdmin, export_actions, short
from alignment_app.models import (
    Checkpoint,
    Comparison,
    DatasetSnapshot,
    Evaluation,
    Export,
    LeakageReport,
    PairMargin,
    PreferencePair,
    Response,
    SnapshotItem,
)


def _pairs_of_snapshots(snapshots: QuerySet[Any]) -> QuerySet[Any]:
    items = SnapshotItem.objects.filter(snapshot__in=snapshots.values("pk"))
    return PreferencePair.objects.filter(pk__in=items.values("pair"))


def _targets_of_snapshots(snapshots: QuerySet[Any]) -> QuerySet[Any]:
    items = SnapshotItem.objects.filter(snapshot__in=snapshots.values("pk"))
    return Response.objects.filter(pk__in=items.values("response"))


@admin.register(DatasetSnapshot)
class DatasetSnapshotAdmin(RecordAdmin):
    list_display = ("id", "iteration", "kind", "row_count", "hash_start", "stale_reason", "created_at")
    list_filter = ("kind",)
    list_select_related = ("iteration",)
    numbers = {"run": "iteration__run", "iteration": "iteration"}
    words = ("content_hash__startswith",)
    actions = [*export_actions("pairs", _pairs_of_snapshots), *export_actions("responses", _targets_of_snapshots)]

    @admin.display(description="Hash")
    def hash_start(self, snapshot: DatasetSnapshot) -> str:
        return snapshot.content_hash[:12]


@admin.register(SnapshotItem)
class SnapshotItemAdmin(RecordAdmin):
    list_display = ("id", "snapshot_number", "position", "pair_number", "response_number")
    numbers = {"snapshot": "snapshot", "pair": "pair", "response": "response"}

    @admin.display(description="Snapshot")
    def snapshot_number(self, item: SnapshotItem) -> int:
        return item.snapshot_id

    @admin.display(description="Pair")
    def pair_number(self, item: SnapshotItem) -> int | None:
        return item.pair_id

    @admin.display(description="Response")
    def response_number(self, item: SnapshotItem) -> int | None:
        return item.response_id


@admin.register(Checkpoint)
class CheckpointAdmin(RecordAdmin):
    list_display = ("id", "name", "run", "kind", "parent", "steps", "train_seconds", "created_at")
    list_filter = ("kind",)
    list_select_related = ("run", "parent")
    numbers = {"run": "run"}
    words = ("location__icontains", "config_hash__startswith")


@admin.register(Evaluation)
class EvaluationAdmin(RecordAdmin):
    list_display = ("id", "checkpoint", "against", "judge", "prompt_count", "created_at")
    list_select_related = ("checkpoint", "against", "judge")
    numbers = {"run": "checkpoint__run", "checkpoint": "checkpoint"}
    words = ("judge__label__icontains",)


@admin.register(Comparison)
class ComparisonAdmin(RecordAdmin):
    list_display = ("id", "evaluation_number", "first_words", "verdict_first", "verdict_second", "outcome")
    list_filter = ("outcome",)
    list_select_related = ("prompt",)
    numbers = {"evaluation": "evaluation", "prompt": "prompt"}

    @admin.display(description="Evaluation")
    def evaluation_number(self, comparison: Comparison) -> int:
        return comparison.evaluation_id

    @admin.display(description="Prompt")
    def first_words(self, comparison: Comparison) -> str:
        return short(comparison.prompt.text)


@admin.register(Export)
class ExportAdmin(RecordAdmin):
    list_display = ("id", "kind", "format", "author", "row_count", "content_hash", "created_at", "finished_at")
    list_filter = ("kind", "format")
    words = ("author__icontains", "content_hash__startswith")


@admin.register(LeakageReport)
class LeakageReportAdmin(RecordAdmin):
    list_display = ("id", "evaluation", "training", "asked_at")
    list_select_related = ("evaluation", "training")


@admin.register(PairMargin)
class PairMarginAdmin(RecordAdmin):
    list_display = ("id", "checkpoint", "part", "pair_number", "margin", "augmented_margin", "score_difference")
    list_filter = ("part",)
    list_select_related = ("checkpoint",)
    numbers = {"run": "checkpoint__run", "checkpoint": "checkpoint", "pair": "pair"}

    @admin.display(description="Pair")
    def pair_number(self, margin: PairMargin) -> int:
        return margin.pair_id
