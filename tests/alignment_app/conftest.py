"""Users and HTTP clients for page tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client


@pytest.fixture
def as_role(db: None) -> Callable[[str], Client]:
    """Return a client logged in with the given role; the user name is the role's."""

    from django.contrib.auth.models import Group, User
    from django.test import Client

    def log_in(role: str) -> Client:
        user, _ = User.objects.get_or_create(username=role)
        if role == "admin":
            user.is_superuser = user.is_staff = True
            user.save()
        elif role != "nobody":
            user.groups.add(Group.objects.get_or_create(name=role)[0])
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture(autouse=True)
def _no_memory_between_tests() -> None:
    """Clear the cache between tests."""
    from django.core.cache import cache

    cache.clear()
