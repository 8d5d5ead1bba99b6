"""What a training gives back, and how it can end otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

Report = Callable[[dict[str, Any]], None]
"""Takes a point of the curves, one for every step: step, total_steps, epoch, loss, learning_rate, grad_norm (before it
is cut), seconds and tokens so far, tokens_per_second of this step, memory_bytes; for preference training also
chosen_reward, rejected_reward, margin (rewards in nats, β·log π/π_ref), accuracy and kl (nats a response), and for the
self-refined losses augmented_margin and augmented_accuracy, the same on p⊕x. A resumed training begins with the points
of the steps before it, which were reported before."""

ShouldStop = Callable[[], bool]
"""Asked after every optimizer step; true ends the training at that step, with a checkpoint to resume from."""


Say = Callable[[str], object]
"""Takes a sentence for the run's log while the training goes on."""


def say_nothing(_: str) -> None:
    """Where nobody listens."""


class TrainingError(Exception):
    """The training cannot go on; the message says why in words and names the remedy."""


class OutOfMemory(TrainingError):
    """The device has too little memory for this training as it is set."""


class Stopped(Exception):
    """The training ended because it was asked to; a checkpoint at ``step`` is there to resume from, save at step 0."""

    def __init__(self, step: int) -> None:
        kept = f"after step {step}; a checkpoint to resume from is kept" if step else "before the first step"
        super().__init__(f"stopped {kept}")
        self.step = step


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A training that came to its end, or to the step at which it was to pause.

    ``loss`` is the mean over the last tenth of the steps; ``seconds`` (of the steps, without loading and the
    reference's pass) and ``tokens`` count from step 1, also of a resumed one; ``notes`` are sentences for the screen.
    ``last`` is the newest point of the curves, of the very step whose weights these are.
    Not ``finished``: it paused at the step that was asked for, whose weights are at ``model_dir``.
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
    def of(cls, told: Mapping[str, Any], model_dir: Path) -> TrainResult:
        """A result that was written down as JSON, other entries aside, whose model now is at ``model_dir``."""
        known = {one.name: told[one.name] for one in fields(cls) if one.name in told}
        return cls(**known | {"model_dir": model_dir, "notes": tuple(told["notes"])})
