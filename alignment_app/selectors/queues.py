"""State of the stage queues, from the database."""

from __future__ import annotations

from django.db.models import Q

from alignment_app.models import Stage


def place_in_queue(stage: Stage) -> int:
    """Return the position of a stage in its queue, from 1; 0 if it is not queued.

    Read from the database, so it works without the queue server.
    """
    if stage.status != Stage.Status.QUEUED or stage.queued_at is None:
        return 0
    earlier = Q(queued_at__lt=stage.queued_at) | Q(queued_at=stage.queued_at, pk__lt=stage.pk)
    return 1 + Stage.objects.filter(earlier, status=Stage.Status.QUEUED, queue=stage.queue).count()
