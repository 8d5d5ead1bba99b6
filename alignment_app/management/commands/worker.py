"""``python manage.py worker``: process the jobs of runs."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alignment_app.processes import preload
from alignment_app.services.queues import INTERACTIVE, QUEUES


class Command(BaseCommand):
    requires_system_checks = ()  # for a fast start; the web process runs them
    help = "Process jobs one at a time, each in a separate process. Stop with SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queues",
            default=",".join(QUEUES),
            help=f"queues to serve, in order of priority, separated by commas (default: {','.join(QUEUES)}; "
            f"use a separate worker for {INTERACTIVE}, the chat)",
        )
        parser.add_argument(
            "--no-preload", action="store_true", help="load the libraries in each job instead of once per worker"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        names = [name.strip() for name in options["queues"].split(",") if name.strip()]
        unknown = sorted(set(names) - {*QUEUES, INTERACTIVE})
        if unknown or not names:
            raise CommandError(
                f"--queues: {', '.join(unknown) or 'nothing'} is not a queue. Use {', '.join([*QUEUES, INTERACTIVE])}."
            )
        if "OMP_WAIT_POLICY" not in os.environ:
            # These variables are read by libraries at import, and some are already imported.
            preload.set_environment()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        # A chat worker uses no memory for libraries until somebody chats.
        if not options["no_preload"] and names != [INTERACTIVE]:
            preload.preload()
        from alignment_app.processes.worker import QueueWorker

        QueueWorker(names).work(logging_level="INFO")
