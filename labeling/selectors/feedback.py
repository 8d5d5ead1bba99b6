"""The implementation of :mod:`alignment_app.human_feedback` on labeling queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from alignment_app.models import Response, Run
from labeling.selectors import calibration, corrections
from training.config import RunConfig
from training.domain.drift import Drift
from training.domain.judges import Judge


class QueueFeedback:
    """Blind scores and drift from held-out queues, and the scores that may train a judge."""

    def blind_responses(self, run: Run) -> QuerySet[Response]:
        return calibration.reviewed_blind(run)

    def drift(self, run: Run) -> Drift | None:
        judges = calibration.judges_of_run(run)
        return judges.drift if judges else None

    def training_rows(self, config: RunConfig, judge: Judge) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
        return corrections.sft_rows(config, judge)
