"""Base class and helpers of the management commands: one-sentence errors, exit codes, and no tracebacks."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, OperationalError, ProgrammingError

from alignment_app.models import Run
from alignment_app.services import publish
from alignment_app.services.errors import Refused
from training.config import ConfigError

DONE, NOT_DONE, WRONG_USE = 0, 1, 2


class Error(CommandError):
    """Printed as ``Error: <sentence>``."""


class PlainCommand(BaseCommand):
    """Base class of commands. ``work`` may raise any refusal of a service."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.work(**options)
        except ConfigError as error:
            text = "\n".join(f"  {field or 'config'}: {sentence}" for field, sentence in error.problems)
            raise Error(f"the config cannot be used:\n{text}", returncode=WRONG_USE) from None
        except Refused as error:
            raise Error(error.message, returncode=WRONG_USE if error.status == 400 else NOT_DONE) from None
        except (OperationalError, ProgrammingError) as error:
            hint = "run python manage.py migrate, or see python manage.py doctor"
            raise Error(f"the database cannot be used ({_first_line(error)}); {hint}", returncode=NOT_DONE) from None
        except (DatabaseError, OSError, UnicodeError) as error:
            raise Error(f"{_first_line(error)}; nothing more was done", returncode=NOT_DONE) from None
        finally:
            publish.flush()  # the publishing thread must finish before the process ends

    def work(self, **options: Any) -> None:
        raise NotImplementedError

    def say(self, text: str = "") -> None:
        """Write a line to standard output, except with ``--verbosity 0``."""
        self.stdout.write(text)


def assignments(pairs: list[str], option: str, example: str) -> dict[str, str]:
    """``name=value`` options as a mapping. Raises :class:`Error` for what is not of that form or named twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or not value:
            raise Error(f"{option} {pair!r} is not of the form {example}", returncode=WRONG_USE)
        if name in found:
            raise Error(f"{option} names {name!r} twice", returncode=WRONG_USE)
        found[name] = value
    return found


def run_of(number: int) -> Run:
    """Return the run with this number. Raises :class:`Error` if it does not exist."""
    try:
        return Run.objects.get(pk=number)
    except (Run.DoesNotExist, OverflowError):
        raise Error(f"there is no run {number}; python manage.py runs lists them", returncode=NOT_DONE) from None


def add_user_option(parser: CommandParser) -> None:
    parser.add_argument("--user", default="", help="The account in whose name this is done.")


def user_of(name: str) -> Any:
    """Return the account with this name; ``None`` for an empty name. Raises :class:`Error` for an unknown account."""
    if not name:
        return None
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        raise Error(f"there is no account {name!r}", returncode=NOT_DONE)
    return user


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
