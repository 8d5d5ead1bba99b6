"""``python manage.py monitor``: supervises the attempts of this machine's workers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from alignment_app.processes.monitor import run_for_ever


class Command(BaseCommand):
    requires_system_checks = ()  # start soon; the pages are another process
    help = "End attempts whose worker died, enqueue due stages, kill what ignores a cancel, read the machine's metrics."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run_for_ever()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
