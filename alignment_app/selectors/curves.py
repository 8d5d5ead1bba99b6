"""Training curves, thinned out to what a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from alignment_app.models import RunEvent

MOST_POINTS: Final = 500
LINES: Final = (
    "loss", "chosen_reward", "rejected_reward", "margin", "augmented_margin", "accuracy", "augmented_accuracy", "kl",
    "grad_norm", "learning_rate", "tokens_per_second", "memory_bytes",
)  # fmt: skip
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """The lines of one training stage; each a list of (step, value)."""

    iteration: int
    stage: str
    lines: dict[str, list[Point]] = field(default_factory=dict)
    steps: int | None = None  #: how many steps the training will have
    series: str = ""  #: which of several trainings of the stage, such as one λ

    @property
    def label(self) -> str:
        return f"M{self.iteration + 1}" + (f", {self.series}" if self.series else "")

    def as_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        names = ("iteration", "stage", "series", "label", "steps", "lines")
        return {name: getattr(self, name) for name in names}


def curves(run_id: int, up_to: int | None = None, most: int = MOST_POINTS) -> list[Curve]:
    """The curves of a run, in order of iterations, at most ``most`` points a line.

    A step that was trained again after a crash counts once, as it was the last time. ``up_to`` is the newest event to
    look at.
    """
    events = RunEvent.objects.filter(run_id=run_id, kind=RunEvent.Kind.METRICS)
    if up_to is not None:
        events = events.filter(seq__lte=up_to)
    steps: dict[tuple[int, str, str], dict[float, dict[str, Any]]] = {}
    for payload in events.order_by("seq").values_list("payload", flat=True).iterator():
        rows = steps.setdefault((payload["iteration"], payload["stage"], payload.get("series", "")), {})
        for point in payload["points"]:
            rows[point["step"]] = point
    found = []
    for (iteration, stage, series), rows in sorted(steps.items()):
        curve = Curve(iteration, stage, steps=rows[max(rows)].get("total_steps"), series=series)
        for name in LINES:
            line = [(step, rows[step][name]) for step in sorted(rows) if rows[step].get(name) is not None]
            if line:
                curve.lines[name] = thin_out(line, most)
        found.append(curve)
    return found


def thin_out(line: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most ``most`` points that keep the shape of a line: largest triangle, three buckets (Steinarsson 2013).

    The first and the last point stay. Of each bucket between them, the point stays that spans the largest triangle
    with the point kept before it and the mean of the bucket after it.
    """
    if len(line) <= most or most < 3:
        return list(line)
    width = (len(line) - 2) / (most - 2)
    kept = [line[0]]
    for bucket in range(most - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        after = line[end : int((bucket + 2) * width) + 1] or line[-1:]
        mean_x = sum(x for x, _ in after) / len(after)
        mean_y = sum(y for _, y in after) / len(after)
        left_x, left_y = kept[-1]
        kept.append(
            max(
                line[start:end],
                key=lambda point: abs(
                    (left_x - mean_x) * (point[1] - left_y) - (left_x - point[0]) * (mean_y - left_y)
                ),
            )
        )
    kept.append(line[-1])
    return kept
