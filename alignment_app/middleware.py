"""Middleware of all pages: Content-Security-Policy, URL checks and role checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from alignment_app.backends import PASSWORD_DUE
from alignment_app.services import people

#: No inline scripts or styles, nothing from other hosts. WebSockets connect to the same host ('self' covers ws).
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicyMiddleware:
    """Add the policy to every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class PlainAddressMiddleware:
    """Refuse URLs with a NUL character, which databases do not accept. The API has its own check."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        in_query = "%00" in request.META.get("QUERY_STRING", "")
        if (in_query and not request.path.startswith("/api/")) or "\x00" in request.path:
            raise BadRequest("The URL contains a NUL character.")
        return self.get_response(request)


class RolesMiddleware:
    """Require a role with read access, and replacement of a one-time password.

    Views marked with ``views.access.for_every_role`` are open to all logged-in users. The API has its own check.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        if not request.user.is_authenticated or not getattr(view, "login_required", True):
            return None
        if getattr(view, "for_every_role", False):
            return None
        if request.session.get(PASSWORD_DUE):
            return redirect("password")
        if people.can_read(request.user):
            return None
        if request.path == "/":
            return redirect("queues")
        raise PermissionDenied("Your role cannot open this page. Ask an admin for access.")
