"""Operations on whole data sets."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from alignment_app.models import Dataset, PreferencePair, Run
from alignment_app.services.errors import Refused
from training.config import datasets


@transaction.atomic
def remove(dataset: Dataset, *, user: Any = None) -> None:
    """Delete a data set with its rows. Raises :class:`Refused` when a run uses or will use its rows."""
    if dataset.run_id:
        raise Refused("of-a-run", f"Run {dataset.run_id} made this data set. Remove the run to delete it.")
    for run in Run.objects.exclude(status__in=(Run.Status.FINISHED, Run.Status.CANCELLED)).only("id", "config"):
        if any(dataset.name in named.names for named in datasets(run.typed_config)):
            raise Refused("in-use", f"Run {run.pk} needs this data set. Cancel or remove the run first.")
    used = PreferencePair.objects.filter(prompt__dataset=dataset, iteration__isnull=False).first()
    if used and used.iteration:
        raise Refused("in-use", f"Run {used.iteration.run_id} uses pairs of this data set. Remove the run first.")
    try:
        dataset.delete()
    except ProtectedError:
        raise Refused("in-use", "A run uses rows of this data set. Remove the run first.") from None
