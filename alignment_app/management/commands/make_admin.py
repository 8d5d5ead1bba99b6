"""``python manage.py make_admin NAME``: create an admin, or reset the password of one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alignment_app.services.demo import ADMIN
from alignment_app.services.errors import Refused
from alignment_app.services.people import make_admin


class Command(BaseCommand):
    help = "Create an admin, or give one a new random password, which is shown once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", default=ADMIN, help=f"user name (default: {ADMIN})")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            password = make_admin(options["name"])
        except Refused as refused:
            raise CommandError(refused.message) from None
        self.stdout.write(f"user      {options['name']}\npassword  {password}")
