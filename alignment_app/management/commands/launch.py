"""``python manage.py launch CONFIG.yaml`` or ``--preset NAME``: launch a run, optionally wait for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from alignment_app.management.base import (
    NOT_DONE,
    WRONG_USE,
    Error,
    PlainCommand,
    add_user_option,
    user_of,
)
from alignment_app.models import Run, Stage
from alignment_app.services import leakage, runs
from alignment_app.services.configs import MAX_YAML, build_config
from training.config import preset_names

LOOK_SECONDS = 1.0
#: States that need a user action.
ENDED = (*Run.STOPPED, Run.Status.FINISHED, Run.Status.WAITING)


class Command(PlainCommand):
    help = "Launch a run from a YAML file or a preset. With --wait, the exit code is 0 only if the run finished."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("config", nargs="?", type=Path, help="A YAML file.")
        parser.add_argument("--preset", default="", metavar="NAME", help=f"One of {', '.join(preset_names())}.")
        parser.add_argument(
            "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="Change a field; may be repeated."
        )
        parser.add_argument("--name", default="", help="Name of the run.")
        parser.add_argument("--check", action="store_true", help="Check config and data sets without launching.")
        parser.add_argument("--wait", action="store_true", help="Show progress until the run ends or waits for review.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        text = read_config(options["config"]) if options["config"] else None
        config = build_config(
            yaml=text, preset=options["preset"], overrides=options["set"], name=options["name"].strip()
        )
        if options["check"]:
            runs.check_names(config)
            self.say(f"The config is valid; its hash is {config.config_hash[:12]}.")
            for one in leakage.of_config(config, at_once=True):
                self.say(one.sentence)
            return
        run = runs.launch(config, user=user_of(options["user"]), preset=options["preset"])
        self.say(f"Run {run.pk} is queued: {run.name}")
        if options["wait"]:
            self._wait(run)

    def _wait(self, run: Run) -> None:
        try:
            while run.status not in ENDED:
                self._show(progress_line(run))
                time.sleep(LOOK_SECONDS)
                run.refresh_from_db()
        except KeyboardInterrupt:
            self._end_line()
            raise Error(
                f"stopped waiting; run {run.pk} continues (cancel it with python manage.py cancel {run.pk})",
                returncode=130,
            ) from None
        self._end_line()
        self.say(f"Run {run.pk}: {run.get_status_display().lower()}. {run.status_reason}".rstrip())
        if run.status not in (Run.Status.FINISHED, Run.Status.WAITING):
            raise Error(f"run {run.pk} did not finish", returncode=NOT_DONE)

    def _show(self, line: str) -> None:
        """On a terminal, update one line; elsewhere print a line per change."""
        if self.stdout.isatty():
            self.stdout.write(f"\r\x1b[K{line}", ending="")
            self.stdout.flush()
        elif line != getattr(self, "_shown", ""):
            self._shown = line
            self.stdout.write(line)

    def _end_line(self) -> None:
        if self.stdout.isatty():
            self.stdout.write("")
        connection.close()


def progress_line(run: Run) -> str:
    """Return ``iteration 1 responses 120/1000 responses``, or the run's reason if no stage is running."""
    stage = (
        Stage.objects.select_related("iteration")
        .filter(iteration__run=run, status__in=[Stage.Status.RUNNING, Stage.Status.QUEUED])
        .first()
    )
    if stage is None:
        return f"{run.get_status_display().lower()}: {run.status_reason}"
    count = f" {stage.done}/{stage.total} {stage.unit}" if stage.total else ""
    label = "" if stage.status == Stage.Status.RUNNING else f" ({stage.get_status_display().lower()})"
    return f"iteration {stage.iteration.number}: {stage.get_kind_display().lower()}{count}{label}"


def read_config(path: Path) -> str:
    """Return the text of a YAML file. Raises :class:`Error` when it cannot be read."""
    try:
        if path.is_dir():
            raise Error(f"{path} is a folder; give a YAML file", returncode=WRONG_USE)
        if path.stat().st_size > 4 * MAX_YAML:
            raise Error(f"{path} is too large for a config", returncode=WRONG_USE)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Error(f"there is no file {path}", returncode=WRONG_USE) from None
    except UnicodeDecodeError:
        raise Error(f"{path} is not UTF-8 text", returncode=WRONG_USE) from None
    except (OSError, ValueError) as error:
        raise Error(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", returncode=WRONG_USE
        ) from None
