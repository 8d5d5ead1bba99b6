"""Points of a study: the runs that differ only in their seed, averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from alignment_app.pages.wording import number, written, written_interval
from training.domain.intervals import SeedEstimate, over_seeds
from training.domain.metric import Metric


class Measured(Protocol):
    """A run with the values of its newest model by metric key, intervals included."""

    @property
    def measures(self) -> Mapping[str, Any]: ...


Row = TypeVar("Row", bound=Measured)


@dataclass(frozen=True, slots=True)
class CellFigure:
    """A metric of a point: the mean over its seeds. ``low`` and ``high`` bound the 95 % interval.

    With several seeds the interval is over seeds, by Student's t; with one it is that of the run, over its prompts or
    pairs, and ``is_over_seeds`` is false.
    """

    metric: Metric
    estimate: SeedEstimate
    low: float | None
    high: float | None
    is_over_seeds: bool

    @property
    def text(self) -> str:
        return written(self.estimate.mean, self.metric.format)

    @property
    def interval(self) -> str:
        """The bounds as text; empty if there is no interval."""
        if self.low is None or self.high is None:
            return ""
        return written_interval(self.low, self.high, self.metric.format)

    @property
    def spread(self) -> str:
        """The standard deviation over seeds and their number, as text; empty for one seed."""
        if self.estimate.spread is None:
            return ""
        return f"spread {written(self.estimate.spread, self.metric.format)}, {number(self.estimate.seeds)} seeds"

    @property
    def note(self) -> str:
        over = "over seeds" if self.is_over_seeds else "of one run, without the variance between seeds"
        return f"95 % interval {over}" if self.interval else ""


@dataclass(frozen=True, slots=True)
class StudyCell(Generic[Row]):
    """A point of a study without its seed: the runs of every seed and their figures by metric key.

    ``best`` has the keys of the metrics of which no other point's interval over seeds overlaps this one's.
    """

    values: list[str]  #: formatted values, one per field
    raw: list[Any]
    rows: list[Row]
    figures: dict[str, CellFigure]
    best: set[str] = field(default_factory=set)

    @property
    def measures(self) -> dict[str, Any]:
        """Mean, bounds, spread and number of seeds of each metric, by name."""
        found: dict[str, Any] = {}
        for key, figure in self.figures.items():
            low, high = bounds_of(figure.metric)
            found |= {key: figure.estimate.mean, low: figure.low, high: figure.high}
            found |= {f"{key}_spread": figure.estimate.spread, f"{key}_seeds": figure.estimate.seeds}
        return found


def bounds_of(metric: Metric) -> tuple[str, str]:
    """Return the names of the bounds of a metric's interval over seeds."""
    return metric.low or f"{metric.key}_low", metric.high or f"{metric.key}_high"


def averaged(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the metrics that have a mean over seeds; that of a p-value has no meaning."""
    return [metric for metric in metrics if metric.format != "p"]


def cells(
    rows: Sequence[Row],
    point_of: Callable[[Row], tuple[Sequence[str], Sequence[Any]]],
    metrics: Sequence[Metric],
) -> list[StudyCell[Row]]:
    """Group the runs by point, in order, and average each metric over the runs of a point.

    Args:
        point_of: the formatted and the raw values of a run, without the seed.
    """
    groups: dict[str, StudyCell[Row]] = {}
    for row in rows:
        words, raw = point_of(row)
        groups.setdefault(repr(list(raw)), StudyCell(list(words), list(raw), [], {})).rows.append(row)
    found = list(groups.values())
    for metric in averaged(metrics):
        for cell in found:
            if figure := _figure(metric, cell.rows):
                cell.figures[metric.key] = figure
        best = metric.best_interval(
            {
                place: (figure.low, figure.high)
                if figure.is_over_seeds and figure.low is not None and figure.high is not None
                else None
                for place, cell in enumerate(found)
                if (figure := cell.figures.get(metric.key))
            }
        )
        if best is not None:
            found[best].best.add(metric.key)
    return found


def _figure(metric: Metric, rows: Iterable[Measured]) -> CellFigure | None:
    measured = [row.measures for row in rows if row.measures.get(metric.key) is not None]
    estimate = over_seeds([float(values[metric.key]) for values in measured])
    if estimate is None:
        return None
    if estimate.seeds > 1:
        return CellFigure(metric, estimate, estimate.low, estimate.high, True)
    low, high = metric.interval(measured[0]) or (None, None)
    return CellFigure(metric, estimate, low, high, False)
