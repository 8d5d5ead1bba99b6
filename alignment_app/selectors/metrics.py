"""Training metrics of a run by step, as reported by the trainers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from alignment_app.models import RunEvent
from training.domain.training_metrics import CLOCKS, CURVES

COLUMNS: Final = ("model", "stage", "series", "step", "total_steps", *(metric.key for metric in (*CLOCKS, *CURVES)))


class Key(NamedTuple):
    """Identifies a training run: ``series`` names one of several in a stage, such as one λ."""

    iteration: int
    stage: str
    series: str


Steps = dict[int, dict[str, Any]]


def steps_of(run_id: int, *, up_to: int | None = None, iteration: int | None = None) -> dict[Key, Steps]:
    """Return the points of each training run, by iteration and step.

    For a step repeated after a crash, the last report counts. ``up_to``: sequence number of the newest event to read.
    """
    events = RunEvent.objects.filter(run_id=run_id, kind=RunEvent.Kind.METRICS)
    if up_to is not None:
        events = events.filter(seq__lte=up_to)
    if iteration is not None:
        events = events.filter(payload__iteration=iteration)
    found: dict[Key, Steps] = {}
    for payload in events.order_by("seq").values_list("payload", flat=True).iterator():
        steps = found.setdefault(Key(payload["iteration"], payload["stage"], payload.get("series", "")), {})
        for point in payload["points"]:
            steps[int(point["step"])] = point
    return {key: dict(sorted(steps.items())) for key, steps in sorted(found.items())}


def as_csv(run_id: int, *, iteration: int | None = None) -> Iterator[str]:
    """Yield the lines of a CSV file with a header, one line per step; missing curves are empty."""
    yield _line(COLUMNS)
    for key, steps in steps_of(run_id, iteration=iteration).items():
        about = {"model": f"M{key.iteration + 1}", "stage": key.stage, "series": key.series}
        for point in steps.values():
            row = point | about
            yield _line([row.get(column) for column in COLUMNS])


def _line(values: Any) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(values)
    return written.getvalue()
