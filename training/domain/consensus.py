"""One answer out of several, by a stated rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

Answer = TypeVar("Answer", bound=Hashable)


def majority(answers: Sequence[Answer]) -> Answer | None:
    """The answer that more than half gave; ``None`` where no answer has that: nothing is decided by a plurality."""
    if not answers:
        return None
    answer, count = Counter(answers).most_common(1)[0]
    return answer if 2 * count > len(answers) else None


def median(scores: Sequence[float]) -> float | None:
    """The middle score; of an even number the mean of the two in the middle."""
    if not scores:
        return None
    ordered = sorted(scores)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
