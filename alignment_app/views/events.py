"""Run events over HTTP, the fallback for WebSockets."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse

from alignment_app.selectors import events
from alignment_app.services.people import can_read


def run_events(request: HttpRequest, run_id: int) -> HttpResponse:
    """Return ``{"events": [...]}``: one page of events after ``?after=n``, in order."""
    if not can_read(request.user):
        return _problem("not-allowed", "Your role cannot read runs. Ask an admin.", 403)
    after = request.GET.get("after", "0")
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        return _problem("bad-cursor", "after must be a whole number, the seq of the last event that you have.", 400)
    if events.last_seq(run_id) is None:
        return _problem("not-found", f"Run {run_id} does not exist.", 404)
    answer = JsonResponse({"events": events.after(run_id, int(after))})
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _problem(code: str, message: str, status: int) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
