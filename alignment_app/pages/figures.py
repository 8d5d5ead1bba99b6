"""Metric values of checkpoints, as shown by the pages, the API and the CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alignment_app.models import Checkpoint
from alignment_app.pages.wording import number, written, written_interval
from training.domain.metric import Metric


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its value for one checkpoint."""

    metric: Metric
    value: Any
    note: str = ""  #: its 95 % interval and sample size
    interval: str = ""  #: the bounds of its 95 % interval, for a narrow cell

    @property
    def text(self) -> str:
        """The formatted value without its unit."""
        return written(self.value, self.metric.format)

    @property
    def line(self) -> str:
        """The metric's short name and value."""
        return f"{self.metric.name} {self.text}"

    @property
    def full_line(self) -> str:
        """The line with the interval and the sample size."""
        return f"{self.line} ({self.note})" if self.note else self.line


def values_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all stored metric values of a checkpoint by metric key: training, pairs and evaluation."""
    found = dict(checkpoint.metrics)
    for part, figures in (found.pop("margins", None) or {}).items():
        found |= {f"{part}_{name}": value for name, value in figures.items()}
    evaluation = getattr(checkpoint, "evaluation", None)
    return found | {"seconds": checkpoint.train_seconds} | (evaluation.metrics if evaluation else {})


def figures(metrics: Iterable[Metric], values: Mapping[str, Any]) -> list[Figure]:
    """Return the metrics that have a value, in order. A metric without a value is skipped, not shown as zero."""
    found = [figure_of(metric, values) for metric in metrics]
    return [figure for figure in found if figure.value is not None]


def figure_of(metric: Metric, values: Mapping[str, Any]) -> Figure:
    """Return a metric of stored values with its interval."""
    bounds = metric.interval(values)
    return Figure(
        metric,
        metric.value(values),
        note(metric, values),
        written_interval(*bounds, metric.format) if bounds else "",
    )


def note(metric: Metric, values: Mapping[str, Any]) -> str:
    """Return the metric's 95 % interval and sample size as text; empty if both are unknown."""
    parts = []
    if interval := metric.interval(values):
        parts.append(f"95 % interval {written_interval(*interval, metric.format)}")
    key, items = metric.count
    if values.get(key):
        parts.append(f"of {number(values[key])} {items}")
    return ", ".join(parts)
