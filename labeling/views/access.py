"""Access to the review pages by role."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from alignment_app.services import people
from labeling.services.access import can_annotate, can_lead

View = Callable[..., HttpResponse]


def person_of(request: HttpRequest) -> User:
    """The logged-in user. All review pages require a login."""
    return cast(User, request.user)


def for_annotators(view: View) -> View:
    """Allow annotators, leads and admins whose password is not one-time. Others get a 403 page."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if people.password_is_one_time(person_of(request)):
            return redirect("password")
        if not can_annotate(request.user):
            raise PermissionDenied("Your role does not review. Ask an admin for the annotator role.")
        return view(request, *args, **kwargs)

    guarded.for_every_role = True  # type: ignore[attr-defined]  # the role middleware leaves the check to this decorator
    return guarded


def for_leads(view: View) -> View:
    """Allow leads and admins."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not can_lead(request.user):
            raise PermissionDenied("Only a lead opens this page. Ask an admin for the lead role.")
        return view(request, *args, **kwargs)

    return guarded
