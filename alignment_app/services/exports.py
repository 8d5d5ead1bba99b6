"""Taking rows out, streamed: JSON Lines or Parquet, each export recorded with its count and content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db import models
from django.utils import timezone

from alignment_app.models import Dataset, DatasetSnapshot, Export, Iteration, Run
from alignment_app.selectors import exports as selectors
from alignment_app.selectors.exports import Selection
from alignment_app.services.errors import Refused
from alignment_app.services.people import can_export

#: A Parquet file keeps a description of each group in memory until its end: few groups, then.
ROWS_AT_ONCE = {"jsonl": 500, "parquet": 5000}
COMMAND_LINE = "the command line"
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


class Stream:
    """An export under way: iterate over it for the bytes of the file. Its record is complete once it is exhausted."""

    def __init__(self, export: Export, rows: Iterable[dict[str, Any]]) -> None:
        self.export = export
        self.media_type = MEDIA_TYPES[export.format]
        self._rows = rows

    def __iter__(self) -> Iterator[bytes]:
        digest, count = hashlib.sha256(), 0
        rows = iter(self._rows)
        encoder = _Parquet(self.export) if self.export.format == Export.Format.PARQUET else None
        while chunk := list(islice(rows, ROWS_AT_ONCE[self.export.format])):
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chunk).encode()
            digest.update(lines)
            count += len(chunk)
            yield encoder.encode(chunk) if encoder else lines
        if encoder:
            yield encoder.end(count, digest.hexdigest())
        self.export.row_count, self.export.content_hash = count, digest.hexdigest()
        self.export.finished_at = timezone.now()
        self.export.save(update_fields=["row_count", "content_hash", "finished_at"])

    async def in_pieces(self) -> AsyncIterator[bytes]:
        """The same for an asynchronous server, which would gather a plain iterator in memory before sending it."""
        pieces = iter(self)
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            yield piece


def export(
    selection: Selection,
    file_format: str = "jsonl",
    *,
    user: Any = None,
    found: models.QuerySet[Any] | None = None,
    marked: dict[str, Any] | None = None,
) -> Stream:
    """Begin an export. ``found`` takes the place of the selection's own query: rows ``marked`` by hand.

    Raises :class:`Refused` for an unknown kind, format, run, iteration, snapshot or data set, and for who may not.
    """
    if user is not None and not can_export(user):
        raise Refused("not-allowed", "Only an admin takes rows out in bulk. Ask one.", status=403)
    if file_format not in Export.Format.values:
        known = ", ".join(Export.Format.values)
        raise Refused("unknown-format", f"There is no format {file_format!r}. Choose one of {known}.", status=400)
    _check_exists(selection)
    if found is None:
        rows = selectors.rows_of(selection)
    else:
        rows = selectors.rows(selection.kind, found)
    record = Export.objects.create(
        kind=selection.kind,
        format=file_format,
        selection=selection.to_dict() | ({} if found is None else {"marked": marked or {}}),
        created_by=user,
        author=user.get_username() if user is not None else COMMAND_LINE,
    )
    return Stream(record, rows)


def _check_exists(selection: Selection) -> None:
    wanted: tuple[tuple[str, int | None, type[models.Model]], ...] = (
        ("run", selection.run, Run),
        ("iteration", selection.iteration, Iteration),
        ("snapshot", selection.snapshot, DatasetSnapshot),
        ("data set", selection.dataset, Dataset),
    )
    for name, number, model in wanted:
        if number is not None and not model._default_manager.filter(pk=number).exists():
            raise Refused("not-found", f"There is no {name} {number}.", status=404)


class _Parquet:
    """Row groups written as they come; what was written is handed on at once."""

    def __init__(self, record: Export) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        self._sink = _Sink()
        self._schema = _schema(record.kind)
        about = {key: json.dumps(value) for key, value in selectors.manifest(record).items()}
        self._writer = pyarrow.parquet.ParquetWriter(
            pyarrow.PythonFile(self._sink, mode="w"), self._schema, compression="zstd"
        )
        self._writer.add_key_value_metadata(
            {f"plumbline.{key}": value for key, value in about.items() if value != "null"}
        )

    def encode(self, rows: list[dict[str, Any]]) -> bytes:
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))
        return self._sink.drain()

    def end(self, count: int, digest: str) -> bytes:
        self._writer.add_key_value_metadata(
            {"plumbline.rows": str(count), "plumbline.sha256_of_rows_as_json_lines": digest}
        )
        self._writer.close()
        return self._sink.drain()


class _Sink:
    """A file that is nowhere: it keeps what was written until that is taken away."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def drain(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def _schema(kind: str) -> Any:
    """Columns fixed beforehand, so that a chunk of empty cells has the same type as any other."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    where = [("run", whole), ("iteration", whole)]
    if kind == Export.Kind.PAIRS:
        columns = [("prompt", turns), ("chosen", turns), ("rejected", turns)]
        columns += [(name, number) for name in ("chosen_score", "rejected_score", "margin")]
        columns += [("origin", text), ("state", text), ("reason", text), ("pair_id", whole), ("prompt_id", whole)]
        return pa.schema(columns + where)
    columns = [("prompt", turns), ("completion", turns), ("source", text)]
    if kind == Export.Kind.RESPONSES:
        spans = pa.list_(pa.struct([("start", whole), ("end", whole), ("weight", number)]))
        columns += [("purpose", text), ("model", text), ("index", whole), ("temperature", number), ("top_p", number)]
        columns += [("max_new_tokens", whole), ("seed", whole), ("token_count", whole), ("finish_reason", text)]
        return pa.schema([*columns, ("weights", spans), ("response_id", whole), ("prompt_id", whole), *where])
    samples = pa.list_(pa.struct([("raw", text), ("score", number), ("seed", whole)]))
    columns += [("judge", text), ("score", number), ("unparsed", pa.bool_()), ("parsed_count", whole)]
    columns += [
        ("sample_count", whole),
        ("spread", number),
        ("samples", samples),
        ("rationale", text),
        ("template", text),
    ]
    columns += [("judgement_id", whole), ("judge_id", whole), ("response_id", whole), ("prompt_id", whole)]
    return pa.schema(columns + where)
