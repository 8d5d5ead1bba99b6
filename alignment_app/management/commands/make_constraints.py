"""``python manage.py make_constraints INSTRUCTIONS --name NAME``: make prompts that carry checks for a verifier."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from alignment_app.management.base import WRONG_USE, Error, PlainCommand, add_user_option, user_of
from alignment_app.models import Dataset
from alignment_app.services.constraints import make_constraints
from alignment_app.services.imports import PROMPT_SOURCES
from training.domain.verifiers.making import DRAWN_KINDS


class Command(PlainCommand):
    help = (
        "Make a data set of constraint prompts: each instruction of another data set, with sentences that ask for a "
        "length, a form or words, and the checks of them. The same seed gives the same prompts."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="Data set with the instructions.")
        parser.add_argument("--name", required=True, help="Name of the data set to make.")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--count", type=int, help="Number of instructions, drawn by the seed. Default: all.")
        parser.add_argument("--least", type=int, default=1, help="Minimum number of checks per prompt.")
        parser.add_argument("--most", type=int, default=2, help="Maximum number of checks per prompt.")
        parser.add_argument("--kinds", nargs="+", choices=DRAWN_KINDS, default=list(DRAWN_KINDS), metavar="KIND",
                            help=f"Kinds of checks: {', '.join(DRAWN_KINDS)}. Default: all.")  # fmt: skip
        parser.add_argument("--source", choices=PROMPT_SOURCES, default="imported", help="Kind of prompts.")
        add_user_option(parser)

    def work(self, **options: Any) -> None:
        dataset = Dataset.objects.filter(name=options["dataset"]).first()
        if dataset is None:
            raise Error(f"unknown data set {options['dataset']!r}", returncode=WRONG_USE)
        report = make_constraints(
            dataset,
            options["name"],
            seed=options["seed"],
            count=options["count"],
            least=options["least"],
            most=options["most"],
            kinds=options["kinds"],
            source=options["source"],
            user=user_of(options["user"]),
        )
        self.say(f"{report.dataset}: {report.sentence()}.")
