"""``python manage.py runs``: list the newest runs with their status."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from alignment_app.management.base import WRONG_USE, Error, PlainCommand
from alignment_app.models import Run


class Command(PlainCommand):
    help = "List runs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--status", choices=Run.Status.values, default="")
        parser.add_argument("--search", default="", help="Part of the name.")
        parser.add_argument("--limit", type=int, default=20)
        parser.add_argument("--json", action="store_true", help="One JSON object per line.")

    def work(self, **options: Any) -> None:
        if not 1 <= options["limit"] <= 100_000:
            raise Error("--limit must be between 1 and 100000", returncode=WRONG_USE)
        found = Run.objects.all()
        if options["status"]:
            found = found.filter(status=options["status"])
        if options["search"]:
            found = found.filter(name__icontains=options["search"].replace("\x00", ""))
        rows = list(found[: options["limit"]])
        if options["json"]:
            for run in rows:
                self.say(json.dumps(_plain(run), ensure_ascii=False))
            return
        if not rows:
            self.say("No runs yet. Start one with python manage.py launch --preset NAME.")
        for run in rows:
            reason = run.status_reason.splitlines()[0] if run.status_reason else ""
            self.say(
                f"{run.pk:>5}  {run.get_status_display():<18}  {run.created_at:%Y-%m-%d %H:%M}  {run.name}  {reason}"
            )


def _plain(run: Run) -> dict[str, Any]:
    return {
        "id": run.pk,
        "name": run.name,
        "paradigm": run.paradigm,
        "status": run.status,
        "reason": run.status_reason,
        "config_hash": run.config_hash,
        "created_at": run.created_at.isoformat(),
    }
