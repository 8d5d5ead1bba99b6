"""What the pages of checkpoints and comparisons say in words."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def p_value(value: Any) -> str:
    """0.0004 → "0.0004"; smaller than that → "below 0.0001"; nothing → "–"."""
    if not isinstance(value, int | float):
        return "–"
    return "below 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


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
