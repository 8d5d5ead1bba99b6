"""Start a training in this process or in several, after checking disk space and memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

from alignment_app.services import artifacts, events
from training import fitting
from training.config import PreferenceConfig, SFTConfig
from training.hardware import Hardware
from training.jobs.stage_work import CannotContinue, StageWork
from training.jobs.tracking import Tracking
from training.trainers import launch
from training.trainers.preference import train_preference
from training.trainers.results import OutOfMemory, TrainingError, TrainResult
from training.trainers.sft import train_sft


def start_training(
    job: StageWork,
    kind: Literal["sft", "preference"],
    rows: Sequence[Mapping[str, Any]],
    config: SFTConfig | PreferenceConfig,
    *,
    model: str,
    output_dir: Path,
    section: fitting.Section,
    **arguments: Any,
) -> TrainResult:
    """Train in this process, or in the processes that ``PLUMBLINE_TRAIN_LAUNCH`` starts.

    ``section`` names the part of the run's config that holds ``config``; ``arguments`` are passed to the trainer.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output_dir).free
    if problem := fitting.missing_disk(job.config, section, model, output_dir, free):
        raise CannotContinue(problem)
    common = {"model": model, "output_dir": output_dir, **job.student_limits, **arguments}
    if kind == "sft":
        common["section"] = section
    else:
        common |= {"store": artifacts.reference_store(), "say": lambda text: events.log(job.run.pk, text)}
    try:
        if settings.TRAIN_LAUNCH:
            return launch.train(kind, rows, launcher=settings.TRAIN_LAUNCH, config=config, **common)
        if isinstance(config, SFTConfig):
            return train_sft(rows, config=config, **common)
        return train_preference(rows, config=config, **common)
    except OutOfMemory as error:
        remedy = fitting.settings_that_fit(job.config, section, model, Hardware.detect(settings.HOME))
        raise TrainingError(f"{error} {remedy}") from error


def start_fine_tuning(
    job: StageWork, rows: Sequence[Mapping[str, Any]], name: str, *, seed: int, series: str = ""
) -> TrainResult:
    """Fine-tune the iteration's model on these rows with the ``sft`` settings, into the run's folder ``name``."""
    folder, config = artifacts.run_folder(job.run.pk) / name, job.config.sft
    with Tracking(job, folder, config, series) as tracking:
        return start_training(
            job,
            "sft",
            rows,
            config,
            section="sft",
            model=job.weights(job.start.location),
            output_dir=folder,
            seed=seed,
            report=tracking.report,
            should_stop=job.heartbeat.should_stop,
        )
