"""The system page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from alignment_app.pages import system as selectors


@require_GET
def system(request: HttpRequest) -> HttpResponse:
    """Show workers, queues, running stages, storage and versions. An htmx request gets only the live part."""
    template = "system/_live.html" if request.headers.get("HX-Request") else "system/system.html"
    return render(request, template, {"system": selectors.system()})
