"""``python manage.py up``: run Plumbline on one machine."""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from alignment_app.management.progress import ProgressLine
from alignment_app.processes import miniature, smollm2
from alignment_app.processes.lock import AlreadyRunning
from alignment_app.processes.supervisor import CannotStart, Supervisor
from alignment_app.processes.valkey import ValkeyProblem
from alignment_app.services import demo
from alignment_app.services.errors import Refused
from training.config import ConfigError

FIRST_PORT: Final = 8000
PORTS_TRIED: Final = 50


class Command(BaseCommand):
    requires_system_checks = ()  # the web process runs them
    help = "Run Plumbline on this machine: queue, web pages, worker, monitor. Ctrl-C stops all of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: this machine)")
        parser.add_argument(
            "--port",
            type=int,
            help=f"the port to listen on; 0 picks any (default: the first free one from {FIRST_PORT})",
        )
        parser.add_argument("--workers", type=int, default=1, help="jobs that may run at once (default: 1)")
        parser.add_argument("--logs", action="store_true", help="show every process's log here instead of in its file")
        parser.add_argument("--demo", action="store_true", help="build the miniature and launch the demo run on it")
        parser.add_argument(
            "--demo-real", action="store_true", help="fetch SmolLM2-135M-Instruct (93 MB) and launch the demo run on it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workers"] < 1:
            raise CommandError("--workers must be 1 or more.")
        port = options["port"]
        if port is None:
            port = first_free_port(options["host"], FIRST_PORT)
        if not 0 <= port <= 65535:
            raise CommandError("--port must be 0 to 65535.")
        supervisor = Supervisor(
            host=options["host"],
            port=port,
            workers=options["workers"],
            say=self._say,
            logs_to_terminal=options["logs"],
        )
        self._say("Starting Plumbline")
        try:
            with supervisor:
                self._welcome(supervisor, taken=port not in (0, FIRST_PORT) and options["port"] is None)
                if options["demo"]:
                    self._prepare_demo(supervisor)
                if options["demo_real"]:
                    self._prepare_real_demo(supervisor)
                supervisor.wait()
                self._say("Stopping.")
        except (AlreadyRunning, CannotStart, ValkeyProblem, miniature.NotBuilt, smollm2.NotFetched, Refused) as error:
            raise CommandError(str(error)) from None
        except ConfigError as error:
            raise CommandError(f"The demo run cannot be launched: {error}") from None

    def _welcome(self, supervisor: Supervisor, *, taken: bool) -> None:
        """Print the address, and the first admin's password, which is shown only here."""
        if taken:
            self._say(f"Port {FIRST_PORT} is in use by another program; using {supervisor.port} instead.")
        self._say(f"\nPlumbline is at {supervisor.url}  (Ctrl-C stops it)")
        password = demo.ensure_admin()
        if password is not None:
            self._say(f"\n  user      {demo.ADMIN}\n  password  {password}\n")
            self._say("The password is shown only once. To reset it: python manage.py make_admin\n")

    def _prepare_demo(self, supervisor: Supervisor) -> None:
        """Build missing data while the pages are already served, and launch the demo run if there is none."""
        show = ProgressLine(self.stdout)  # type: ignore[arg-type]
        try:
            folder = miniature.build(settings.HOME, demo.SEED, show, supervisor.keep_running)
        except miniature.Stopped:
            return
        finally:
            show.end()
        demo.import_miniature(folder)
        self._launch(supervisor, demo.DEMO_PRESET)

    def _prepare_real_demo(self, supervisor: Supervisor) -> None:
        """Fetch the model while the pages are already served, and launch the demo run on it if there is none."""
        self._say(f"The model: {smollm2.LICENCE}.")
        try:
            smollm2.fetch(settings.HOME / "models", supervisor.keep_running)
        except miniature.Stopped:
            return
        demo.make_constraint_data()
        self._launch(supervisor, demo.REAL_PRESET)

    def _launch(self, supervisor: Supervisor, preset: str) -> None:
        run, launched = demo.ensure_demo_run(preset)
        state = "was launched" if launched else f"already exists: {run.get_status_display().lower()}"
        self._say(f"The demo run {state}. Watch it at {supervisor.url}runs/{run.pk}/")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def first_free_port(host: str, first: int) -> int:
    """Return the first free port from ``first``; ``first`` itself if all tried ports are in use."""
    for port in range(first, first + PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    return first
