"""Definition of a metric: label, unit, format, direction, and the page with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["number", "percent", "places1", "places2", "p", "duration", "bytes"]
Better = Literal["up", "down", ""]
#: Short tables and lines that show selected metrics; all other places show every metric.
Place = Literal["models", "loop", "lineage", "study", "run_judges"]
#: Groups of curves in experiment trackers.
Group = Literal["training", "rewards", "machine"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a checkpoint or of a training. A value of ``None`` means not measured.

    Attributes:
        key: the name in stored values, in the API and in CSV files.
        label: the name on screens, without the unit.
        unit: the unit or the scale of the value, such as "nats" or "0 to 5".
        format: the display format. A "percent" is stored as a share of 1, a "duration" in seconds.
        better: the better direction; empty if there is none, or if values of two models are not comparable (such as
            the win rate of each model against its own predecessor).
        rows: the page with the rows behind the value: answers, comparisons, judgements or margins/PART.
        filter: the query string of that page.
        about: one sentence about what is measured.
        short: a shorter label for places where the subject is clear.
        low, high: keys of the bounds of the 95 % interval.
        count: key of the sample size, and the name of the sampled items.
        ratio: keys of two counts whose quotient is used where ``key`` is not stored.
        places: the short tables and lines that show the metric.
        limits: the least and the greatest possible value, for the axis of a chart.
        group: the group of the curve in experiment trackers.
    """

    key: str
    label: str
    unit: str = ""
    format: Format = "number"
    better: Better = ""
    rows: str = ""
    filter: str = ""
    about: str = ""
    short: str = ""
    low: str = ""
    high: str = ""
    count: tuple[str, str] = ("", "")
    ratio: tuple[str, str] | None = None
    places: tuple[Place, ...] = ()
    limits: tuple[float, float] | None = None
    group: Group = "training"

    @property
    def title(self) -> str:
        """The label with its unit, for table headings."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def short_title(self) -> str:
        """The short label with the unit."""
        return f"{self.name}, {self.unit}" if self.unit else self.name

    @property
    def name(self) -> str:
        """The short label, if any, else the label."""
        return self.short or self.label

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value of the metric from stored values; ``None`` if it was not measured."""
        stored = values.get(self.key)
        if stored is None and self.ratio is not None:
            part, whole = (values.get(key) for key in self.ratio)
            return part / whole if part is not None and whole else None
        return stored

    def interval(self, values: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """Return the bounds of the 95 % interval; ``None`` if they were not measured."""
        low, high = values.get(self.low), values.get(self.high)
        return None if low is None or high is None else (low, high)

    def best(self, stored: Sequence[Mapping[str, Any]]) -> int | None:
        """Return the place of the best of several stored values, or ``None`` if none is known to be best.

        A value is the best if its 95 % interval lies beyond the interval of every other one. Without intervals, or if
        two overlap, the order may be chance. Places without a value are ignored.
        """
        known = {place: self.interval(values) for place, values in enumerate(stored) if self.value(values) is not None}
        return self.best_interval(known)

    def best_interval(self, intervals: Mapping[int, tuple[float, float] | None]) -> int | None:
        """Return the key of the interval that lies beyond all others in the better direction; see :meth:`best`."""
        bounds = {key: interval for key, interval in intervals.items() if interval is not None}
        if not self.better or len(bounds) < 2 or len(bounds) < len(intervals):
            return None
        if self.better == "down":
            bounds = {key: (-high, -low) for key, (low, high) in bounds.items()}
        best = max(bounds, key=lambda key: bounds[key][0])
        return best if all(high < bounds[best][0] for key, (_, high) in bounds.items() if key != best) else None
