"""Rules that aggregate several answers into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

Answer = TypeVar("Answer", bound=Hashable)


def majority(answers: Sequence[Answer]) -> Answer | None:
    """Return the answer that more than half of the people gave, or ``None``. A plurality is not enough."""
    if not answers:
        return None
    answer, count = Counter(answers).most_common(1)[0]
    return answer if 2 * count > len(answers) else None


def median(scores: Sequence[float]) -> float | None:
    """Return the median; ``None`` for no scores."""
    if not scores:
        return None
    ordered = sorted(scores)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
