"""Template tags for reviews: figures with intervals, judge–human agreement, decisions."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alignment_app.models import Checkpoint, Run
from alignment_app.templatetags.plumbline import when
from labeling.models import Queue
from labeling.pages import judge_charts
from labeling.selectors import calibration, corrections, decisions
from training.config import RunConfig
from training.domain.agreement import IntervalEstimate

register = template.Library()


@register.filter
def figure(found: IntervalEstimate) -> str:
    """Format as "0.62 (0.55 to 0.69)", or as a dash if there is no value."""
    if found.value is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:.2f}".replace("-", "−")
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})".replace("-", "−")


@register.filter
def queue_facts(queue: Queue) -> SafeString:
    """The kind of a queue and its special settings, separated by commas."""
    facts: list[str] = [queue.get_kind_display()]
    if queue.blind:
        facts.append("blind")
    if queue.overlap > 1:
        facts.append(f"{queue.overlap} people each")
    if queue.held_out:
        facts.append("held out")
    if queue.deadline:
        facts.append(format_html("until {}", when(queue.deadline)))
    return format_html_join(", ", "{}", ((fact,) for fact in facts))


@register.filter
def unlocalized(value: float) -> str:
    """Format a coordinate for SVG, without localization."""
    return f"{value:g}"


@register.inclusion_tag("labeling/_run_judges.html")
def judges_of_run(run: Run) -> dict[str, Any]:
    """The run page's summary of judge–human agreement; empty if no response was scored blind."""
    found = calibration.judges_of_run(run)
    return {"run": run, "found": found, "table": judge_charts.table(found.judges if found else [], "run_judges")}


@register.inclusion_tag("labeling/_corrections_note.html")
def corrections_note(config: RunConfig) -> dict[str, Any]:
    """Note on how many human scores would train the judge of a run with this config."""
    return {"sft": config.sft, "count": corrections.count(corrections.scores_for(config), config)}


@register.inclusion_tag("labeling/_decisions.html")
def decisions_in(checkpoint: Checkpoint) -> dict[str, Any]:
    """People's decisions on the rows that a checkpoint was trained on."""
    return {"found": decisions.of_checkpoint(checkpoint), "checkpoint": checkpoint}
