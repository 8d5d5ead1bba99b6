"""What every page shows of the people's review."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest

from labeling.pages.queues import waiting_for


def review(request: HttpRequest) -> dict[str, Any]:
    """``review_waiting``: items that wait for this person, counted once, and only where a page draws it."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {"review_waiting": cache(lambda: waiting_for(cast(User, user)))}
