"""What writes rows in a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Writer(Protocol):
    """Rows as bytes, chunk by chunk."""

    def __init__(self, kind: str, about: Mapping[str, Any]) -> None:
        """``kind`` of the rows (``pairs``, ``responses``, ``judgements``), and the export's manifest so far."""

    def encode(self, rows: list[dict[str, Any]]) -> bytes:
        """The next part of the file."""

    def end(self, count: int, digest: str) -> bytes:
        """The last part, after ``count`` rows; ``digest`` is the SHA-256 of them as JSON Lines."""
