"""Pair margins of a checkpoint: metrics per set of pairs, and the pairs behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import F

from alignment_app.models import Checkpoint, PairMargin
from alignment_app.pages.figures import Figure, figure_of
from training.domain.metric import Metric
from training.domain.training_metrics import MARGINS

ROWS_A_PAGE = 20
ORDERS: Final = {
    "": "As measured",
    "low": "Smallest margin",
    "high": "Largest margin",
    "score": "Largest score difference",
}
_SORTING: Final[dict[str, tuple[Any, ...]]] = {
    "": ("id",),
    "low": ("margin", "id"),
    "high": ("-margin", "id"),
    "score": (F("score_difference").desc(nulls_last=True), "id"),
}


@dataclass(frozen=True, slots=True)
class MarginTable:
    """The margin metrics of one set of pairs."""

    part: str
    label: str
    figures: list[Figure]  #: all margin metrics, also those without a value

    @property
    def pairs(self) -> int:
        """Number of measured pairs."""
        return int(self._value("pairs"))

    @property
    def is_correlated(self) -> bool:
        """Whether the correlation of margins and scores is defined."""
        return self._value("pearson") is not None

    @property
    def metrics(self) -> list[Metric]:
        """The metric of each figure."""
        return [figure.metric for figure in self.figures]

    def _value(self, key: str) -> Any:
        return next(figure.value for figure in self.figures if figure.metric.key == key)


def tables(checkpoint: Checkpoint) -> list[MarginTable]:
    """Return the measured sets: training, held-out and evaluation pairs."""
    found = checkpoint.metrics.get("margins") or {}
    return [
        MarginTable(
            str(part.value),
            str(part.label),
            [figure_of(one, found[part.value]) for one in MARGINS],
        )
        for part in PairMargin.Part
        if found.get(part.value)
    ]


def page(checkpoint: Checkpoint, part: str, order: str, number: str | int | None) -> Page[PairMargin]:
    """Return a page of 20 measured pairs of a set, in one of :data:`ORDERS`."""
    rows = checkpoint.pair_margins.filter(part=part).select_related("pair__prompt", "pair__chosen", "pair__rejected")
    return Paginator(rows.order_by(*_SORTING.get(order, _SORTING[""])), ROWS_A_PAGE).get_page(number)
