"""A run's log after a cursor."""

from __future__ import annotations

from typing import Any, Final

from alignment_app.models import Run, RunEvent

#: Events in one frame or answer at most; whoever has missed more asks again from the last.
PAGE: Final = 500


def after(run_id: int, cursor: int, limit: int = PAGE) -> list[dict[str, Any]]:
    """Events with ``seq > cursor`` in order, ``limit`` at most: ``{"seq", "kind", "payload", "at"}``."""
    rows = (
        RunEvent.objects.filter(run_id=run_id, seq__gt=cursor)
        .order_by("seq")
        .values_list("seq", "kind", "payload", "created_at")[:limit]
    )
    return [{"seq": seq, "kind": kind, "payload": payload, "at": at.isoformat()} for seq, kind, payload, at in rows]


def last_seq(run_id: int) -> int | None:
    """The number of the run's newest event; ``None``: there is no such run."""
    return Run.objects.filter(pk=run_id).values_list("last_seq", flat=True).first()
