"""Experiment trackers that receive a training's curve points.

TensorBoard files are always written. Weights & Biases and MLflow are enabled by the worker's environment. The database
is authoritative: a tracker that fails is disabled with one message and never delays or fails the training.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training.domain.metric import Group
from training.domain.training_metrics import TRAINING_METRICS

Point = Mapping[str, Any]

#: The tracker's group of each declared curve; other values belong to "training".
_GROUPS: dict[str, Group] = {metric.key: metric.group for metric in TRAINING_METRICS}
_NOT_DRAWN = ("step", "total_steps", "series")
CLOSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Training:
    """The tracked training. ``key`` is its permanent id, also after a resume; ``folder`` is for its files.

    ``series`` distinguishes several trainings in one folder.
    """

    key: str
    name: str
    group: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    series: str = ""


class Tracker(Protocol):
    """Receives the points of one training in step order; each step once, except after a resume."""

    name: str

    def log(self, point: Point) -> None:
        """Log one step."""

    def close(self) -> None:
        """Write all buffered points; no more steps follow."""


def values_of(point: Point) -> dict[str, float]:
    """Return the values of a point that belong to a curve."""
    return {
        name: float(value)
        for name, value in point.items()
        if name not in _NOT_DRAWN and isinstance(value, int | float) and not isinstance(value, bool)
    }


class TensorBoard:
    """An event file in ``folder/tensorboard``, or in a subfolder per series.

    A resumed training reports all steps again, so an existing file is replaced: no step occurs twice, and steps lost
    with a killed process are restored.
    """

    name = "TensorBoard"

    def __init__(self, training: Training) -> None:
        from tensorboardX import SummaryWriter

        folder = training.folder / "tensorboard" / training.series.replace("/", "-")
        shutil.rmtree(folder, ignore_errors=True)
        self._began = time.time()
        self._writer = SummaryWriter(logdir=str(folder), flush_secs=10)

    def log(self, point: Point) -> None:
        """Log one step with the time of the training's own clock."""
        values = values_of(point)
        at = self._began + values.get("seconds", 0.0)
        for name, value in values.items():
            tag = f"{_GROUPS.get(name, 'training')}/{name}"
            self._writer.add_scalar(tag, value, global_step=int(point["step"]), walltime=at)

    def close(self) -> None:
        """Write the buffered points."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases with the training's key as its id; offline if ``WANDB_MODE`` is set so."""

    name = "Weights & Biases"

    def __init__(self, training: Training) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "plumbline",
            id=training.key,
            name=training.name,
            group=training.group,
            config=dict(training.config),
            dir=str(training.folder),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, init_timeout=60),
        )
        self._known = int(self._run.step)

    def log(self, point: Point) -> None:
        """Log one step, unless the run already has it: W&B keeps the first value."""
        if int(point["step"]) >= self._known:
            self._run.log(values_of(point), step=int(point["step"]))

    def close(self) -> None:
        """Mark the run as finished."""
        self._run.finish()


