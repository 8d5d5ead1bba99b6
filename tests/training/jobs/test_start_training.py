"""Reasons shown when a training cannot start or continue, and reuse of reference log-probabilities."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from django.conf import LazySettings

from alignment_app.models import Run, RunEvent
from alignment_app.services import artifacts
from tests.support.runs import launch, pairs_config
from training import fitting
from training.trainers import preference

pytestmark = pytest.mark.django_db(transaction=True)


def _logged(run: Run) -> list[str]:
    lines = RunEvent.objects.filter(run=run, kind=RunEvent.Kind.LOG).order_by("seq")
    return [line.payload["text"] for line in lines if "Reference log-probabilities" in line.payload["text"]]


def test_a_second_run_with_the_same_pairs_reuses_reference_log_probabilities(little_student: Path) -> None:
    shutil.rmtree(artifacts.reference_store(), ignore_errors=True)  # other tests train on the same pairs
    first = launch(pairs_config(little_student))
    second = launch(pairs_config(little_student, beta=0.3, loss="sr_dpo"))
    third = launch(pairs_config(little_student, beta=0.5))
    assert {run.status for run in (first, second, third)} == {Run.Status.FINISHED}
    assert _logged(first) == ["Reference log-probabilities: 0 of 12 pairs found, 12 to compute."]
    assert _logged(third) == ["Reference log-probabilities: 12 of 12 pairs found, 0 to compute."]


def test_a_full_disk_fails_the_run_before_training_with_the_space_to_free(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "training_disk_bytes", lambda *_: 10**17)
    run = launch(pairs_config(little_student))
    assert run.status == Run.Status.FAILED
    assert "The training needs about" in run.status_reason
    assert "GiB, or set PLUMBLINE_HOME to a folder on a larger disk; then resume." in run.status_reason


def test_running_out_of_memory_names_settings_that_would_fit(
    little_student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: Any) -> torch.Tensor:
        return torch.empty(10**15)

    monkeypatch.setattr(preference, "summed_logps", too_much)
    run = launch(pairs_config(little_student))
    assert run.status == Run.Status.FAILED
    assert run.status_reason.startswith("The device ran out of memory at step 1.")


@pytest.mark.slow
def test_a_run_trains_in_two_processes_if_the_worker_is_configured_so(
    little_student: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    alone = launch(pairs_config(little_student))
    settings.TRAIN_LAUNCH = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--rdzv_backend=c10d",
        "--rdzv_endpoint=localhost:0",
    ]  # fmt: skip
    together = launch(pairs_config(little_student))
    assert together.status == Run.Status.FINISHED, together.status_reason
    one, other = (run.checkpoints.get(number=2) for run in (alone, together))
    assert other.steps == one.steps
    assert other.metrics["loss"] == pytest.approx(one.metrics["loss"], abs=1e-5)
    assert _logged(together) == ["Reference log-probabilities: 12 of 12 pairs found, 0 to compute."]
