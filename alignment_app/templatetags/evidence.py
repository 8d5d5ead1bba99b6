"""What the pages of checkpoints and comparisons say in words."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from alignment_app.pages.samples import preferred
from alignment_app.pages.wording import p_value
from training.domain.metric import Metric

register = template.Library()
register.filter(preferred)


register.filter("p_value", p_value)


@register.simple_tag
def rows_behind(checkpoint: int, metric: Metric, part: str = "") -> str:
    """The address of the rows behind a metric of a checkpoint; empty where it has none. ``part``: of which pairs."""
    rows = f"margins/{part}" if part else metric.rows
    if not rows:
        return ""
    return f"{reverse('checkpoint', args=[checkpoint])}{rows}/" + (f"?{metric.filter}" if metric.filter else "")


@register.filter
def verdict(value: str, own_position: str) -> str:
    """A judge's verdict by position as seen from the side that stood at ``own_position`` ("first" or "second")."""
    if value in ("first", "second"):
        return "preferred" if value == own_position else "not preferred"
    return {"tie": "a tie", "unparsed": "reply held no verdict"}.get(value, value or "–")


@register.filter
def setting(value: Any) -> str:
    """A value of a config as it would be written: "on", "off", "empty", a list with commas."""
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
    """The item at a place that is in a variable."""
    return items[place]
