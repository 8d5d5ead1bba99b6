"""The event log of a run, the source of all live pages."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class RunEvent(models.Model):
    """One event of a run. ``seq`` counts from 1 per run, without gaps.

    :mod:`alignment_app.models.payloads` defines the payload of each kind.
    """

    class Kind(models.TextChoices):
        RUN = "run", "Run"
        STAGE = "stage", "Stage"
        METRICS = "metrics", "Training metrics"
        SAMPLE = "sample", "Sample"
        LOG = "log", "Log"
        GAUGE = "gauge", "Machine gauges"

    run = models.ForeignKey("alignment_app.Run", on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    payload = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("run", "seq")
        constraints = [models.UniqueConstraint(fields=("run", "seq"), name="event_seq_once_in_a_run")]
        indexes = [models.Index(fields=("run", "kind", "seq"), name="event_kind")]
