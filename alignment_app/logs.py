"""What keeps the logs readable."""

from __future__ import annotations

import logging
import time
from typing import Final

QUIET_SECONDS: Final = 60.0


class OnceAMinute(logging.Filter):
    """Lets a logger say the same thing once a minute, without its traceback: for libraries that retry every second."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        text = str(record.msg)
        if now - self._said_at.get(text, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._said_at[text] = now
        if record.exc_info:
            record.msg = f"{record.msg}: {record.exc_info[1]}"
            record.exc_info = record.exc_text = None
        return True
