"""Stored comparisons of data sets by content."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class LeakageReport(models.Model):
    """Leakage of one data set, used for evaluation, into another, used for training; computed once per content."""

    evaluation = models.ForeignKey("alignment_app.Dataset", on_delete=models.CASCADE, related_name="leakage_reports")
    training = models.ForeignKey("alignment_app.Dataset", on_delete=models.CASCADE, related_name="+")
    content = models.CharField(max_length=80, help_text="Identifies the rows of both data sets that were compared.")
    result = models.JSONField(null=True, help_text="training.domain.leakage.Leakage; null: not computed yet.")
    asked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("evaluation", "training")
        constraints = [models.UniqueConstraint(fields=("evaluation", "training"), name="leakage_once_a_pair_of_sets")]

    def __str__(self) -> str:
        return f"{self.evaluation_id} in {self.training_id}"
