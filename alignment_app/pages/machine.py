"""The machine that the web process runs on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from django.conf import settings

from training.hardware import Hardware

#: The machine is looked at anew after so long (s): asking the GPU driver takes a moment.
KEPT_SECONDS: Final = 60.0

_seen: tuple[float, Hardware] | None = None


def machine() -> Hardware:
    """This machine, as it was within the last minute."""
    global _seen
    now = time.monotonic()
    if _seen is None or now - _seen[0] > KEPT_SECONDS:
        _seen = (now, Hardware.detect(Path(settings.HOME)))
    return _seen[1]
