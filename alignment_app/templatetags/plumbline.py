"""Numbers, durations, bytes and dates as people read them, and the small drawings every page uses."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from django import template
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

#: No-break space between a number and its unit.
NB = "\u00a0"
MISSING = "–"

NAVIGATION = (
    ("Runs", "runs"),
    ("Review", "review"),
    ("Checkpoints", "checkpoints"),
    ("Compare", "compare"),
    ("Data", "data"),
    ("System", "system"),
)

#: Tone of each state, for its dot: what is at work, needs a person, went wrong, is over.
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


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


@register.filter
def number(value: Any, places: Any = None) -> str:
    """1234 → "1,234"; 0.61234 → "0.61"; 3.2e-6 → "3.2e-6"; nothing → "–". ``places`` fixes the decimals."""
    found = _finite(value)
    if found is None:
        return MISSING
    if places is not None:
        return f"{found:,.{int(places)}f}".replace("-", "−")
    if found == int(found) and abs(found) < 1e15:
        text = f"{int(found):,}"
    elif abs(found) >= 100:
        text = f"{found:,.0f}"
    elif abs(found) >= 0.01:
        text = f"{found:.2f}"
    else:
        mantissa, _, exponent = f"{found:.1e}".partition("e")
        text = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


@register.filter
def percent(value: Any, places: int = 0) -> str:
    """A share of one as "48 %"; nothing → "–"."""
    found = _finite(value)
    return MISSING if found is None else f"{found * 100:.{int(places)}f}{NB}%"


@register.filter
def duration(seconds: Any) -> str:
    """Seconds as "0.4 s", "12 s", "6 min 12 s", "1 h 58 min", "3 days 4 h"; nothing → "–"."""
    found = _finite(seconds)
    if found is None or found < 0:
        return MISSING
    if found < 9.95:
        return f"{found:.1f}{NB}s" if found % 1 and found < 1 else f"{round(found)}{NB}s"
    whole = round(found)
    if whole < 60:
        return f"{whole}{NB}s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}{NB}min" + (f"{NB}{rest}{NB}s" if rest and minutes < 10 else "")
    if whole < 172800:
        hours, rest = divmod(round(whole / 60), 60)
        return f"{hours}{NB}h" + (f"{NB}{rest}{NB}min" if rest else "")
    days, rest = divmod(round(whole / 3600), 24)
    return f"{days}{NB}days" + (f"{NB}{rest}{NB}h" if rest else "")


@register.filter
def time_left(seconds: Any) -> str:
    """Seconds as "2 min left": rounded up as people say it; nothing → ""."""
    found = _finite(seconds)
    if found is None or found < 0:
        return ""
    if found < 8:
        return "a few seconds left"
    if found < 55:
        return f"{math.ceil(found / 5) * 5}{NB}s left"
    if found < 5400:
        return f"{math.ceil(found / 60)}{NB}min left"
    if found < 172800:
        return f"{found / 3600:.1f}{NB}h left".replace(".0", "")
    return f"{round(found / 86400)}{NB}days left"


@register.filter
def rate(per_second: Any) -> str:
    """Units a second as "38/s", "2.4/s" or "20/min" where they are few; nothing → ""."""
    found = _finite(per_second)
    if found is None or found <= 0:
        return ""
    if found >= 10:
        return f"{found:,.0f}/s"
    if found >= 0.5:
        return f"{found:.1f}/s"
    return f"{found * 60:.1f}/min".replace(".0/", "/")


@register.filter(name="bytes")
def bytes_(value: Any) -> str:
    """Bytes as "820 B", "3.5 MB", "12 GB" (powers of 1000, as disks are sold); nothing → "–"."""
    found = _finite(value)
    if found is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(found) < 1000 or unit == "TB":
            return f"{found:.0f}{NB}{unit}" if unit == "B" or abs(found) >= 99.95 else f"{found:.1f}{NB}{unit}"
        found /= 1000
    raise AssertionError


@register.filter
def when(moment: datetime | None) -> str:
    """A moment as a <time> that the page shows in the reader's own zone: "12:31" today, else "3 Nov 12:31"."""
    if moment is None:
        return MISSING
    local = timezone.localtime(moment)
    shown = f"{local:%H:%M}" if local.date() == timezone.localdate() else f"{local.day} {local:%b %H:%M}"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), shown)


@register.filter
def ago(moment: datetime | None) -> str:
    """A moment as "4 min ago", which the page counts on."""
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
    """The tone of a state: live, ask, wait, good, bad, off."""
    return TONES.get(str(status), "off")


@register.filter
def short_hash(value: str) -> str:
    """a41f…09: enough of a hash to know it again."""
    return f"{value[:4]}…{value[-2:]}" if len(value) > 8 else value


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """``mapping[key]`` where the key is in a variable; None where it is not there."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.simple_tag
def bar(value: Any, maximum: Any = 1, kind: str = "") -> SafeString:
    """A bar of ``value`` of ``maximum``; ``kind`` colours it: self, teacher, human, good, bad, accent."""
    share, top = _finite(value), _finite(maximum)
    width = 0.0 if share is None or not top else max(0.0, min(100.0, 100 * share / top))
    return format_html(
        '<svg class="bar {}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="8"/></svg>',
        kind,
        f"{width:.1f}",
    )


@register.simple_tag
def split_bar(win: Any, tie: Any, lose: Any) -> SafeString:
    """Win, tie and lose side by side; the counts or shares are named for screen readers."""
    parts = [max(0.0, _finite(part) or 0.0) for part in (win, tie, lose)]
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
    """A state as a pill with a dot of its tone."""
    return format_html('<span class="pill {}"><i></i>{}</span>', tone(status), label or str(status).capitalize())


@register.simple_tag
def source(kind: str, label: str = "") -> SafeString:
    """The mark of a source of judgement: self, teacher, human, reference."""
    names = {"self": "self", "teacher": "teacher", "human": "person", "reference": "reference"}
    return format_html('<span class="src {}">{}</span>', kind, label or names.get(kind, kind))


@register.simple_tag(takes_context=True)
def theme_attribute(context: Context) -> SafeString:
    """data-theme from the cookie, so that the first paint has the chosen theme."""
    request = context.get("request")
    chosen = request.COOKIES.get("theme") if request else None
    return mark_safe(f' data-theme="{chosen}"') if chosen in ("light", "dark") else mark_safe("")


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[dict[str, Any]]:
    """The pages of the bar that this installation has: label, url and whether the reader is there."""
    request = context.get("request")
    path = request.path if request else ""
    links = []
    for label, name in NAVIGATION:
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        links.append({"label": label, "url": url, "here": path.startswith(url)})
    return links
