"""Progress of the review that a run waits for."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery, Sum
from django.dispatch import receiver

from alignment_app.models import Iteration, Stage
from alignment_app.services import events
from alignment_app.signals import review_counts_due
from labeling.models import Queue
from training.plan import REVIEW


@receiver(review_counts_due)
def update_review_counts(iteration: Iteration | None = None, **kwargs: Any) -> None:
    """Store the number of reviewed pairs on every waiting review stage, or on the iteration's.

    Each change is published to the run's page.
    """
    queues = Queue.objects.filter(iteration=OuterRef("iteration"), kind=Queue.Kind.PAIR, held_out=False).order_by()
    reviewed = queues.values("iteration").annotate(done=Sum("done_count")).values("done")
    waiting = Stage.objects.filter(kind=REVIEW.kind, status=Stage.Status.WAITING)
    if iteration is not None:
        waiting = waiting.filter(iteration=iteration)
    for stage in waiting.select_related("iteration").annotate(reviewed=Subquery(reviewed)):
        done = min(stage.total, stage.reviewed or 0)
        if done == stage.done:
            continue
        with transaction.atomic():
            if Stage.objects.filter(pk=stage.pk, status=Stage.Status.WAITING).update(done=done):
                stage.done = done
                events.stage_changed(stage)
