"""The judges that people add: a prompt, a parser and a version each, as data."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class JudgeVersion(models.Model):
    """One version of a judge. It never changes: an edit makes the next one. Runs keep what they used themselves."""

    class Kind(models.TextChoices):
        SCORE = "score", "Scores a response"
        COMPARISON = "comparison", "Compares two responses"

    name = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    document = models.TextField(help_text="YAML, as it was typed.")
    content_hash = models.CharField(max_length=64, help_text="SHA-256 over kind, prompt and parser.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "-version")
        constraints = [models.UniqueConstraint(fields=("name", "version"), name="judge_version_once")]

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}"
