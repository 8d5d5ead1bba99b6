"""A grid of runs that were asked for as one thing."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class Study(models.Model):
    """One or two fields of a config with their values, and a run for each combination."""

    name = models.CharField(max_length=120)
    config = models.JSONField(help_text="The config that the fields vary on, every field present.")
    preset = models.CharField(max_length=80, blank=True)
    axes = models.JSONField(help_text='[{"field": "training.lam", "values": [0, 0.1]}]: the x axis first.')
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
    """A run's place in its study."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="places")
    run = models.OneToOneField("alignment_app.Run", on_delete=models.CASCADE, related_name="study_place")
    position = models.PositiveSmallIntegerField()
    values = models.JSONField(help_text="In the order of the study's axes.")

    class Meta:
        ordering = ("study", "position")
        constraints = [models.UniqueConstraint(fields=("study", "position"), name="study_position_once")]
