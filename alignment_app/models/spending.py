"""What a paid teacher was asked and what that cost, and the keys that pay for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from training.domain.engine_kinds import provider_choices


class TeacherCall(models.Model):
    """One try at one request to a remote teacher: what it used, and its text until the stage is done.

    A stage that goes on takes the texts that are here instead of paying for them again.
    """

    class Outcome(models.TextChoices):
        ANSWERED = "answered", "Answered"
        EMPTY = "empty", "Empty"
        BLOCKED = "blocked", "Blocked"
        LOST = "lost", "Lost"  # sent, and nothing came back: counted at its worst case

    run = models.ForeignKey("alignment_app.Run", on_delete=models.CASCADE, related_name="teacher_calls")
    attempt = models.ForeignKey("alignment_app.StageAttempt", on_delete=models.CASCADE, related_name="teacher_calls")
    model = models.CharField(max_length=200)
    outcome = models.CharField(max_length=12, choices=Outcome)
    prompt_tokens = models.PositiveBigIntegerField(help_text="As the provider counted; of a lost call, the most.")
    completion_tokens = models.PositiveBigIntegerField(help_text="Thoughts included, as they are billed.")
    cost_usd = models.FloatField(null=True, blank=True, help_text="At the run's stated prices; null: none stated.")
    request_hash = models.CharField(max_length=64, blank=True, help_text="SHA-256 of all that the request says.")
    seed = models.BigIntegerField(null=True, blank=True)
    text = models.TextField(blank=True, help_text="What came back, until the stage that asked is done.")
    token_count = models.PositiveIntegerField(default=0)
    finish_reason = models.CharField(max_length=12, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("run", "id")
        indexes = [models.Index(fields=("attempt", "request_hash"), name="teacher_call_kept")]


class ProviderKey(models.Model):
    """A key of a provider, encrypted. It is sent to its own address alone and shown to nobody."""

    name = models.CharField(max_length=60, unique=True, help_text="What a config calls it.")
    provider = models.CharField(max_length=20, choices=provider_choices, help_text="The kind of engine that sends it.")
    base_url = models.CharField(max_length=300, help_text="The one address that it may be sent to.")
    secret = models.TextField(help_text="Encrypted by a key that follows from SECRET_KEY.")
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
