"""Interface of export writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Writer(Protocol):
    """Encodes rows as bytes, chunk by chunk."""

    def __init__(self, kind: str, about: Mapping[str, Any]) -> None:
        """``kind`` of the rows: ``pairs``, ``responses`` or ``judgements``. ``about``: the export's manifest so far."""

    def encode(self, rows: list[dict[str, Any]]) -> bytes:
        """Return the next part of the file."""

    def end(self, count: int, digest: str) -> bytes:
        """Return the last part, after ``count`` rows; ``digest`` is the SHA-256 of the rows as JSON Lines."""
