"""``python manage.py doctor``: what is missing here, and how to mend it."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from alignment_app.processes.doctor import findings


class Command(BaseCommand):
    help = "Look at this machine and say what is missing and how to mend it. Exit code 1 where something fails."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        styles = {"ok": self.style.SUCCESS, "warn": self.style.WARNING, "fail": self.style.ERROR}
        failed = warned = 0
        for finding in findings():
            failed += finding.level == "fail"
            warned += finding.level == "warn"
            self.stdout.write(f"{styles[finding.level](f'{finding.level:<4}')}  {finding.what:<12} {finding.found}")
            if finding.remedy:
                self.stdout.write(f"{'':19}{finding.remedy}")
        if failed or warned:
            self.stdout.write(f"\n{failed} to mend, {warned} to look at.")
        else:
            self.stdout.write("\nAll is well.")
        if failed:
            sys.exit(1)
