"""``python manage.py worker``: does the work of the runs."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alignment_app.processes import preload
from alignment_app.services.queues import INTERACTIVE, QUEUES


class Command(BaseCommand):
    requires_system_checks = ()  # start soon; the pages are another process
    help = "Work on the runs: one job at a time, each in a process of its own. SIGTERM or Ctrl-C stops it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queues",
            default=",".join(QUEUES),
            help=f"the kinds of work to take, most urgent first, separated by commas (default: {','.join(QUEUES)}; "
            f"a worker of its own takes {INTERACTIVE}: the chat)",
        )
        parser.add_argument("--no-preload", action="store_true", help="load the libraries in each job instead of once")

    def handle(self, *args: Any, **options: Any) -> None:
        names = [name.strip() for name in options["queues"].split(",") if name.strip()]
        unknown = sorted(set(names) - {*QUEUES, INTERACTIVE})
        if unknown or not names:
            raise CommandError(
                f"--queues: {', '.join(unknown) or 'nothing'} is no queue. Use {', '.join([*QUEUES, INTERACTIVE])}."
            )
        if "OMP_WAIT_POLICY" not in os.environ:
            # Read by libraries when they are loaded, and some are loaded by now.
            preload.settle_environment()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        # Who only waits for somebody to chat holds no memory until then.
        if not options["no_preload"] and names != [INTERACTIVE]:
            preload.preload()
        from alignment_app.processes.worker import QueueWorker

        QueueWorker(names).work(logging_level="INFO")
