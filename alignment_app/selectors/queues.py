"""The queues as the database knows them."""

from __future__ import annotations

from django.db.models import Q

from alignment_app.models import Stage


def place_in_queue(stage: Stage) -> int:
    """1 for the stage that a free worker of its queue takes next; 0 for a stage that is not queued.

    Read from the database, so it holds while the queue's server is away.
    """
    if stage.status != Stage.Status.QUEUED or stage.queued_at is None:
        return 0
    earlier = Q(queued_at__lt=stage.queued_at) | Q(queued_at=stage.queued_at, pk__lt=stage.pk)
    return 1 + Stage.objects.filter(earlier, status=Stage.Status.QUEUED, queue=stage.queue).count()
