"""Readers for JSON Lines, JSON arrays, CSV and Parquet, one record at a time in bounded memory.

Every reader yields ``(line, record)``. ``line`` is the line of the file, or the row of a Parquet file or array, from 1.
``record`` is the decoded record, or a :class:`BadLine`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from alignment_app.services.errors import Refused

MAX_FILE = 4 * 1024**3  # bytes
MAX_ROW = 8 * 1024**2  # bytes of one row
MAX_DEPTH = 16
MAX_COLUMNS = 500
FORMATS = ("jsonl", "json", "csv", "parquet")
_CHUNK = 1024 * 1024
_NOT_SPACE = re.compile(r"\S")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class ImportRefused(Refused):
    """The file or the whole import cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__("import-refused", f"{message[0].upper()}{message[1:]}.", status=400)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not a record, with the reason."""

    reason: str


Record = tuple[int, "dict[str, Any] | BadLine"]


def detect_format(file: IO[bytes], name: str = "") -> str:
    """Return jsonl, json, csv or parquet, by suffix and first bytes. The file is rewound."""
    file.seek(0)
    start = file.read(4096)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > MAX_FILE:
        raise ImportRefused(f"the file is {size / 1024**3:.1f} GiB; split it into parts of at most 4 GiB")
    if start.startswith(b"PAR1"):
        return "parquet"
    for mark, packer in _PACKED.items():
        if start.startswith(mark):
            raise ImportRefused(f"the file is compressed with {packer}; decompress it first")
    if _SUFFIXES.get(Path(name).suffix.lower()) == "parquet":
        raise ImportRefused("the file has a Parquet suffix but is not Parquet; export it again, or rename it")
    text = _as_utf8(start).lstrip()
    if not text:
        raise ImportRefused("the file is empty")
    suffix = _SUFFIXES.get(Path(name).suffix.lower())
    if suffix == "csv":
        return "csv"
    if text.startswith("["):
        return "json"
    if text.startswith("{") or suffix == "jsonl":
        return "jsonl"
    if "\x00" in text:
        raise ImportRefused("the file is binary; use JSON Lines, a JSON array, CSV or Parquet")
    if "," in text.splitlines()[0] and suffix is None:
        return "csv"
    raise ImportRefused("unknown file format; use JSON Lines, a JSON array, CSV or Parquet")


def read_records(file: IO[bytes], name: str = "") -> Iterator[Record]:
    """Yield the records of a file in any known format. Raises :class:`ImportRefused` when it cannot be read."""
    kind = detect_format(file, name)
    return {"jsonl": _json_lines, "json": _json_array, "csv": _table, "parquet": _parquet}[kind](file)


def _as_utf8(start: bytes) -> str:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return start.decode("utf-16", errors="ignore")
    return start.decode("utf-8-sig", errors="replace")


def _text(file: IO[bytes]) -> io.TextIOWrapper:
    """Open the file as text: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Bytes that are not UTF-8 become lone surrogates, so that only the rows with them are refused.
    """
    file.seek(0)
    mark = file.read(2)
    file.seek(0)
    encoding = "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return io.TextIOWrapper(_KeptOpen(file), encoding=encoding, errors="surrogateescape", newline="")


class _KeptOpen(io.RawIOBase):
    """A wrapper whose ``close`` leaves the file open, because the caller reads it again."""

    name = ""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _json_lines(file: IO[bytes]) -> Iterator[Record]:
    text = _text(file)
    number = 0
    while line := text.readline(MAX_ROW + 1):
        number += 1
        if len(line) > MAX_ROW:
            while line and not line.endswith("\n"):
                line = text.readline(MAX_ROW)
            yield number, BadLine(f"is longer than {MAX_ROW // 1024**2} MiB")
            continue
        if line.strip():
            yield number, _parsed(line)


def _json_array(file: IO[bytes]) -> Iterator[Record]:
    """Yield the items of one array, with only one in memory at a time."""
    text = _text(file)
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    buffer = text.read(_CHUNK).lstrip().removeprefix("[")
    place, number, ended = 0, 0, False  # place: position in the buffer of the next unread character
    while True:
        place = _skipped(buffer, place)
        if number and buffer.startswith(",", place):
            place = _skipped(buffer, place + 1)
        if buffer.startswith("]", place):
            return
        try:
            item, end = decoder.raw_decode(buffer, place) if place < len(buffer) else (None, -1)
        except (ValueError, RecursionError) as error:
            if ended or isinstance(error, RecursionError) or len(buffer) - place > MAX_ROW:
                yield number + 1, BadLine("is not valid JSON; the rest of the array was not read")
                return
            end = -1
        # A number at the end of the buffer may be incomplete, and a closing bracket may follow.
        if end < 0 or (end == len(buffer) and not ended):
            more = text.read(_CHUNK)
            ended = not more
            if ended and place >= len(buffer):
                yield number + 1, BadLine("the array is not closed; the file may be truncated")
                return
            buffer, place = buffer[place:] + more, 0
            continue
        number += 1
        yield number, checked(item)
        place = end


def _skipped(text: str, place: int) -> int:
    """Return the position of the next character that is not white space."""
    found = _NOT_SPACE.search(text, place)
    return found.start() if found else len(text)


def _table(file: IO[bytes]) -> Iterator[Record]:
    csv.field_size_limit(MAX_ROW)
    reader = csv.reader(_text(file), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except (StopIteration, csv.Error):
        raise ImportRefused("the table has no header line with column names") from None
    if len(header) > MAX_COLUMNS:
        raise ImportRefused(f"the table has {len(header)} columns; at most {MAX_COLUMNS} are allowed")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ImportRefused(f"the column {twice!r} is twice in the header; rename one")
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, BadLine(f"cannot be read as CSV ({error}); check the quotation marks")
            return
        if not cells:
            continue
        if len(cells) != len(header):
            yield reader.line_num, BadLine(f"has {len(cells)} cells, but the header has {len(header)}")
            continue
        yield reader.line_num, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}


def _parquet(file: IO[bytes]) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(batch_size=500):
            for record in batch.to_pylist():
                number += 1
                yield number, checked(record)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImportRefused(f"the Parquet file cannot be read: {str(error).splitlines()[0][:160]}") from None


class _NoJSON(ValueError):
    """A constant that Python reads but JSON does not have."""


def _parsed(line: str) -> dict[str, Any] | BadLine:
    try:
        return checked(json.loads(line, parse_constant=_no_constant))
    except RecursionError:
        return BadLine(f"is nested more than {MAX_DEPTH} levels deep")
    except json.JSONDecodeError as error:
        return BadLine(f"is not valid JSON at column {error.colno} ({error.msg[:1].lower()}{error.msg[1:]})")
    except _NoJSON as error:
        return BadLine(str(error))
    except ValueError:  # Python limits the digits of an integer
        return BadLine("contains a number with too many digits")


def checked(item: Any) -> dict[str, Any] | BadLine:
    """Return a decoded record, or the reason why the item is not a record."""
    if not isinstance(item, dict):
        return BadLine("is not an object with named fields")
    return BadLine(f"is nested more than {MAX_DEPTH} levels deep") if _depth_over(item, MAX_DEPTH) else item


def _depth_over(item: Any, limit: int) -> bool:
    level = [item]
    for _ in range(limit):
        level = [
            part
            for one in level
            for part in (one.values() if isinstance(one, dict) else one)
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def _no_constant(name: str) -> float:
    raise _NoJSON(f"contains {name}, which is not JSON; use null")
