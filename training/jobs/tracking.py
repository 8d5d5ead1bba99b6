"""Write the points of a training's curves to the database and to the experiment trackers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Self

from alignment_app.services import events
from alignment_app.services.progress import TrainingMetricsLog
from training.config import PreferenceConfig, SFTConfig
from training.jobs.stage_work import StageWork
from training.trainers.trackers import Trackers, Training


class Tracking:
    """Context manager whose ``report`` takes points; all of them are written on exit, also after an error."""

    def __init__(self, job: StageWork, folder: Path, config: SFTConfig | PreferenceConfig, series: str = "") -> None:
        self._metrics = TrainingMetricsLog(job.heartbeat, series)
        which = f"{folder.name} {series}".strip()
        words = f"{job.run.pk} {job.run.created_at.isoformat()} {which}"  # unique across installations
        training = Training(
            key=f"plumbline-{hashlib.sha256(words.encode()).hexdigest()[:20]}",
            name=f"{job.run.name} {which}",
            group=f"{job.run.name} (run {job.run.pk})",
            folder=folder,
            series=series,
            config={**config.model_dump(), "model": job.config.student.model, "run_seed": job.config.seed},
        )
        self._trackers = Trackers(training, lambda text: events.log(job.run.pk, text, "warning"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._trackers.close()
        if kind is None:
            self._metrics.flush()

    def report(self, point: dict[str, Any]) -> None:
        """Record the point of one step."""
        self._metrics.report(point)
        self._trackers.log(point)
