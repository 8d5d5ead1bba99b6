"""SVG chart of people's agreement by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labeling.selectors.over_time import Day


def trend(days: Sequence[Day], *, width: int = 300, height: int = 80) -> list[dict[str, Any]]:
    """Points of the line of agreement by day, oldest first, in pixels. Days without agreement are left out."""
    known = [day for day in reversed(days) if day.agreement.value is not None]
    step = (width - 16) / max(1, len(known) - 1)

    def down(share: float) -> float:
        return round(8 + (height - 16) * (1 - share), 1)

    points = []
    for place, day in enumerate(known):
        figure = day.agreement
        value = figure.value or 0.0
        low = value if figure.low is None else figure.low
        high = value if figure.high is None else figure.high
        points.append(
            {"x": round(8 + step * place, 1), "y": down(value), "low": down(low), "high": down(high), "day": day}
        )
    return points
