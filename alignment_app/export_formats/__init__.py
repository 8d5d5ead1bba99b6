"""Export formats, one entry each in :data:`_ENTRIES`.

To add a format, add a module with its writer to this package, and an entry to :data:`_ENTRIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alignment_app.export_formats.base import Writer
from alignment_app.export_formats.json_lines import JsonLines
from alignment_app.export_formats.parquet import Parquet


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """An export format.

    ``name`` is used in requests, ``label`` on pages. Files end in ``.extension``. The writer receives ``rows_at_once``
    rows per call, so the file is never in memory as a whole.
    """

    name: str
    label: str
    media_type: str
    extension: str
    writer: type[Writer]
    rows_at_once: int = 500


_ENTRIES = (
    ExportFormat("jsonl", "JSON Lines", "application/x-ndjson", "jsonl", JsonLines),
    # A Parquet file keeps metadata of every row group in memory until its end, so write few groups.
    ExportFormat("parquet", "Parquet", "application/vnd.apache.parquet", "parquet", Parquet, rows_at_once=5000),
)

EXPORT_FORMATS: Final[Mapping[str, ExportFormat]] = {entry.name: entry for entry in _ENTRIES}
DEFAULT_FORMAT: Final = "jsonl"


def format_choices() -> list[tuple[str, str]]:
    """Return the formats with their labels."""
    return [(entry.name, entry.label) for entry in _ENTRIES]


def format_of_suffix(suffix: str) -> str:
    """Return the format for a file suffix such as ``.parquet``; the default format for unknown suffixes."""
    return next((entry.name for entry in _ENTRIES if f".{entry.extension}" == suffix), DEFAULT_FORMAT)
