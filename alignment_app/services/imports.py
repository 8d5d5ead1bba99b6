"""Import of prompts, demonstrations, scored responses and preference pairs, without duplicates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from django.db import transaction

from alignment_app.models import Dataset, Prompt
from alignment_app.services.import_formats import BadLine, ImportRefused, Record, checked, read_records
from alignment_app.services.import_writer import Writer
from training.domain.import_values import BadRow
from training.domain.importing import (
    DatasetKind,
    ImportedRow,
    check_mapping,
    detect_kind,
    detect_mapping,
    read_row,
    score_columns,
)

CHUNK = 500
MAX_NAMED = 200  # bad lines listed in a report
JUDGE_SOURCES = ("self", "teacher", "reference", "human")
PROMPT_SOURCES = ("imported", "seed", "evaluation")
Source = str | os.PathLike[str] | IO[bytes] | Iterable[Mapping[str, Any]]


@dataclass(slots=True)
class ImportReport:
    """The result of an import. ``bad`` lists the first unusable lines: (line, reason)."""

    added: int = 0
    repeated: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)
    bad_count: int = 0
    dataset: Dataset | None = None

    def note(self, line: int, reason: str) -> None:
        self.bad_count += 1
        if len(self.bad) < MAX_NAMED:
            self.bad.append((line, reason))

    def sentence(self) -> str:
        """Return a summary: rows added, repeated and refused."""
        parts = [f"{self.added:,} {_rows(self.added)} added"]
        if self.repeated:
            parts.append(f"{self.repeated:,} there already")
        if self.bad_count:
            parts.append(f"{self.bad_count:,} left out")
        return ", ".join(parts)


class BadLines(ImportRefused):
    """Some lines cannot be used and ``keep_good`` is off. ``report`` lists them."""

    def __init__(self, report: ImportReport) -> None:
        line, reason = report.bad[0]
        more = f" and {report.bad_count - 1:,} more" if report.bad_count > 1 else ""
        super().__init__(
            f"nothing was imported: line {line} {reason}{more}; correct the file, or import only the good lines"
        )
        self.report = report


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file will be read, before anything is stored."""

    kind: DatasetKind
    mapping: dict[str, str]
    fields: list[str]
    score_columns: list[str]
    rows: list[ImportedRow]
    good: int
    report: ImportReport


def import_rows(
    dataset_name: str,
    kind: str,
    rows_or_file: Source,
    *,
    mapping: Mapping[str, str] | None = None,
    judges: Mapping[str, str] | None = None,
    keep_good: bool = False,
    source: str = "imported",
    description: str = "",
    licence: str = "",
    user: Any = None,
) -> ImportReport:
    """Add rows to a data set in one transaction. Creates the data set if the name is new.

    ``rows_or_file``: a path, a binary file, or mappings. ``mapping``: {meaning: field}. ``judges``: {source: column},
    with source one of self, teacher, reference, human. A score of -1 is stored as unparsed; null adds no judgement.
    Rows with existing content are counted as repeated.
    Raises :class:`BadLines` when a row cannot be used and ``keep_good`` is off, and :class:`ImportRefused` when the
    whole import cannot; nothing is stored then.
    With SQLite, other writers wait until the import ends: about one second per 7,000 rows.
    """
    mapping, judges = dict(mapping or {}), dict(judges or {})
    _check(kind, mapping, judges, source)
    name = clean_name(dataset_name)
    report = ImportReport()
    with _records(rows_or_file) as records, transaction.atomic():
        dataset = _dataset(name, cast(DatasetKind, kind), description, licence, user)
        writer = Writer(dataset, judges, Prompt.Source(source))
        rows = _rows_of(records, cast(DatasetKind, kind), mapping, judges, report)
        while chunk := list(islice(rows, CHUNK)):
            if keep_good or not report.bad_count:
                added = writer.write(chunk)
                report.added += added
                report.repeated += len(chunk) - added
        if report.bad_count and not keep_good:
            raise BadLines(report)
        if not report.added and not report.repeated:
            if report.bad_count:
                raise ImportRefused(f"no usable line; line {report.bad[0][0]} {report.bad[0][1]}")
            raise ImportRefused("there are no rows to import")
        if isinstance(rows_or_file, str | os.PathLike) or hasattr(rows_or_file, "read"):
            dataset.source_hash = file_hash(cast("str | os.PathLike[str] | IO[bytes]", rows_or_file))
            dataset.save(update_fields=["source_hash"])
    report.dataset = dataset
    return report


