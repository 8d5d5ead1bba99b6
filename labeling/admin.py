"""Read-only admin pages of the labeling tables."""

from __future__ import annotations

from django.contrib import admin

from alignment_app.admin.base import RecordAdmin
from labeling.models import Assignment, GuidelineVersion, Queue, Review, Task


@admin.register(Queue)
class QueueAdmin(RecordAdmin):
    list_display = ("id", "name", "kind", "order", "overlap", "done_count", "task_count", "is_open", "created_at")
    list_filter = ("kind", "is_open")
    numbers = {"iteration": "iteration", "dataset": "dataset"}


@admin.register(GuidelineVersion)
class GuidelineVersionAdmin(RecordAdmin):
    list_display = ("id", "queue", "number", "created_by", "created_at")
    list_select_related = ("queue", "created_by")
    numbers = {"queue": "queue"}


@admin.register(Task)
class TaskAdmin(RecordAdmin):
    list_display = ("id", "queue", "rank", "state", "answers", "agreement", "flagged", "settled_by")
    list_select_related = ("queue",)
    numbers = {"queue": "queue", "pair": "pair", "prompt": "prompt"}


@admin.register(Assignment)
class AssignmentAdmin(RecordAdmin):
    list_display = ("id", "task_id", "person", "state", "lease_expires_at", "shown_at", "swapped", "prefilled")
    list_select_related = ("person",)
    numbers = {"queue": "queue", "task": "task", "person": "person"}


@admin.register(Review)
class ReviewAdmin(RecordAdmin):
    list_display = ("id", "task_id", "author", "decision", "score", "in_force", "adjudication", "late", "created_at")
    list_filter = ("decision",)
    numbers = {"queue": "queue", "task": "task", "person": "person"}
