"""What Django's own user table does not hold about people."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class OneTimePassword(models.Model):
    """While this row exists, the person's password was chosen by the system and must be replaced after login."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="one_time_password")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"one-time password of {self.user}"
