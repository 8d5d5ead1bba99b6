"""Job that compares two data sets for leakage; the launch page and the API enqueue it by its dotted name."""

from __future__ import annotations

from alignment_app.models import Dataset
from alignment_app.services import leakage


def compare(evaluation_id: int, training_id: int) -> None:
    """Compare two data sets and store the result; nothing if one of them was removed meanwhile."""
    sets = Dataset.objects.in_bulk([evaluation_id, training_id])
    if evaluation_id in sets and training_id in sets:
        leakage.compare(sets[evaluation_id], sets[training_id])