class MLflow:
    """A run of MLflow, identified by a tag; points are sent in batches."""

    name = "MLflow"
    TAG = "plumbline.training"
    EVERY_SECONDS = 5.0

    def __init__(self, training: Training) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param, ViewType

        self._client = MlflowClient(tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "plumbline"
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        matches = self._client.search_runs([number], f"tags.`{self.TAG}` = '{training.key}'", ViewType.ACTIVE_ONLY)
        self._known = 0
        if matches:
            self._run = matches[0].info.run_id
            history = self._client.get_metric_history(self._run, "loss")
            self._known = max((metric.step for metric in history), default=0)
            self._client.update_run(self._run, status="RUNNING")
        else:
            tags = {self.TAG: training.key, "plumbline.run": training.group}
            self._run = self._client.create_run(number, tags=tags, run_name=training.name).info.run_id
            params = [Param(name, str(value)[:500]) for name, value in training.config.items()]
            self._client.log_batch(self._run, params=params[:100])
        self._held: list[Any] = []
        self._sent = time.monotonic()

    def log(self, point: Point) -> None:
        """Log one step, unless the run already has it."""
        from mlflow.entities import Metric

        step = int(point["step"])
        if step <= self._known:
            return
        now = int(time.time() * 1000)
        self._held += [Metric(name, value, now, step) for name, value in values_of(point).items()]
        if time.monotonic() - self._sent > self.EVERY_SECONDS or len(self._held) > 800:
            self._send()

    def close(self) -> None:
        """Send the buffered points and mark the run as finished."""
        self._send()
        self._client.set_terminated(self._run)

    def _send(self) -> None:
        for start in range(0, len(self._held), 900):  # the limit is 1,000 metrics per request
            self._client.log_batch(self._run, metrics=self._held[start : start + 900])
        self._held = []
        self._sent = time.monotonic()


def configured(environment: Mapping[str, str] = os.environ) -> list[Callable[[Training], Tracker]]:
    """Return the trackers that the environment enables; TensorBoard is always enabled."""
    kinds: list[Callable[[Training], Tracker]] = [TensorBoard]
    mode = environment.get("WANDB_MODE", "")
    if mode != "disabled" and (environment.get("WANDB_API_KEY") or mode in ("online", "offline")):
        kinds.append(WeightsAndBiases)
    if environment.get("MLFLOW_TRACKING_URI"):
        kinds.append(MLflow)
    return kinds


class Trackers:
    """All trackers of one training, each in its own thread, so that none delays the training.

    They are opened with the first point: a training that was already finished reports none, so its files remain.
    ``say`` receives a message if a tracker fails, in the thread that calls :meth:`log` or :meth:`close`.
    """

    def __init__(
        self, training: Training, say: Callable[[str], object], kinds: list[Callable[[Training], Tracker]] | None = None
    ) -> None:
        self._training, self._say = training, say
        self._kinds = configured() if kinds is None else kinds
        self._threads: list[_InBackground] = []

    def log(self, point: Point) -> None:
        """Pass a step on without blocking."""
        if not self._threads:
            self._threads = [_InBackground(kind, self._training) for kind in self._kinds]
        for thread in self._threads:
            if thread.is_alive():
                thread.points.put(dict(point))
        self._report_failures()

    def close(self) -> None:
        """Wait until all points are written, for at most :data:`CLOSE_SECONDS`."""
        for thread in self._threads:
            thread.points.put(None)
        until = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                thread.complaint = f"{thread.label} took more than {CLOSE_SECONDS:.0f} s to write its last points."
        self._report_failures()
        self._threads = []

    def _report_failures(self) -> None:
        for thread in self._threads:
            if thread.complaint:
                self._say(thread.complaint)
                thread.complaint = ""


class _InBackground(threading.Thread):
    """Opens a tracker, passes points to it, and disables it at its first error."""

    def __init__(self, kind: Callable[[Training], Tracker], training: Training) -> None:
        self.label = getattr(kind, "name", "A tracker")
        super().__init__(name=f"tracker {self.label}", daemon=True)
        self.points: queue.SimpleQueue[Point | None] = queue.SimpleQueue()
        self.complaint = ""
        self._kind, self._training = kind, training
        self.start()

    def run(self) -> None:
        """Process points until ``None`` arrives or an error occurs."""
        try:
            tracker = self._kind(self._training)
            while (point := self.points.get()) is not None:
                tracker.log(point)
            tracker.close()
        except ImportError as error:
            extra = {"wandb": "wandb", "mlflow": "mlflow"}.get((error.name or "").partition(".")[0])
            remedy = f"Install the extra {extra!r} where the worker runs." if extra else "Install it."
            self.complaint = f"{self.label} is configured and {error.name} is not installed. {remedy}"
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:300]
            self.complaint = f"{self.label} was disabled for this training ({type(error).__name__}: {first})."
