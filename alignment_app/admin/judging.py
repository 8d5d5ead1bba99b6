"""Judge versions, judges, teacher calls and provider keys."""

from __future__ import annotations

from django.contrib import admin

from alignment_app.admin.base import RecordAdmin
from alignment_app.models import Judge, JudgeVersion, ProviderKey, TeacherCall


@admin.register(JudgeVersion)
class JudgeVersionAdmin(RecordAdmin):
    list_display = ("id", "name", "version", "kind", "created_by", "created_at")
    list_filter = ("kind",)
    list_select_related = ("created_by",)
    words = ("name__icontains", "content_hash__startswith")


@admin.register(Judge)
class JudgeAdmin(RecordAdmin):
    list_display = ("id", "label", "kind", "purpose", "run", "checkpoint", "person", "template", "template_version")
    list_filter = ("kind", "purpose")
    list_select_related = ("run", "checkpoint", "person")
    numbers = {"run": "run", "checkpoint": "checkpoint", "person": "person"}
    words = ("label__icontains", "template__icontains")


@admin.register(TeacherCall)
class TeacherCallAdmin(RecordAdmin):
    list_display = ("id", "run", "model", "outcome", "prompt_tokens", "completion_tokens", "cost_usd", "created_at")
    list_filter = ("outcome",)
    list_select_related = ("run",)
    numbers = {"run": "run", "attempt": "attempt"}
    words = ("model__icontains",)


@admin.register(ProviderKey)
class ProviderKeyAdmin(RecordAdmin):
    """Without the encrypted secret."""

    list_display = ("id", "name", "provider", "base_url", "last_four", "made_by", "made_at", "test_passed")
    list_filter = ("provider",)
    list_select_related = ("made_by",)
    words = ("name__icontains",)
    exclude = ("secret",)
