"""How a checkpoint weighs pairs: the figures for the screen, and the pairs behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Page, Paginator
from django.db.models import F

from alignment_app.models import Checkpoint, PairMargin

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
    """The figures of one part, as :class:`training.domain.margins.MarginFigures` names them."""

    part: str
    label: str
    figures: dict[str, Any]


def tables(checkpoint: Checkpoint) -> list[MarginTable]:
    """Pairs trained on, held out, and of the evaluation set, as far as each was measured."""
    found = checkpoint.metrics.get("margins") or {}
    return [
        MarginTable(str(part.value), str(part.label), found[part.value])
        for part in PairMargin.Part
        if found.get(part.value)
    ]


def page(checkpoint: Checkpoint, part: str, order: str, number: str | int | None) -> Page[PairMargin]:
    """The measured pairs of a part, 20 a page, in one of :data:`ORDERS`."""
    rows = checkpoint.pair_margins.filter(part=part).select_related("pair__prompt", "pair__chosen", "pair__rejected")
    return Paginator(rows.order_by(*_SORTING.get(order, _SORTING[""])), ROWS_A_PAGE).get_page(number)
