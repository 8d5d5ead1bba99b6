"""Comparisons between checkpoints of one training run, for early stopping."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class StepCheck(models.Model):
    """The comparison of one training step with the previous checked step on validation prompts, and the decision."""

    class Decision(models.TextChoices):
        FIRST = "first", "First"  # no earlier step to compare with
        GO_ON = "go_on", "Goes on"
        UNDECIDED = "undecided", "Says nothing"
        STOP = "stop", "Stops"

    iteration = models.ForeignKey("alignment_app.Iteration", on_delete=models.CASCADE, related_name="step_checks")
    step = models.PositiveIntegerField()
    against_step = models.PositiveIntegerField(null=True, blank=True)
    judge = models.ForeignKey("alignment_app.Judge", on_delete=models.RESTRICT, related_name="step_checks")
    wins = models.PositiveIntegerField(default=0)
    ties = models.PositiveIntegerField(default=0)
    losses = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(
        default=0, help_text="Prompts with an unparsed reply; not counted as win, tie or loss."
    )
    decision = models.CharField(max_length=10, choices=Decision)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("iteration", "step")
        constraints = [models.UniqueConstraint(fields=("iteration", "step"), name="step_check_once")]

    def __str__(self) -> str:
        return f"step {self.step} of {self.iteration}"


class StepComparison(models.Model):
    """Two steps' answers to one validation prompt, judged in both orders.

    ``outcome`` is from the later step's point of view.
    """

    iteration = models.ForeignKey("alignment_app.Iteration", on_delete=models.CASCADE, related_name="step_comparisons")
    step = models.PositiveIntegerField()
    prompt = models.ForeignKey("alignment_app.Prompt", on_delete=models.PROTECT, related_name="+")
    response = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    against = models.ForeignKey("alignment_app.Response", on_delete=models.CASCADE, related_name="+")
    verdict_first = models.CharField(max_length=10, help_text="Newer answer shown first: first, second, tie, unparsed.")
    verdict_second = models.CharField(max_length=10, help_text="Newer answer shown second.")
    raw_first = models.TextField(blank=True, help_text="The judge's reply with the newer answer shown first.")
    raw_second = models.TextField(blank=True)
    outcome = models.CharField(max_length=4, choices=(("win", "Win"), ("tie", "Tie"), ("lose", "Lose")))

    class Meta:
        ordering = ("iteration", "step", "id")
        constraints = [models.UniqueConstraint(fields=("iteration", "step", "prompt"), name="step_comparison_once")]