def preview(
    rows_or_file: Source,
    kind: str = "",
    *,
    mapping: Mapping[str, str] | None = None,
    judges: Mapping[str, str] | None = None,
    shown: int = 5,
    at_most: int | None = None,
    ask_whose: bool = True,
) -> Preview:
    """Read all rows, or the first ``at_most``, without storing: the first rows, the counts and the problems.

    Without ``kind``, it is derived from the first record. Raises :class:`ImportRefused` like the import; with
    ``ask_whose`` false, a score column without a judge is not an error.
    """
    mapping, judges = dict(mapping or {}), dict(judges or {})
    rows: list[ImportedRow] = []
    report, good = ImportReport(), 0
    with _records(rows_or_file) as records:
        records = islice(records, at_most)
        held: list[Record] = []
        for item in records:
            held.append(item)
            if not isinstance(item[1], BadLine):
                break
        first = next((record for _, record in held if not isinstance(record, BadLine)), None)
        if first is None:
            reason = f"; line {held[0][0]} {cast(BadLine, held[0][1]).reason}" if held else ""
            raise ImportRefused(f"there is no row in the file{reason}")
        chosen = cast(DatasetKind, kind or detect_kind(first))
        _check(chosen, mapping, judges, "imported")
        everything = (item for part in (held, records) for item in part)
        for row in _rows_of(everything, chosen, mapping, judges, report, ask_whose=ask_whose):
            good += 1
            if len(rows) < shown:
                rows.append(row[0])
    columns = score_columns(first, mapping) if chosen == "scored" else []
    return Preview(chosen, detect_mapping(chosen, first, mapping), list(first), columns, rows, good, report)


def clean_name(name: str) -> str:
    """Return a valid data set name: 1 to 120 printable characters on one line."""
    name = (name or "").strip()
    if not name:
        raise ImportRefused("give the data set a name")
    if len(name) > 120 or not name.isprintable():
        raise ImportRefused("a data set name has at most 120 printable characters on one line")
    return name


def file_hash(source: str | os.PathLike[str] | IO[bytes]) -> str:
    """Return the SHA-256 of the file."""
    with _opened(source) as (file, _):
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(1024 * 1024):
            digest.update(block)
        return digest.hexdigest()


def _check(kind: str, mapping: dict[str, str], judges: dict[str, str], source: str) -> None:
    try:
        check_mapping(kind, mapping)
    except BadRow as error:
        raise ImportRefused(str(error)) from None
    if source not in PROMPT_SOURCES:
        raise ImportRefused(f"unknown prompt source {source!r}; choose one of {', '.join(PROMPT_SOURCES)}")
    if judges and kind != "scored":
        raise ImportRefused(f"judges are only for the kind scored, not for {kind}")
    for who, column in judges.items():
        if who not in JUDGE_SOURCES:
            raise ImportRefused(f"unknown judge source {who!r}; choose one of {', '.join(JUDGE_SOURCES)}")
        if not column.strip() or len(column) > 200:
            raise ImportRefused(f"name the column with the scores of {who}, for example {who}=gemini")


def _rows_of(
    records: Iterable[Record],
    kind: DatasetKind,
    mapping: dict[str, str],
    judges: dict[str, str],
    report: ImportReport,
    *,
    ask_whose: bool = True,
) -> Iterator[tuple[ImportedRow, int]]:
    """Yield the usable rows with their line numbers, and note the others in the report."""
    seen_columns: set[str] = set()
    unnamed: list[str] = []
    any_good = False
    for line, record in records:
        if isinstance(record, BadLine):
            report.note(line, record.reason)
            continue
        try:
            row = read_row(kind, record, mapping, judges)
        except BadRow as error:
            report.note(line, str(error))
            continue
        if kind == "scored":
            if judges:
                seen_columns |= {score.column for response in row.responses for score in response.scores}
                unnamed = unnamed or score_columns(record, mapping)
            elif ask_whose and (found := score_columns(record, mapping)):
                raise ImportRefused(
                    f"name the judge of the scores, for example teacher={found[0]} (the file has {', '.join(found)})"
                )
        any_good = True
        yield row, line
    absent = [column for column in judges.values() if column not in seen_columns]
    if absent and any_good:
        has = f"; the file has {', '.join(unnamed)}" if unnamed else ""
        raise ImportRefused(f"no row has a score of {absent[0]!r}{has}")


def _dataset(name: str, kind: DatasetKind, description: str, licence: str, user: Any) -> Dataset:
    dataset, made = Dataset.objects.select_for_update().get_or_create(
        name=name,
        defaults={
            "kind": kind,
            "description": description,
            "licence": licence[:80],
            "created_by": user if user is not None and user.is_authenticated else None,
        },
    )
    if not made and dataset.kind != kind:
        raise ImportRefused(f"the data set {name!r} holds {dataset.get_kind_display().lower()}; choose another name")
    if not made and dataset.run_id:
        raise ImportRefused(f"the data set {name!r} belongs to run {dataset.run_id}; choose another name")
    return dataset


@contextmanager
def _opened(source: str | os.PathLike[str] | IO[bytes]) -> Iterator[tuple[IO[bytes], str]]:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            if path.is_dir():
                raise ImportRefused(f"{path} is a folder; give a file")
            with path.open("rb") as file:
                yield file, path.name
        except FileNotFoundError:
            raise ImportRefused(f"there is no file {path}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ImportRefused(f"{str(path)[:200]!r} cannot be read: {why}") from None
    else:
        yield source, str(getattr(source, "name", ""))


@contextmanager
def _records(source: Source) -> Iterator[Iterator[Record]]:
    if isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        with _opened(cast("str | os.PathLike[str] | IO[bytes]", source)) as (file, name):
            yield read_records(file, name)
    else:
        yield ((number, checked(row)) for number, row in enumerate(source, 1))


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"
