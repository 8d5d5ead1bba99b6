"""Parquet with zstd compression, and the manifest in the file metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Parquet:
    """Write row groups as they arrive. Implements :class:`alignment_app.export_formats.base.Writer`."""

    def __init__(self, kind: str, about: Mapping[str, Any]) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        self._sink = _Sink()
        self._schema = _schema(kind)
        described = {key: json.dumps(value) for key, value in about.items()}
        self._writer = pyarrow.parquet.ParquetWriter(
            pyarrow.PythonFile(self._sink, mode="w"), self._schema, compression="zstd"
        )
        self._writer.add_key_value_metadata(
            {f"plumbline.{key}": value for key, value in described.items() if value != "null"}
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
    """An in-memory file that keeps written bytes until :meth:`drain` returns them."""

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
    """Fixed column types, so that a chunk of empty cells has the same type as any other."""
    import pyarrow as pa

    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    text, whole, number = pa.string(), pa.int64(), pa.float64()
    where = [("run", whole), ("iteration", whole)]
    if kind == "prompts":
        columns = [("messages", turns), *((name, text) for name in ("checks", "meta", "source", "dataset"))]
        return pa.schema([*columns, ("prompt_id", whole)])
    if kind == "pairs":
        columns = [("prompt", turns), ("chosen", turns), ("rejected", turns)]
        columns += [(name, number) for name in ("chosen_score", "rejected_score", "margin")]
        columns += [("origin", text), ("state", text), ("reason", text), ("pair_id", whole), ("prompt_id", whole)]
        return pa.schema(columns + where)
    columns = [("prompt", turns), ("completion", turns), ("source", text)]
    if kind == "responses":
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
        ("checks", text),
        ("template", text),
    ]
    columns += [("judgement_id", whole), ("judge_id", whole), ("response_id", whole), ("prompt_id", whole)]
    return pa.schema(columns + where)
