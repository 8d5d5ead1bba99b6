"""Access control of pages by role."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from alignment_app.services.people import AnyUser

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def for_every_role(view: View) -> View:
    """Allow all roles, also annotators and users without a role. Other pages need a role that can read runs."""
    view.for_every_role = True  # type: ignore[attr-defined]
    return view


def requires(check: Callable[[AnyUser], bool], sentence: str) -> Callable[[View], View]:
    """Allow users for whom ``check`` returns true. Others get the 403 page with ``sentence``."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not check(request.user):
                raise PermissionDenied(sentence)
            return view(request, *args, **kwargs)

        return guarded  # type: ignore[return-value]

    return decorate
