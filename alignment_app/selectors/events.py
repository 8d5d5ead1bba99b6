"""Events of a run after a cursor."""

from __future__ import annotations

from typing import Any, Final

from alignment_app.models import Run, RunEvent

#: Maximum number of events per frame or API response; request the rest with the last ``seq`` as cursor.
PAGE: Final = 500


def after(run_id: int, cursor: int, limit: int = PAGE) -> list[dict[str, Any]]:
    """Return events with ``seq > cursor`` in order, at most ``limit``: ``{"seq", "kind", "payload", "at"}``."""
    rows = (
        RunEvent.objects.filter(run_id=run_id, seq__gt=cursor)
        .order_by("seq")
        .values_list("seq", "kind", "payload", "created_at")[:limit]
    )
    return [{"seq": seq, "kind": kind, "payload": payload, "at": at.isoformat()} for seq, kind, payload, at in rows]


def last_seq(run_id: int) -> int | None:
    """Return the sequence number of the run's newest event; ``None`` if the run does not exist."""
    return Run.objects.filter(pk=run_id).values_list("last_seq", flat=True).first()
