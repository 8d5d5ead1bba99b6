"""Cached hardware of the machine that the web process runs on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from django.conf import settings

from training.hardware import Hardware

#: Lifetime of the cache in seconds: a query of the GPU driver is slow.
CACHE_SECONDS: Final = 60.0

_cached: tuple[float, Hardware] | None = None


def machine() -> Hardware:
    """Return this machine's hardware, at most :data:`CACHE_SECONDS` old."""
    global _cached
    now = time.monotonic()
    if _cached is None or now - _cached[0] > CACHE_SECONDS:
        _cached = (now, Hardware.detect(Path(settings.HOME)))
    return _cached[1]
