"""Figures with their intervals, as the review's pages show them."""

from __future__ import annotations

from django import template

from training.domain.agreement import Figure

register = template.Library()


@register.filter
def figure(found: Figure) -> str:
    """ "0.62 (0.55 to 0.69)"; a figure that could not be had is a dash."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
