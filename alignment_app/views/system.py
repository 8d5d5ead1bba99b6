"""The page on which one sees whether the machinery runs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alignment_app.pages import system as selectors


@require_GET
def system(request: HttpRequest) -> HttpResponse:
    """Workers, queues, work, storage and versions; a look by htmx gets the part that changes."""
    template = "system/_live.html" if request.headers.get("HX-Request") else "system/system.html"
    return render(request, template, {"system": selectors.system()})
