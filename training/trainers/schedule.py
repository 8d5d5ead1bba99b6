"""Learning rate schedules that decay to a floor."""

from __future__ import annotations

import math
from collections.abc import Callable


def decay_to_floor(
    *, shape: str, peak: float, floor: float, total_steps: int, warmup_ratio: float, warmup_steps: int = 0
) -> Callable[[int], float]:
    """Return a function from step (0 to ``total_steps`` - 1) to the factor on the peak learning rate.

    The first step after the warm-up has the peak rate, the last step the floor. "constant" does not decay. The warm-up
    takes ``warmup_steps``, or ``warmup_ratio`` of all steps if that is 0; one that is longer than the training ends
    below the peak, as in the published code of DPO (Rafailov et al., 2023).
    """
    warmup = warmup_steps or int(total_steps * warmup_ratio)
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
