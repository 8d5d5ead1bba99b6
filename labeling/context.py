"""Template context of the review for every page."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest

from labeling.pages.queues import waiting_for


def review(request: HttpRequest) -> dict[str, Any]:
    """Add ``review_waiting``: number of items that wait for the user, counted only if a template uses it."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {}
    return {"review_waiting": cache(lambda: waiting_for(cast(User, user)))}
