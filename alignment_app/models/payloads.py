"""The ``payload`` of a :class:`~alignment_app.models.events.RunEvent`: one model for each kind of event.

Events are written with these models and with no other fields. Events of earlier versions may lack fields or have
others; whoever reads stored payloads reads them as plain JSON.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Number = int | float


class Payload(BaseModel):
    """The base of all payloads; ``event`` is the kind of its event."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    event: ClassVar[str]

    def as_data(self) -> dict[str, Any]:
        """Plain JSON types of the fields that were given."""
        return self.model_dump(exclude_unset=True)


class RunPayload(Payload):
    """The run's status, its label, and why in words."""

    event: ClassVar[str] = "run"

    status: str
    label: str
    reason: str


class StagePayload(Payload):
    """A stage's state, counts, speed and figures."""

    event: ClassVar[str] = "stage"

    stage: int  #: its primary key
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
    progress: dict[str, Any]  #: by the progress model of the stage's kind
    result: dict[str, Any]  #: by the result model of the stage's kind


class MetricsPayload(Payload):
    """Points of a training's curves, one per step; see :data:`training.trainers.results.Report`."""

    event: ClassVar[str] = "metrics"

    iteration: int
    stage: str  #: kind
    series: str = ""  #: which of several trainings of the stage
    points: list[dict[str, Number | None]]


class SamplePayload(Payload):
    """A prompt whose rows have just been saved."""

    event: ClassVar[str] = "sample"

    iteration: int
    prompt: int  #: its primary key
    stage: str  #: kind


class LogPayload(Payload):
    """A line for people."""

    event: ClassVar[str] = "log"

    level: Literal["info", "warning", "error"] = "info"
    text: str


class GPU(BaseModel):
    """One GPU: bytes, and per cent (``None``: unknown)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    memory: Number
    memory_total: Number
    utilisation: Number | None = None


class MachinePayload(Payload):
    """Metrics of the machine that the run works on: per cent, then bytes."""

    event: ClassVar[str] = "gauge"

    cpu: Number
    memory: Number
    memory_total: Number
    disk_free: Number
    gpus: list[GPU] = []
