"""``python manage.py resume RUN``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from alignment_app.management.base import PlainCommand, add_user_option, run_of, user_of
from alignment_app.services import runs, spending


class Command(PlainCommand):
    help = "Resume a paused, cancelled, failed or crashed run; only missing rows are computed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int, help="Number of the run.")
        parser.add_argument("--budget-tokens", type=int, help="Set the teacher budget first: total tokens.")
        parser.add_argument("--budget-usd", type=float, help="Set the teacher budget first: total USD.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        run, user = run_of(options["run"]), user_of(options["user"])
        tokens, usd = options["budget_tokens"], options["budget_usd"]
        if tokens is not None or usd is not None:
            run = spending.set_budget(run, tokens=tokens, usd=usd, user=user)
        run = runs.resume(run, user=user)
        self.say(f"Run {run.pk}: {run.get_status_display().lower()}. {run.status_reason}")
