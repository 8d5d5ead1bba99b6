"""Numbers, durations and sizes as people read them."""

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
    """1234 → "1,234"; 0.61234 → "0.61"; 3.2e-6 → "3.2e-6"; nothing → "–". ``places`` fixes the decimals."""
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


def percent(value: Any, places: int = 0) -> str:
    """A share of one as "48 %"; nothing → "–"."""
    found = finite(value)
    return MISSING if found is None else f"{found * 100:.{int(places)}f}{NB}%"


def duration(seconds: Any) -> str:
    """Seconds as "0.4 s", "12 s", "6 min 12 s", "1 h 58 min", "3 days 4 h"; nothing → "–"."""
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
    """Seconds as "2 min left": rounded up as people say it; nothing → ""."""
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
    """Units a second as "38/s", "2.4/s" or "20/min" where they are few; nothing → ""."""
    found = finite(per_second)
    if found is None or found <= 0:
        return ""
    if found >= 10:
        return f"{found:,.0f}/s"
    if found >= 0.5:
        return f"{found:.1f}/s"
    return f"{found * 60:.1f}/min".replace(".0/", "/")


def size(value: Any) -> str:
    """Bytes as "820 B", "3.5 MB", "12 GB" (powers of 1000, as disks are sold); nothing → "–"."""
    found = finite(value)
    if found is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(found) < 1000 or unit == "TB":
            return f"{found:.0f}{NB}{unit}" if unit == "B" or abs(found) >= 99.95 else f"{found:.1f}{NB}{unit}"
        found /= 1000
    raise AssertionError


def p_value(value: Any) -> str:
    """0.0004 → "0.0004"; smaller than that → "below 0.0001"; nothing → "–"."""
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
    """A metric's value in one of the formats of :data:`training.domain.metric.Format`; nothing → "–"."""
    return _WRITTEN[format](value)


def written_interval(low: Any, high: Any, format: str) -> str:
    """A 95 % interval as "26 to 66 %" or "2.10 to 2.60"."""
    if format == "percent":
        return f"{number(100 * low, 0)} to {percent(high)}"
    return f"{written(low, format)} to {written(high, format)}"


def short_hash(value: str) -> str:
    """a41f…09: enough of a hash to know it again."""
    return f"{value[:4]}…{value[-2:]}" if len(value) > 8 else value
