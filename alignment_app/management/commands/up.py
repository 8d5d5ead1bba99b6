"""``python manage.py up``: everything on one machine."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alignment_app.processes.lock import AlreadyRunning
from alignment_app.processes.supervisor import CannotStart, Supervisor
from alignment_app.processes.valkey import ValkeyProblem


class Command(BaseCommand):
    help = "Run Plumbline on this machine: queue, web pages, worker, tender. Ctrl-C stops all of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine)")
        parser.add_argument("--port", type=int, default=8000, help="the port to listen on; 0 picks a free one")
        parser.add_argument("--workers", type=int, default=1, help="jobs that may run at once (default: 1)")
        parser.add_argument("--logs", action="store_true", help="show every process's log here instead of in its file")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError("--workers must be 1 or more. Without a worker nothing would be done.")
        if not 0 <= options["port"] <= 65535:
            raise CommandError("--port must be 0 to 65535.")
        supervisor = Supervisor(
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            say=self._say,
            logs_to_terminal=options["logs"],
        )
        try:
            with supervisor:
                self._say(f"Plumbline is at {supervisor.url}  (Ctrl-C stops it)")
                supervisor.wait()
                self._say("Stopping.")
        except (AlreadyRunning, CannotStart, ValkeyProblem) as error:
            raise CommandError(str(error)) from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
