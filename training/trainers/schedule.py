"""Learning rate schedules that decay to a floor."""

from __future__ import annotations

import math
from collections.abc import Callable


def decay_to_floor(
    *, shape: str, peak: float, floor: float, total_steps: int, warmup_ratio: float
) -> Callable[[int], float]:
    """Return a function from step (0 to ``total_steps`` - 1) to the factor on the peak learning rate.

    The first step after the warm-up has the peak rate, the last step the floor. "constant" does not decay.
    """
    warmup = int(total_steps * warmup_ratio)
    last = total_steps - 1

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = min(1.0, (step - warmup) / (last - warmup)) if last > warmup else 0.0
        if shape == "constant":
            return 1.0
        remaining = 1 - progress if shape == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return (floor + (peak - floor) * remaining) / peak

    return factor
