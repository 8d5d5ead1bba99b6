"""What the tests of every door share: a config that can be launched, and people in each role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User

from alignment_app.services.imports import import_rows


def small_config(folder: Path, **changes: Any) -> dict[str, Any]:
    """A config whose data sets and model folder exist."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    import_rows("ift", "demonstrations", [{"prompt": "p", "response": "r"}])
    import_rows("prompts", "prompts", [{"prompt": f"prompt {number}"} for number in range(4)])
    return {
        "name": "Small",
        "paradigm": "self_reward",
        "iterations": 1,
        "student": {"model": str(model)},
        "sft": {"datasets": ["ift"]},
        "prompts": {"dataset": "prompts", "count": 2},
        "evaluation": {"dataset": "prompts", "count": 2},
        **changes,
    }


def person(role: str) -> User:
    """An account in a role; an admin is a superuser."""
    users = get_user_model().objects
    if role == "admin":
        return users.create_superuser(role, password="a long password")
    user = users.create_user(role, password="a long password")
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user
