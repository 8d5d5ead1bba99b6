"""Where people work: their queues, and the desk."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from labeling.models import Queue
from labeling.pages import queues
from labeling.pages.markdown import safe_html
from labeling.services.access import can_lead, may_work
from labeling.views.access import for_workers, person_of


@for_workers
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The queues that the reader works in; a lead sees all of them."""
    found = queues.queues_of(person_of(request))
    rows = [{"queue": queue, "source": queues.source_of(queue)} for queue in found]
    return render(request, "labeling/index.html", {"rows": rows, "leads": can_lead(request.user)})


@for_workers
@require_GET
def desk(request: HttpRequest, pk: int) -> HttpResponse:
    """One item after the other, by keyboard. The page asks the API for items."""
    queue = get_object_or_404(Queue.objects.select_related("iteration__run"), pk=pk)
    if not may_work(request.user, queue):
        return render(request, "labeling/not_yours.html", {"queue": queue}, status=403)
    newest = queue.guidelines.first()
    context = {
        "queue": queue,
        "source": queues.source_of(queue),
        "guidelines": safe_html(newest.text) if newest else "",
        "version": newest.number if newest else 0,
        "leads": can_lead(request.user),
        "settings": queues.as_json(queue) | {"person": person_of(request).pk},
        "scores": [str(score) for score in range(6)],
    }
    response = render(request, "labeling/desk.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response
