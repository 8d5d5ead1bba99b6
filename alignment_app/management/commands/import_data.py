"""``python manage.py import_data FILE --name NAME``: import a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from alignment_app.management.base import Error, PlainCommand, add_user_option, assignments, user_of
from alignment_app.services.imports import (
    JUDGE_SOURCES,
    PROMPT_SOURCES,
    BadLines,
    ImportReport,
    Preview,
    import_rows,
    preview,
)
from training.domain.importing import DATASET_KINDS

NAMED = 20


class Command(PlainCommand):
    help = (
        "Import prompts, prompt-response pairs, scored responses or preference pairs from JSON Lines, JSON, CSV "
        "or Parquet. Existing rows are skipped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--name", default="", help="Name of the data set. Default: the file's name.")
        parser.add_argument("--kind", choices=DATASET_KINDS, default="", help="Default: derived from the first row.")
        parser.add_argument(
            "--map", action="append", default=[], metavar="MEANING=FIELD", help="For example prompt=instruction."
        )
        parser.add_argument(
            "--judge",
            action="append",
            default=[],
            metavar="SOURCE=COLUMN",
            help=f"Judge of a score column: {', '.join(JUDGE_SOURCES)}. -1 means unparsed, null missing.",
        )
        parser.add_argument("--source", choices=PROMPT_SOURCES, default="imported", help="Kind of prompts.")
        parser.add_argument("--keep-good", action="store_true", help="Import the valid lines if others are invalid.")
        parser.add_argument("--preview", action="store_true", help="Show how the file is read, without storing it.")
        parser.add_argument("--description", default="")
        parser.add_argument("--licence", default="")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        mapping = assignments(options["map"], "--map", "prompt=instruction")
        judges = assignments(options["judge"], "--judge", "teacher=gemini")
        user = user_of(options["user"])
        if options["preview"]:
            self._show(preview(options["file"], options["kind"], mapping=mapping, judges=judges))
            return
        kind = options["kind"] or preview(options["file"], mapping=mapping, judges=judges, at_most=50).kind
        try:
            report = import_rows(
                options["name"] or options["file"].stem,
                kind,
                options["file"],
                mapping=mapping,
                judges=judges,
                keep_good=options["keep_good"],
                source=options["source"],
                description=options["description"],
                licence=options["licence"],
                user=user,
            )
        except BadLines as error:
            self._name_bad(error.report)
            raise Error(f"{error.message} (--keep-good)") from None
        self._name_bad(report)
        self.say(f"{report.dataset}: {report.sentence()}.")

    def _name_bad(self, report: ImportReport) -> None:
        for line, reason in report.bad[:NAMED]:
            self.stderr.write(f"line {line} {reason}")
        if report.bad_count > NAMED:
            self.stderr.write(f"and {report.bad_count - NAMED:,} more")

    def _show(self, shown: Preview) -> None:
        self.say(f"kind: {shown.kind}; {shown.good:,} rows can be used, {shown.report.bad_count:,} cannot")
        for meaning, field in shown.mapping.items():
            self.say(f"  {meaning} = {field}")
        if shown.score_columns:
            self.say(f"  score columns: {', '.join(shown.score_columns)}")
        for number, row in enumerate(shown.rows, 1):
            self.say(f"{number}. {_short(row.text)}")
            for response in row.responses:
                scores = ", ".join(
                    f"{score.column} {'unparsed' if score.score is None else f'{score.score:g}'}"
                    for score in response.scores
                )
                self.say(f"   -> {_short(response.text)}{f' [{scores}]' if scores else ''}")
        self._name_bad(shown.report)


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 100 else f"{plain[:99]}…"
