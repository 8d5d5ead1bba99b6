"""Tables and SVG charts of judge–human agreement: metrics over the iterations, and calibration curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from alignment_app.pages.wording import written, written_interval
from labeling.selectors.calibration import JudgeAgreement
from training.domain.agreement import IntervalEstimate
from training.domain.calibration import Calibration
from training.domain.metric import Metric, Place
from training.evaluation.human_agreement import AGREEMENT_METRICS, estimate_of

WIDTH, HEIGHT = 250, 150
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 10, 24
SIDE = 190  # of a calibration curve
MARGIN, EDGE = 26, 12


@dataclass(frozen=True, slots=True)
class Tick:
    """A grid line at y, with its label."""

    y: float
    text_y: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A judge's estimate at (x, y) with its 95 % interval from ``low`` to ``high`` (all in SVG units)."""

    x: float
    y: float
    low: float
    high: float
    name: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure for all judges. ``path`` joins the checkpoints."""

    title: str
    marks: list[Mark]
    ticks: list[Tick]
    path: str
    names: list[tuple[float, str, str]]
    zero: float | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    name_y: int = HEIGHT - 7


@dataclass(frozen=True, slots=True)
class Row:
    """A judge in a table: a cell for each metric, as text."""

    judge: JudgeAgreement
    cells: list[tuple[Metric, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Metrics of judge–human agreement, a row for each judge."""

    metrics: list[Metric]
    rows: list[Row]


def table(judges: Sequence[JudgeAgreement], place: Place | None = None) -> Table:
    """Return all metrics of the judges, or those that ``place`` shows."""
    metrics = [metric for metric in AGREEMENT_METRICS if place is None or place in metric.places]
    return Table(
        metrics,
        [
            Row(judge, [(metric, estimate_text(estimate_of(metric, judge.figures), metric)) for metric in metrics])
            for judge in judges
        ],
    )


def estimate_text(estimate: IntervalEstimate, metric: Metric) -> str:
    """Format as "0.62 (0.55 to 0.69)", in the format of the metric, or as a dash if there is no value."""
    value = written(estimate.value, metric.format)
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({written_interval(estimate.low, estimate.high, metric.format)})"


def panels(judges: Sequence[JudgeAgreement]) -> list[Panel]:
    """One panel per metric that at least one judge has."""
    return [panel for metric in AGREEMENT_METRICS if (panel := _panel(metric, judges))]


def _panel(metric: Metric, judges: Sequence[JudgeAgreement]) -> Panel | None:
    figures = [estimate_of(metric, judge.figures) for judge in judges]
    limits = metric.limits or (-math.inf, math.inf)
    ends = [end for one in figures for end in (one.value, one.low, one.high) if end is not None]
    if not ends:
        return None
    marks_at = ticks(max(limits[0], min(ends)), min(limits[1], max(ends)), limits)
    bottom, top = marks_at[0], marks_at[-1]

    def y(value: float) -> float:
        share = (min(max(value, bottom), top) - bottom) / (top - bottom)
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 1)

    step = (WIDTH - LEFT - RIGHT) / len(judges)
    places = [round(LEFT + step * (number + 0.5), 1) for number in range(len(judges))]
    marks = [
        Mark(x, y(one.value), y(one.value if one.low is None else one.low),
             y(one.value if one.high is None else one.high), judge.name, judge.source,
             estimate_text(one, metric))
        for x, judge, one in zip(places, judges, figures, strict=True)
        if one.value is not None
    ]  # fmt: skip
    joined = [mark for mark in marks if mark.source == "self"]
    path = " ".join(f"{'L' if place else 'M'}{mark.x} {mark.y}" for place, mark in enumerate(joined))
    return Panel(
        metric.short_title,
        marks,
        [Tick(y(value), y(value) + 4, f"{value:g}".replace("-", "−")) for value in marks_at],
        path if len(joined) > 1 else "",
        [(x, judge.name, judge.source) for x, judge in zip(places, judges, strict=True)],
        y(0.0) if bottom < 0 < top else None,
    )


def ticks(low: float, high: float, limits: tuple[float, float]) -> list[float]:
    """Two to five round values that span ``low`` to ``high``."""
    if low == high:
        low, high = low - 0.1, high + 0.1
    span = max(high - low, 0.05)
    power = 10 ** math.floor(math.log10(span / 3))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        first -= 1
    values = [round(place * step, 6) for place in range(first, last + 1)]
    kept = [value for value in values if limits[0] <= value <= limits[1]]
    return kept if len(kept) > 1 else values


@dataclass(frozen=True, slots=True)
class Dot:
    """People's mean score of the responses to which the judge gave ``score``. Its area grows with their number."""

    x: float
    y: float
    radius: float
    low: float
    high: float
    score: int
    people: float
    responses: int


@dataclass(frozen=True, slots=True)
class Curve:
    """A judge's calibration curve: its score on the x axis, people's mean on the y axis, both 0 to 5."""

    name: str
    source: str
    dots: list[Dot]
    path: str
    grid: list[tuple[float, float, float, str]]  # x and y of a score, y of its label, label
    responses: int
    side: int = SIDE
    start: int = MARGIN
    end: int = SIDE - EDGE
    far: int = SIDE - MARGIN
    near: int = EDGE
    label_y: int = SIDE - 10
    label_x: int = MARGIN - 8


def curves(judges: Sequence[JudgeAgreement]) -> list[Curve]:
    """One curve per judge with scores."""
    most = max((point.responses for one in judges for point in one.figures.curve), default=1)
    return [_curve(one.name, one.source, one.figures, most) for one in judges if one.figures.curve]


def _curve(name: str, source: str, figures: Calibration, most: int) -> Curve:
    length = SIDE - MARGIN - EDGE

    def along(value: float) -> float:
        return round(MARGIN + length * value / 5, 1)

    def up(value: float) -> float:
        return round(SIDE - MARGIN - length * value / 5, 1)

    dots = [
        Dot(
            along(point.score),
            up(point.people),
            round(2.5 + 6.5 * math.sqrt(point.responses / most), 1),
            up(point.people if point.low is None else point.low),
            up(point.people if point.high is None else point.high),
            point.score,
            point.people,
            point.responses,
        )
        for point in figures.curve
    ]
    path = " ".join(f"{'L' if place else 'M'}{dot.x} {dot.y}" for place, dot in enumerate(dots))
    grid = [(along(value), up(value), up(value) + 4, str(value)) for value in range(6)]
    return Curve(name, source, dots, path, grid, figures.responses)
