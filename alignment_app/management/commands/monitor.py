"""``python manage.py monitor``: monitor the attempts of this machine's workers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from alignment_app.processes.monitor import run_for_ever


class Command(BaseCommand):
    requires_system_checks = ()  # for a fast start; the web process runs them
    help = "End attempts whose worker died, enqueue due stages, kill overdue processes, read machine metrics."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run_for_ever()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
