"""The metrics of checkpoints with their values: what every page, the API and the CSV files show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from alignment_app.models import Checkpoint
from alignment_app.pages.wording import number, written, written_interval
from training.domain.metric import Metric


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric with its value on one checkpoint."""

    metric: Metric
    value: Any
    note: str = ""  #: its 95 % interval and the number of items behind it

    @property
    def text(self) -> str:
        """The value as people read it, without the unit."""
        return written(self.value, self.metric.format)

    @property
    def line(self) -> str:
        """The metric's short name with the value."""
        return f"{self.metric.name} {self.text}"


def values_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Every stored value of a checkpoint by the key of its metric: of its training, its pairs and its evaluation."""
    found = dict(checkpoint.metrics)
    for part, figures in (found.pop("margins", None) or {}).items():
        found |= {f"{part}_{name}": value for name, value in figures.items()}
    evaluation = getattr(checkpoint, "evaluation", None)
    return found | {"seconds": checkpoint.train_seconds} | (evaluation.metrics if evaluation else {})


def figures(metrics: Iterable[Metric], values: Mapping[str, Any]) -> list[Figure]:
    """The metrics that have a value, in their order. One that was not measured is left out, never shown as zero."""
    found = [Figure(metric, metric.value(values), note(metric, values)) for metric in metrics]
    return [figure for figure in found if figure.value is not None]


def note(metric: Metric, values: Mapping[str, Any]) -> str:
    """The metric's 95 % interval and the number of items that it is of; empty where neither is known."""
    parts = []
    if interval := metric.interval(values):
        parts.append(f"95 % interval {written_interval(*interval, metric.format)}")
    key, items = metric.count
    if values.get(key):
        parts.append(f"of {number(values[key])} {items}")
    return ", ".join(parts)
