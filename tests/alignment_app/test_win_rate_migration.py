"""Stored win rates of earlier versions get the interval of the paired difference."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from alignment_app.models import Evaluation
from tests.support.stories import Story
from training.domain.intervals import win_rate_interval

pytestmark = pytest.mark.django_db


def test_the_interval_is_recomputed_from_the_stored_counts() -> None:
    run = Story.launch(prompts={"dataset": "story-prompts", "count": 8}).to_the_end().run
    first, second = run.checkpoints.get(number=1).evaluation, run.checkpoints.get(number=2).evaluation
    before = first.metrics
    second.metrics |= {"win": 38, "tie": 151, "lose": 11, "win_rate": 0.5675, "win_low": 0.498, "win_high": 0.634}
    second.save()
    import_module("alignment_app.migrations.0023_win_rate_intervals").recompute(apps, None)
    metrics = Evaluation.objects.get(pk=second.pk).metrics
    assert (metrics["win_low"], metrics["win_high"]) == win_rate_interval(38, 151, 11)
    assert metrics["win_rate"] == 0.5675
    assert Evaluation.objects.get(pk=first.pk).metrics == before  # was not compared
