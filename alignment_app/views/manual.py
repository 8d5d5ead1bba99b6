"""Documentation pages."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alignment_app.pages import manual as selectors


@require_GET
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Show ``docs/NAME.md``. Relative links between pages work."""
    found = selectors.page(name)
    if found is None:
        raise Http404(f"No documentation page {name!r}.")
    return render(request, "manual/page.html", {"manual": found})
