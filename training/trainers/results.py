"""Results of a training, its callbacks, and the errors that end it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

Report = Callable[[dict[str, Any]], None]
"""Receives one curve point per step: step, total_steps, epoch, loss, learning_rate, grad_norm (before clipping),
seconds and tokens so far, tokens_per_second of this step, memory_bytes. Preference training adds chosen_reward,
rejected_reward, margin (rewards in nats, β·log π/π_ref), accuracy and kl (nats per response); the self-refined losses
add augmented_margin and augmented_accuracy, the same on p⊕x. A resumed training first reports the earlier steps
again."""

ShouldStop = Callable[[], bool]
"""Called after every optimizer step; ``True`` ends the training with a checkpoint to resume from."""


Say = Callable[[str], object]
"""Receives messages for the run's log during training."""


def say_nothing(_: str) -> None:
    """Discard the message."""


class TrainingError(Exception):
    """The training cannot continue. The message gives the reason and the remedy."""


class OutOfMemory(TrainingError):
    """The device has too little memory for this training's settings."""


class Stopped(Exception):
    """The training ended on request. A checkpoint to resume from exists at ``step``, unless that is 0."""

    def __init__(self, step: int) -> None:
        kept = f"after step {step}; a checkpoint to resume from is kept" if step else "before the first step"
        super().__init__(f"stopped {kept}")
        self.step = step


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a training that is finished, or paused at a requested step.

    ``loss`` is the mean over the last tenth of the steps. ``seconds`` (of the steps, without loading and reference
    log-probabilities) and ``tokens`` count from step 1, also after a resume. ``notes`` are sentences for the screen.
    ``last`` is the curve point of the step whose weights are at ``model_dir``. ``finished`` is false after a pause.
    """

    model_dir: Path
    steps: int
    loss: float | None
    seconds: float
    tokens: int
    resumed_from: int
    notes: tuple[str, ...] = ()
    finished: bool = True
    last: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any], model_dir: Path) -> TrainResult:
        """Create a result from JSON data, ignoring unknown entries, for the model at ``model_dir``."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        return cls(**known | {"model_dir": model_dir, "notes": tuple(data["notes"])})
