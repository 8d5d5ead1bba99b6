"""Streamed exports, each recorded with its row count and content hash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import models
from django.utils import timezone

from alignment_app.export_formats import DEFAULT_FORMAT, EXPORT_FORMATS
from alignment_app.export_formats.json_lines import json_lines
from alignment_app.models import Dataset, DatasetSnapshot, Export, Iteration, Run
from alignment_app.selectors import exports as selectors
from alignment_app.selectors.exports import Selection
from alignment_app.services.errors import Refused
from alignment_app.services.people import can_export

COMMAND_LINE = "the command line"


class Stream:
    """An export as an iterator of bytes. The :class:`Export` row is completed when it is exhausted."""

    def __init__(self, export: Export, rows: Iterable[dict[str, Any]]) -> None:
        self.export = export
        self.format = EXPORT_FORMATS[export.format]
        self._rows = rows

    def __iter__(self) -> Iterator[bytes]:
        digest, count = hashlib.sha256(), 0
        rows = iter(self._rows)
        writer = self.format.writer(self.export.kind, selectors.manifest(self.export))
        while chunk := list(islice(rows, self.format.rows_at_once)):
            digest.update(json_lines(chunk))
            count += len(chunk)
            yield writer.encode(chunk)
        if rest := writer.end(count, digest.hexdigest()):
            yield rest
        self.export.row_count, self.export.content_hash = count, digest.hexdigest()
        self.export.finished_at = timezone.now()
        self.export.save(update_fields=["row_count", "content_hash", "finished_at"])

    async def in_pieces(self) -> AsyncIterator[bytes]:
        """Iterate asynchronously: an ASGI server would read a synchronous iterator into memory before sending it."""
        pieces = iter(self)
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            yield piece


def export(
    selection: Selection,
    file_format: str = DEFAULT_FORMAT,
    *,
    user: Any = None,
    found: models.QuerySet[Any] | None = None,
    marked: dict[str, Any] | None = None,
) -> Stream:
    """Start an export. ``found`` replaces the selection's own query, for rows ``marked`` by hand.

    Raises :class:`Refused` for an unknown kind, format, run, iteration, snapshot or data set, or without permission.
    """
    if user is not None and not can_export(user):
        raise Refused("not-allowed", "Only admins can export rows.", status=403)
    if file_format not in EXPORT_FORMATS:
        known = ", ".join(EXPORT_FORMATS)
        raise Refused("unknown-format", f"Unknown format {file_format!r}. Choose one of {known}.", status=400)
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
    if selection.kind not in selectors.KINDS:
        known = ", ".join(selectors.KINDS)
        raise Refused("unknown-kind", f"Unknown kind {selection.kind!r}. Choose one of {known}.", status=400)
    _, sources = selectors.KINDS[selection.kind]
    if selection.source and selection.source not in sources:
        known = ", ".join(sources)
        raise Refused("unknown-source", f"Unknown source {selection.source!r}. Choose one of {known}.", status=400)
    wanted: tuple[tuple[str, int | None, type[models.Model]], ...] = (
        ("run", selection.run, Run),
        ("iteration", selection.iteration, Iteration),
        ("snapshot", selection.snapshot, DatasetSnapshot),
        ("data set", selection.dataset, Dataset),
    )
    for name, number, model in wanted:
        if number is not None and not model._default_manager.filter(pk=number).exists():
            raise Refused("not-found", f"There is no {name} {number}.", status=404)
    frozen = selectors.frozen_set(selection)
    if frozen and not (path := Path(settings.HOME) / frozen.path).is_file():
        raise Refused("file-gone", f"The frozen file {path} is missing. Export the iteration's pairs instead.")
