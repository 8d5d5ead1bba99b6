"""Accounts in each role."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User

PASSWORD = "a long password"


def person(role: str = "lead", name: str = "") -> User:
    """An account in a role, named after it unless ``name`` says otherwise; an admin is a superuser."""
    users = get_user_model().objects
    if role == "admin":
        return users.create_superuser(name or role, password=PASSWORD)
    user = users.create_user(name or role, password=PASSWORD)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user
