"""What holds for every page: the Content-Security-Policy, plain addresses, and who may open it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from alignment_app.backends import PASSWORD_DUE
from alignment_app.services import people

#: No inline script or style anywhere, nothing from another host. Sockets go to the same host ('self' covers ws).
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
    """Adds the policy to every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class PlainAddressMiddleware:
    """Refuses an address with a NUL character in it, which a database cannot be asked for. The API says so itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        in_query = "%00" in request.META.get("QUERY_STRING", "")
        if (in_query and not request.path.startswith("/api/")) or "\x00" in request.path:
            raise BadRequest("The address holds a character that cannot be looked for.")
        return self.get_response(request)


class RolesMiddleware:
    """Reading needs a role that reads; a one-time password must be replaced first.

    Views marked by ``views.access.for_every_role`` are open to everybody who is logged in. The API asks for itself.
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
        raise PermissionDenied("Your role does not open this page. Ask an admin if you need it.")
