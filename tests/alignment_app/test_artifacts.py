"""Outputs of a run: frozen sets are never empty, and removing a run deletes all of them."""

from __future__ import annotations

import pytest
from django.conf import settings

from alignment_app.models import Dataset, DatasetSnapshot, IterationPrompt, Prompt, Run, StageAttempt
from alignment_app.services import artifacts, rows, runs, stages
from tests.support.stages import claim, launch_queued, queued_config
from training.domain.rows import PromptDraft

pytestmark = pytest.mark.django_db


def test_a_run_that_wrote_its_own_prompts_can_be_removed() -> None:
    run = launch_queued()
    attempt = claim(run)
    iteration = run.iterations.get(number=1)
    rows.save_generated_prompts(attempt, iteration, [PromptDraft("Name a fish that swims upstream.")])
    stages.fail(attempt, "enough", StageAttempt.Reason.ERROR)
    runs.remove(run)
    assert not Run.objects.exists()
    assert not IterationPrompt.objects.exists()
    assert list(Dataset.objects.values_list("name", flat=True)) == ["questions"]
    assert Prompt.objects.count() == 2


def test_an_empty_training_set_is_not_frozen_so_that_a_later_try_can_hold_rows() -> None:
    Dataset.objects.create(name="pairs", kind=Dataset.Kind.PREFERENCES)
    run = runs.launch(queued_config(pairs={"from_dataset": "pairs"}))
    stages.finish(claim(run))
    attempt = claim(run)
    iteration = run.iterations.get(number=1)
    with pytest.raises(artifacts.EmptyTrainingSet):
        artifacts.freeze(attempt, iteration, "preference", [])
    assert not DatasetSnapshot.objects.exists()
    assert not list((settings.HOME / "snapshots").glob("tmp*"))
    snapshot = artifacts.freeze(attempt, iteration, "preference", [({"prompt": []}, {})])
    assert snapshot.row_count == 1
