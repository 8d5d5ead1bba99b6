"""Log filters: repeated messages and secrets."""

from __future__ import annotations

import logging
import time
from typing import Final

from training.domain.secret import Secret

QUIET_SECONDS: Final = 60.0


class OncePerMinute(logging.Filter):
    """Pass a message once per minute, without traceback: for libraries that retry every second."""

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


#: Keys that this process has decrypted.
_secrets: set[Secret] = set()


def register_secret(secret: Secret) -> None:
    """Register a key that :func:`hide` must remove."""
    _secrets.add(secret)


def hide(text: str) -> str:
    """Return ``text`` with all registered keys masked."""
    for secret in _secrets:
        text = secret.hide(text)
    return text


class HideKeys(logging.Filter):
    """Mask registered keys in log records, including tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _secrets:
            record.msg, record.args = hide(record.getMessage()), ()
            if record.exc_info and not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            if record.exc_text:
                record.exc_text = hide(record.exc_text)
        return True
