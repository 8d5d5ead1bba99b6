"""The documentation's pages, so that the screen can link to what explains it."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alignment_app.pages import manual as selectors


@require_GET
def page(request: HttpRequest, name: str) -> HttpResponse:
    """``docs/NAME.md`` as a page; links between the pages work as they are."""
    found = selectors.page(name)
    if found is None:
        raise Http404(f"The documentation has no page {name!r}.")
    return render(request, "manual/page.html", {"manual": found})
