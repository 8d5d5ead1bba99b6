"""Template tags and filters of the checkpoint and compare pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from alignment_app.pages.samples import preferred
from alignment_app.pages.wording import p_value
from training.domain.metric import Metric
from training.domain.verifiers.registry import VERIFIERS, describe

register = template.Library()
register.filter(preferred)


register.filter("p_value", p_value)


@register.simple_tag
def rows_behind(checkpoint: int, metric: Metric, part: str = "") -> str:
    """Return the URL of the rows behind a checkpoint's metric, or "" without rows.

    :param part: set of pairs, for margin metrics.
    """
    rows = f"margins/{part}" if part else metric.rows
    if not rows:
        return ""
    return f"{reverse('checkpoint', args=[checkpoint])}{rows}/" + (f"?{metric.filter}" if metric.filter else "")


@register.filter
def verdict(value: str, own_position: str) -> str:
    """Describe a verdict from the side of the answer at ``own_position`` (``"first"`` or ``"second"``)."""
    if value in ("first", "second"):
        return "preferred" if value == own_position else "not preferred"
    return {"tie": "tie", "unparsed": "unparsed"}.get(value, value or "–")


@register.filter
def setting(value: Any) -> str:
    """Format a config value: "on", "off", "empty", or a list separated by commas."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or value == "" or value == []:
        return "empty"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting(part)}" for name, part in value.items())
    return str(value)


@register.filter
def at(items: Any, place: int) -> Any:
    """Return ``items[place]``, where the place is a variable."""
    return items[place]


@register.filter
def check_label(kind: str) -> str:
    """Return what a verifier checks, for people."""
    return VERIFIERS[kind].label if kind in VERIFIERS else kind


@register.filter
def check_words(check: dict[str, Any]) -> str:
    """Return a check of a prompt in words."""
    return describe(check)
