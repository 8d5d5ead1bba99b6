"""The list of queues and the desk."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from labeling.models import Queue
from labeling.pages import queues
from labeling.pages.markdown import safe_html
from labeling.services.access import can_lead, can_work_in
from labeling.views.access import for_annotators, person_of


@for_annotators
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the queues that the user may open."""
    visible = queues.queues_of(person_of(request))
    rows = [{"queue": queue, "source": queues.source_of(queue)} for queue in visible]
    return render(request, "labeling/index.html", {"rows": rows, "leads": can_lead(request.user)})


@for_annotators
@require_GET
def desk(request: HttpRequest, pk: int) -> HttpResponse:
    """The desk: annotate the items of a queue. The page loads items from the API."""
    queue = get_object_or_404(Queue.objects.select_related("iteration__run"), pk=pk)
    if not can_work_in(request.user, queue):
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
