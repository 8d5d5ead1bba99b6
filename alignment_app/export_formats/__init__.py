"""The formats in which rows are exported: one entry each, which everything else reads.

To add a format, write a module with its writer in this package and its entry in :data:`_ENTRIES`.
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
    """One format.

    ``name`` is what a request says, ``label`` what a screen shows. A file ends in ``.extension``. ``rows_at_once`` rows
    are given to the writer together; a file of them all is in memory at no time.
    """

    name: str
    label: str
    media_type: str
    extension: str
    writer: type[Writer]
    rows_at_once: int = 500


_ENTRIES = (
    ExportFormat("jsonl", "JSON Lines", "application/x-ndjson", "jsonl", JsonLines),
    # A Parquet file keeps a description of each group of rows in memory until its end: few groups, then.
    ExportFormat("parquet", "Parquet", "application/vnd.apache.parquet", "parquet", Parquet, rows_at_once=5000),
)

EXPORT_FORMATS: Final[Mapping[str, ExportFormat]] = {entry.name: entry for entry in _ENTRIES}
DEFAULT_FORMAT: Final = "jsonl"


def format_choices() -> list[tuple[str, str]]:
    """The formats with their labels."""
    return [(entry.name, entry.label) for entry in _ENTRIES]


def format_of_suffix(suffix: str) -> str:
    """The format of a file whose name ends in ``suffix``, such as ``.parquet``; the default one for any other."""
    return next((entry.name for entry in _ENTRIES if f".{entry.extension}" == suffix), DEFAULT_FORMAT)
