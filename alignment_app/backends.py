"""Password authentication of all entry points: login page, admin and API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from alignment_app.services import people, throttle

PASSWORD_DUE = "password_due"  # session key: logged in with a one-time password


class ThrottledBackend(ModelBackend):
    """Django's authentication by name and password, refused after too many failures."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if not username or password is None:
            return None
        address = address_of(request)
        if throttle.is_shut(username, address):
            raise PermissionDenied
        user = super().authenticate(request, username=username, password=password, **kwargs)
        if user is None:
            throttle.count_failure(username, address)
        else:
            throttle.forget(username, address)
        return user

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session with related data needed by every request, in one query."""
        user = User.objects.select_related("one_time_password").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


@receiver(user_logged_in)
def ask_for_a_password(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Require users with a one-time password to change it first, at every entry point."""
    if people.password_is_one_time(user):
        request.session[PASSWORD_DUE] = True


def address_of(request: HttpRequest | None) -> str:
    """Return the client address as seen by the server; headers are ignored because clients can set them."""
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
