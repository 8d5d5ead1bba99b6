"""``python manage.py tend``: keeps every run's state true."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from alignment_app.processes.tender import tend_for_ever


class Command(BaseCommand):
    requires_system_checks = ()  # start soon; the pages are another process
    help = "End attempts whose worker died, ring for queued stages, kill what ignores a cancel, read the gauges."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tend_for_ever()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
