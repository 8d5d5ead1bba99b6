"""``python manage.py study STUDY.yaml`` or ``--preset NAME --vary FIELD=VALUES``: launch a grid of runs."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from alignment_app.management.base import NOT_DONE, WRONG_USE, Error, PlainCommand, add_user_option, user_of
from alignment_app.management.commands.launch import LOOK_SECONDS, read_config
from alignment_app.models import Run, Study
from alignment_app.pages import launching
from alignment_app.pages import studies as selectors
from alignment_app.services import studies
from alignment_app.study_form import read_changes
from training.config import read_values, read_yaml

ENDED = (*Run.STOPPED, Run.Status.FINISHED, Run.Status.WAITING)


class Command(PlainCommand):
    help = "Launch a study: one run per combination of values of one or two fields, and of seeds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("study", nargs="?", type=Path, help="A YAML file, as shown on the page New study.")
        parser.add_argument("--preset", default="", metavar="NAME", help="Start from a preset.")
        parser.add_argument("--run", default="", metavar="NUMBER", help="Start from the config of a run.")
        parser.add_argument("--name", default="", help="Name of the study.")
        parser.add_argument(
            "--vary",
            action="append",
            default=[],
            metavar="FIELD=A,B,C",
            help="A field and its values; use it once or twice.",
        )
        parser.add_argument(
            "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="Change a field for all runs."
        )
        parser.add_argument("--check", action="store_true", help="List the runs and their estimates without launching.")
        parser.add_argument("--wait", action="store_true", help="Wait for all runs, then print the results as CSV.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        plan = studies.plan(_asked(options))
        if options["check"]:
            self._check(plan)
            return
        study = studies.launch(plan, user=user_of(options["user"]))
        self.say(f"Study {study.pk} is queued with {len(plan.points)} runs: {study.name}")
        if options["wait"]:
            self._wait(study)

    def _check(self, plan: studies.Plan) -> None:
        datasets = launching.dataset_choices()
        cost = selectors.cost_of([launching.estimate_of(point.config, datasets) for point in plan.points])
        for point in plan.points:
            self.say(point.config.name)
        taken = "unknown time" if cost.seconds is None else f"about {cost.seconds / 60:.0f} minutes"
        self.say(f"{len(plan.points)} runs, {taken} one after another.")

    def _wait(self, study: Study) -> None:
        try:
            while study.places.exclude(run__status__in=ENDED).exists():
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            raise Error(f"stopped waiting; study {study.pk} continues", returncode=130) from None
        finally:
            connection.close()
        shown = selectors.view(selectors.load(study.pk))
        csv.writer(self.stdout).writerows(selectors.table(shown))
        if undone := [row.run.pk for row in shown.outcomes if row.run.status != Run.Status.FINISHED]:
            numbers = ", ".join(map(str, undone))
            raise Error(f"{len(undone)} of {len(shown.outcomes)} runs did not finish: {numbers}", returncode=NOT_DONE)


def _asked(options: dict[str, Any]) -> Any:
    """Return the study from the file and the options; options take precedence."""
    asked: Any = read_yaml(read_config(options["study"])) if options["study"] else {}
    if not isinstance(asked, dict):
        raise Error("the file must be a mapping with name, preset or config, and vary", returncode=WRONG_USE)
    asked = {**asked, **{name: options[name] for name in ("preset", "run", "name") if options[name]}}
    if options["set"]:
        asked["set"] = {**(asked.get("set") or {}), **read_changes(options["set"])}
    if options["vary"]:
        asked["vary"] = {}
        for text in options["vary"]:
            field, equals, values = text.partition("=")
            if not equals:
                raise Error(f"--vary {text!r} is not of the form field=a,b,c", returncode=WRONG_USE)
            asked["vary"][field.strip()] = list(read_values(field.strip(), values))
    return asked
