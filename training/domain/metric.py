"""What a figure is called, its unit, how it is written, which way is better, and which rows are behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["number", "percent", "places1", "places2", "p", "duration", "bytes"]
Better = Literal["up", "down", ""]
#: Short tables and lines that show some metrics only; every other reader shows all of them.
Place = Literal["models", "loop", "lineage", "study"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a checkpoint or of a training. Its value is kept under ``key``; ``None`` there: not measured.

    Attributes:
        key: the name under which values are stored, and which the API and CSV files use.
        label: the name on screens, without the unit.
        unit: the unit or the scale of the value, such as "nats" or "0 to 5".
        format: how a value is written; a "percent" is stored as a share of one, a "duration" in seconds.
        better: which way is better between two models; empty where neither is, or where two models' values are not
            measured on one scale (a win rate against each model's own predecessor).
        rows: the page of the rows behind the value: answers, comparisons, judgements or margins/PART.
        filter: the query of that page.
        about: one sentence on what is measured.
        short: the name where the subject is known already; the label where empty.
        low, high: keys of the bounds of the 95 % interval.
        count: key of the number of items that the value is of, and what these items are.
        ratio: keys of two stored counts whose quotient is the value of records that do not hold ``key``.
        places: the short tables and lines that show it.
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

    @property
    def title(self) -> str:
        """The label with its unit, as tables head their rows."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def name(self) -> str:
        """The short name, or the label where there is no short one."""
        return self.short or self.label

    def value(self, values: Mapping[str, Any]) -> Any:
        """The metric's value among stored values by key; ``None`` where it was not measured."""
        found = values.get(self.key)
        if found is None and self.ratio is not None:
            part, whole = (values.get(key) for key in self.ratio)
            return part / whole if part is not None and whole else None
        return found

    def interval(self, values: Mapping[str, Any]) -> tuple[Any, Any] | None:
        """The bounds of the 95 % interval; ``None`` where they were not measured."""
        low, high = values.get(self.low), values.get(self.high)
        return None if low is None or high is None else (low, high)
