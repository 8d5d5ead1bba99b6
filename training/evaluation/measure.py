"""What a measure of checkpoints is."""

from __future__ import annotations

from typing import ClassVar

from training.domain.metric import Metric


class Measure:
    """Something that is measured on a checkpoint: its metrics, and what they need."""

    key: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    #: Whether the checkpoint before takes part, so that the first checkpoint of a run has none of the metrics.
    needs_previous: ClassVar[bool] = False
