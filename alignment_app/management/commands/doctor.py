"""``python manage.py doctor``: checks of this machine, with remedies."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from alignment_app.processes.doctor import findings


class Command(BaseCommand):
    help = "Check this machine and print problems with their remedies. Exit code 1 if a check fails."
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
            self.stdout.write(f"\n{failed} failed, {warned} warnings.")
        else:
            self.stdout.write("\nAll checks passed.")
        if failed:
            sys.exit(1)
