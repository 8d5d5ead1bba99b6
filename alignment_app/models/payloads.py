"""Payload models of :class:`~alignment_app.models.events.RunEvent`, one per event kind.

New events have exactly these fields. Events stored by earlier versions may have others: read stored payloads as plain
JSON.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Number = int | float


class Payload(BaseModel):
    """Base class of payloads. ``event`` is the kind of the event."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    event: ClassVar[str]

    def as_data(self) -> dict[str, Any]:
        """The fields that were set, as plain JSON types."""
        return self.model_dump(exclude_unset=True)


class RunPayload(Payload):
    """A run's status, its label and its reason."""

    event: ClassVar[str] = "run"

    status: str
    label: str
    reason: str


class StagePayload(Payload):
    """A stage's status, counts, rate and metrics."""

    event: ClassVar[str] = "stage"

    stage: int  #: primary key
    iteration: int
    kind: str
    label: str
    status: str
    reason: str
    done: int
    total: int
    unit: str
    rate: float | None  #: units per second
    seconds_left: float | None
    progress: dict[str, Any]  #: see the progress model of the stage's kind
    result: dict[str, Any]  #: see the result model of the stage's kind


class MetricsPayload(Payload):
    """Points of a training run's metric curves, one per step; see :data:`training.trainers.results.Report`."""

    event: ClassVar[str] = "metrics"

    iteration: int
    stage: str  #: kind
    series: str = ""  #: name of the training run, if the stage has several
    points: list[dict[str, Number | None]]


class SamplePayload(Payload):
    """A prompt whose rows were just saved."""

    event: ClassVar[str] = "sample"

    iteration: int
    prompt: int  #: primary key
    stage: str  #: kind


class LogPayload(Payload):
    """A log message."""

    event: ClassVar[str] = "log"

    level: Literal["info", "warning", "error"] = "info"
    text: str


class GPU(BaseModel):
    """State of one GPU: memory in bytes, utilisation in per cent (``None``: unknown)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    memory: Number
    memory_total: Number
    utilisation: Number | None = None


class MachinePayload(Payload):
    """Metrics of the run's machine, in per cent and bytes."""

    event: ClassVar[str] = "gauge"

    cpu: Number
    memory: Number
    memory_total: Number
    disk_free: Number
    gpus: list[GPU] = []
