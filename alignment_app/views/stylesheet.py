"""The stylesheet of all pages."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse

from alignment_app.stylesheet import stylesheet

FOR_EVER = "public, max-age=31536000, immutable"


@login_not_required
def joined(request: HttpRequest, digest: str) -> HttpResponse:
    """Return the joined stylesheet. A request with an outdated digest is not cached."""
    text, current = stylesheet()
    keep = FOR_EVER if digest == current else "no-cache"
    return HttpResponse(text, content_type="text/css; charset=utf-8", headers={"Cache-Control": keep})
