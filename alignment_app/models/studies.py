"""Studies: a grid of runs launched together."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Study(models.Model):
    """A study: one or two config fields with their values, and one run per combination."""

    name = models.CharField(max_length=120)
    config = models.JSONField(help_text="The common config, with every field.")
    preset = models.CharField(max_length=80, blank=True)
    axes = models.JSONField(help_text='[{"field": "training.lam", "values": [0, 0.1]}]: x axis first.')
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="studies"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("-created_at", "-id")
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return f"{self.name} (study {self.pk})"


class StudyRun(models.Model):
    """The position of a run in its study."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="places")
    run = models.OneToOneField("alignment_app.Run", on_delete=models.CASCADE, related_name="study_place")
    position = models.PositiveSmallIntegerField()
    values = models.JSONField(help_text="Values in the order of the study's axes.")

    class Meta:
        ordering = ("study", "position")
        constraints = [models.UniqueConstraint(fields=("study", "position"), name="study_position_once")]
