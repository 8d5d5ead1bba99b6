"""Formatting of numbers, durations and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

#: No-break space between a number and its unit.
NB: Final = "\u00a0"
MISSING: Final = "–"


def finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def number(value: Any, places: Any = None) -> str:
    """Format 1234 as "1,234", 0.61234 as "0.61", 3.2e-6 as "3.2e-6", ``None`` as "–".

    :param places: number of decimals; automatic by default.
    """
    found = finite(value)
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


def signed(value: Any, places: int = 2) -> str:
    """Format a change with its sign, as "+0.12"; ``None`` as "–"."""
    found = finite(value)
    return number(value, places) if found is None or found < 0 else f"+{number(value, places)}"


def percent(value: Any, places: int = 0) -> str:
    """Format a share (0 to 1) as "48 %"; ``None`` as "–"."""
    found = finite(value)
    return MISSING if found is None else f"{found * 100:.{int(places)}f}{NB}%"


def duration(seconds: Any) -> str:
    """Format seconds as "0.4 s", "12 s", "6 min 12 s", "1 h 58 min", "3 days 4 h"; ``None`` as "–"."""
    found = finite(seconds)
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


def time_left(seconds: Any) -> str:
    """Format remaining seconds as "2 min left", rounded up; ``None`` as ""."""
    found = finite(seconds)
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


def rate(per_second: Any) -> str:
    """Format a rate per second as "38/s" or "2.4/s", below 0.5 as "20/min"; ``None`` as ""."""
    found = finite(per_second)
    if found is None or found <= 0:
        return ""
    if found >= 10:
        return f"{found:,.0f}/s"
    if found >= 0.5:
        return f"{found:.1f}/s"
    return f"{found * 60:.1f}/min".replace(".0/", "/")


def size(value: Any) -> str:
    """Format bytes as "820 B", "3.5 MB", "12 GB" (powers of 1000); ``None`` as "–"."""
    found = finite(value)
    if found is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(found) < 1000 or unit == "TB":
            return f"{found:.0f}{NB}{unit}" if unit == "B" or abs(found) >= 99.95 else f"{found:.1f}{NB}{unit}"
        found /= 1000
    raise AssertionError


def p_value(value: Any) -> str:
    """Format a p-value as "0.03", "0.0004" or "below 0.0001"; ``None`` as "–"."""
    found = finite(value)
    if found is None:
        return MISSING
    return "below 0.0001" if found < 1e-4 else f"{found:.4f}" if found < 0.01 else f"{found:.2f}"


_WRITTEN: Final[dict[str, Callable[[Any], str]]] = {
    "number": number,
    "percent": lambda value: percent(value, 1),
    "places1": lambda value: number(value, 1),
    "places2": lambda value: number(value, 2),
    "p": p_value,
    "duration": duration,
    "bytes": size,
}


def written(value: Any, format: str) -> str:
    """Format a metric's value in a format of :data:`training.domain.metric.Format`; ``None`` as "–"."""
    return _WRITTEN[format](value)


def written_interval(low: Any, high: Any, format: str) -> str:
    """Format a 95 % interval as "26 to 66 %" or "2.10 to 2.60"."""
    if format == "percent":
        return f"{number(100 * low, 0)} to {percent(high)}"
    return f"{written(low, format)} to {written(high, format)}"


def short_hash(value: str) -> str:
    """Shorten a hash to "a41f…09"."""
    return f"{value[:4]}…{value[-2:]}" if len(value) > 8 else value
