"""Changes to a data set as a whole."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from alignment_app.models import Dataset, PreferencePair, Run
from alignment_app.services.errors import Refused
from training.config import datasets


@transaction.atomic
def remove(dataset: Dataset, *, user: Any = None) -> None:
    """Delete a data set with its rows. Raises :class:`Refused` while a run uses any of them or is about to."""
    if dataset.run_id:
        raise Refused("of-a-run", f"The run {dataset.run_id} made this data set. It goes when that run is removed.")
    for run in Run.objects.exclude(status__in=(Run.Status.FINISHED, Run.Status.CANCELLED)).only("id", "config"):
        if any(dataset.name in named.names for named in datasets(run.typed_config)):
            raise Refused("in-use", f"The run {run.pk} needs this data set. Cancel or remove that run first.")
    used = PreferencePair.objects.filter(prompt__dataset=dataset, iteration__isnull=False).first()
    if used and used.iteration:
        raise Refused("in-use", f"The run {used.iteration.run_id} has pairs of this data set. Remove that run first.")
    try:
        dataset.delete()
    except ProtectedError:
        raise Refused("in-use", "A run has used rows of this data set. Remove that run first.") from None
