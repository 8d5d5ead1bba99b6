"""Calls to paid teachers, their cost, and provider keys."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from training.domain.engine_kinds import provider_choices


class TeacherCall(models.Model):
    """One attempt at one request to a remote teacher: its token usage, and its text until the stage is finished.

    A resumed stage reuses the stored texts instead of paying again.
    """

    class Outcome(models.TextChoices):
        ANSWERED = "answered", "Answered"
        EMPTY = "empty", "Empty"
        BLOCKED = "blocked", "Blocked"
        LOST = "lost", "Lost"  # sent without a response: counted at its maximum cost

    run = models.ForeignKey("alignment_app.Run", on_delete=models.CASCADE, related_name="teacher_calls")
    attempt = models.ForeignKey("alignment_app.StageAttempt", on_delete=models.CASCADE, related_name="teacher_calls")
    model = models.CharField(max_length=200)
    outcome = models.CharField(max_length=12, choices=Outcome)
    prompt_tokens = models.PositiveBigIntegerField(
        help_text="As counted by the provider; for a lost call, the maximum."
    )
    completion_tokens = models.PositiveBigIntegerField(help_text="Including billed reasoning tokens.")
    cost_usd = models.FloatField(null=True, blank=True, help_text="At the prices of the run's config; null: no prices.")
    request_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the request.")
    seed = models.BigIntegerField(null=True, blank=True)
    text = models.TextField(blank=True, help_text="The response, until the stage is finished.")
    token_count = models.PositiveIntegerField(default=0)
    finish_reason = models.CharField(max_length=12, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("run", "id")
        indexes = [models.Index(fields=("attempt", "request_hash"), name="teacher_call_kept")]


class ProviderKey(models.Model):
    """An encrypted API key of a provider. Sent only to its own address and never shown."""

    name = models.CharField(max_length=60, unique=True, help_text="Name used in configs.")
    provider = models.CharField(max_length=20, choices=provider_choices, help_text="Engine kind that uses the key.")
    base_url = models.CharField(max_length=300, help_text="The only address the key may be sent to.")
    secret = models.TextField(help_text="Encrypted with a key derived from SECRET_KEY.")
    last_four = models.CharField(max_length=4)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(default=timezone.now)
    tested_at = models.DateTimeField(null=True, blank=True)
    test_asked_at = models.DateTimeField(null=True, blank=True)
    test_passed = models.BooleanField(null=True, blank=True)
    test_result = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
