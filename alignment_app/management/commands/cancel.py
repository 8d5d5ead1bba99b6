"""``python manage.py cancel RUN``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from alignment_app.management.base import PlainCommand, add_user_option, run_of, user_of
from alignment_app.services import runs


class Command(PlainCommand):
    help = "Cancel a run at its next safe point, or by force after a grace period. Saved rows are kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, help="Number of the run.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        run = runs.cancel(run_of(options["run"]), user=user_of(options["user"]))
        self.say(f"Run {run.pk}: {run.get_status_display().lower()}. {run.status_reason}")
