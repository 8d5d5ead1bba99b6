"""The log of exports: what was exported, by whom and when."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from alignment_app.export_formats import EXPORT_FORMATS, format_choices


class Export(models.Model):
    """One export: its selection and, once complete, its row count and content hash."""

    class Kind(models.TextChoices):
        PROMPTS = "prompts", "Prompts"
        PAIRS = "pairs", "Preference pairs"
        RESPONSES = "responses", "Responses"
        JUDGEMENTS = "judgements", "Judgements"

    kind = models.CharField(max_length=12, choices=Kind)
    format = models.CharField(max_length=8, choices=format_choices)
    selection = models.JSONField(default=dict, help_text="The selection, as options of the command export_data.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    author = models.CharField(max_length=150, help_text="Account name at the time of the export, or the command line.")
    row_count = models.PositiveIntegerField(null=True, blank=True, help_text="Null: the export did not complete.")
    content_hash = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the rows as JSON Lines, equal for all formats."
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.kind} by {self.author}"

    @property
    def file_name(self) -> str:
        found = EXPORT_FORMATS.get(self.format)
        extension = found.extension if found else self.format
        return f"plumbline-{self.kind}-{self.pk}.{extension}"
