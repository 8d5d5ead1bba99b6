"""Template tags and filters of all pages: numbers, dates, bars, pills and the navigation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.template import Context
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from alignment_app.export_formats import DEFAULT_FORMAT, format_choices
from alignment_app.pages.wording import (
    MISSING,
    duration,
    finite,
    number,
    percent,
    rate,
    short_hash,
    size,
    time_left,
    written,
)
from alignment_app.services import people
from alignment_app.stylesheet import stylesheet

register = template.Library()
register.filter("number", number)
register.filter("percent", percent)
register.filter("duration", duration)
register.filter("time_left", time_left)
register.filter("rate", rate)
register.filter("bytes", size)
register.filter("short_hash", short_hash)
register.filter("written", written)


@register.simple_tag
def export_formats() -> list[tuple[str, str]]:
    """Return (name, label) of the export formats, the default first."""
    return sorted(format_choices(), key=lambda choice: choice[0] != DEFAULT_FORMAT)


NAVIGATION = (
    ("Runs", "runs"),
    ("Studies", "studies"),
    ("Review", "review"),
    ("Checkpoints", "checkpoints"),
    ("Compare", "compare"),
    ("Data", "data"),
    ("Judges", "judges"),
    ("System", "system"),
)

#: Colour class of each status.
TONES = {
    "queued": "wait",
    "pending": "wait",
    "running": "live",
    "waiting": "ask",
    "paused": "ask",
    "cancelling": "live",
    "cancelled": "off",
    "stopped": "off",
    "skipped": "off",
    "failed": "bad",
    "crashed": "bad",
    "finished": "good",
    "done": "good",
}


@register.filter
def when(moment: datetime | None) -> str:
    """Format a time as a <time> element in the reader's time zone: "12:31" today, else "3 Nov 12:31"."""
    if moment is None:
        return MISSING
    local = timezone.localtime(moment)
    shown = f"{local:%H:%M}" if local.date() == timezone.localdate() else f"{local.day} {local:%b %H:%M}"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), shown)


@register.filter
def ago(moment: datetime | None) -> str:
    """Format a time as "4 min ago". A script keeps it up to date."""
    if moment is None:
        return MISSING
    seconds = max(0.0, (timezone.now() - moment).total_seconds())
    if seconds < 10:
        shown = "just now"
    elif seconds < 60:
        shown = f"{int(seconds)} s ago"
    elif seconds < 3600:
        shown = f"{int(seconds // 60)} min ago"
    elif seconds < 86400:
        shown = f"{int(seconds // 3600)} h ago"
    else:
        days = int(seconds // 86400)
        shown = "yesterday" if days == 1 else f"{days} days ago"
    return format_html('<time datetime="{}" data-ago>{}</time>', moment.isoformat(), shown)


@register.filter
def tone(status: str) -> str:
    """Return the colour class of a status: live, ask, wait, good, bad or off."""
    return TONES.get(str(status), "off")


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """Return ``mapping.get(key)``, where the key is a variable."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.simple_tag
def bar(value: Any, maximum: Any = 1, kind: str = "") -> SafeString:
    """Draw a bar of ``value`` out of ``maximum``.

    :param kind: colour class: self, teacher, human, good, bad, accent or ink.
    """
    share, top = finite(value), finite(maximum)
    width = 0.0 if share is None or not top else max(0.0, min(100.0, 100 * share / top))
    return format_html(
        '<svg class="bar {}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"/></svg>',
        kind,
        f"{width:.1f}",
    )


@register.simple_tag
def split_bar(win: Any, tie: Any, lose: Any) -> SafeString:
    """Draw a bar of win, tie and lose (counts or shares), with a text for screen readers."""
    parts = [max(0.0, finite(part) or 0.0) for part in (win, tie, lose)]
    whole = sum(parts) or 1.0
    shares = [100 * part / whole for part in parts]
    rects = format_html_join(
        "",
        '<rect class="{}" x="{}" width="{}" height="8"/>',
        (
            (name, f"{sum(shares[:place]):.2f}", f"{shares[place]:.2f}")
            for place, name in enumerate(("win", "tie", "lose"))
        ),
    )
    return format_html(
        '<svg class="bar split" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        'aria-label="{} win, {} tie, {} lose">{}</svg>',
        f"{shares[0]:.0f} %",
        f"{shares[1]:.0f} %",
        f"{shares[2]:.0f} %",
        rects,
    )


@register.simple_tag
def pill(status: str, label: str = "") -> SafeString:
    """Draw a status as a pill with a coloured dot."""
    return format_html('<span class="pill {}"><i></i>{}</span>', tone(status), label or str(status).capitalize())


@register.simple_tag
def source(kind: str, label: str = "") -> SafeString:
    """Draw the mark of a judgement's source: self, teacher, human or reference."""
    names = {"self": "self", "teacher": "teacher", "human": "person", "reference": "reference"}
    return format_html('<span class="source-mark {}">{}</span>', kind, label or names.get(kind, kind))


@register.simple_tag(takes_context=True)
def theme_attribute(context: Context) -> SafeString:
    """Return the data-theme attribute from the cookie, so that the first paint has the right theme."""
    request = context.get("request")
    chosen = request.COOKIES.get("theme") if request else None
    return mark_safe(f' data-theme="{chosen}"') if chosen in ("light", "dark") else mark_safe("")


@register.simple_block_tag(takes_context=True)
def question(
    context: Context,
    content: str,
    label: str,
    *,
    url: str,
    yes: str,
    no: str,
    key: str = "",
    tone: str = "",
    target: str = "",
) -> SafeString:
    """Draw a button with a confirmation; the block is the question.

    :param yes: label of the button that posts to ``url``.
    :param no: label of the button that closes the question.
    :param key: keyboard shortcut that opens the question.
    :param tone: CSS classes of the button.
    :param target: selector of the element that htmx replaces with the response.
    """
    values: dict[str, Any] = {"content": content, "label": label, "url": url, "yes": yes, "no": no}
    values |= {"key": key, "tone": tone, "target": target, "csrf_token": context.get("csrf_token")}
    return render_to_string("partials/question.html", values)


@register.simple_tag
def stylesheet_url() -> str:
    """Return the URL of the stylesheet. It contains a hash of the content."""
    _, digest = stylesheet()
    return reverse("stylesheet", args=[digest])


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[dict[str, Any]]:
    """Return the links of the navigation bar: name, label, url, and whether the page is current."""
    request = context.get("request")
    path = request.path if request else ""
    reads = request is None or not hasattr(request, "user") or people.can_read(request.user)
    links = []
    for label, name in NAVIGATION:
        if not reads and name != "review":
            continue  # annotators can open no other page
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        links.append({"name": name, "label": label, "url": url, "here": path.startswith(url)})
    return links
