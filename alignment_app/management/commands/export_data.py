"""``python manage.py export_data pairs --run 3 --output pairs.jsonl``: export rows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from alignment_app.export_formats import DEFAULT_FORMAT, EXPORT_FORMATS, format_of_suffix
from alignment_app.management.base import WRONG_USE, Error, PlainCommand, add_user_option, user_of
from alignment_app.models import Dataset, Export
from alignment_app.selectors.exports import Selection, manifest
from alignment_app.services import exports


class Command(PlainCommand):
    help = (
        "Export pairs (TRL's preference format), responses or judgements. A manifest with author, time, row count and "
        "content hash is written beside the file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=Export.Kind.values)
        parser.add_argument("--output", type=Path, help="File to write; default: standard output.")
        parser.add_argument(
            "--format", choices=list(EXPORT_FORMATS), help=f"Default: by the suffix, else {DEFAULT_FORMAT}."
        )
        for name in ("snapshot", "run", "iteration"):
            parser.add_argument(f"--{name}", type=int, help=f"Number of the {name}.")
        parser.add_argument("--dataset", default="", help="Data set name.")
        parser.add_argument("--source", default="", help="Source of responses or judgements; origin of pairs.")
        parser.add_argument("--excluded", action="store_true", help="Include pairs excluded in review.")
        parser.add_argument("--force", action="store_true", help="Overwrite an existing file.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        path: Path | None = options["output"]
        if path and path.exists() and not (options["force"] and path.is_file()):
            raise Error(f"{path} exists; choose another file or use --force", returncode=WRONG_USE)
        if path and not path.parent.is_dir():
            raise Error(f"there is no folder {path.parent}", returncode=WRONG_USE)
        by_suffix = format_of_suffix(path.suffix if path else "")
        stream = exports.export(_selection(options), options["format"] or by_suffix, user=user_of(options["user"]))
        if path is None:
            for piece in stream:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            self._write(stream, path)
        record = stream.export
        where = path or "standard output"
        self.stderr.write(f"{record.row_count:,} rows to {where}, SHA-256 of the rows {record.content_hash}")

    def _write(self, stream: exports.Stream, path: Path) -> None:
        """Write to a temporary name until the file is complete."""
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                for piece in stream:
                    file.write(piece)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        about = manifest(stream.export) | {"file": path.name}
        path.with_name(f"{path.name}.manifest.json").write_text(
            json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _selection(options: dict[str, Any]) -> Selection:
    dataset = None
    if options["dataset"]:
        found = Dataset.objects.filter(name=options["dataset"]).first()
        if found is None:
            raise Error(f"unknown data set {options['dataset']!r}")
        dataset = found.pk
    return Selection(
        options["kind"],
        snapshot=options["snapshot"],
        run=options["run"],
        iteration=options["iteration"],
        dataset=dataset,
        source=options["source"],
        excluded=options["excluded"],
    )
