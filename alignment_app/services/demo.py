"""First-start data: an admin account, data sets and demo runs. Each is created once."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from django.contrib.auth import get_user_model
from django.db import transaction

from alignment_app.models import Dataset, Run
from alignment_app.services.constraints import import_constraints
from alignment_app.services.imports import file_hash, import_rows
from alignment_app.services.people import make_admin
from alignment_app.services.runs import launch
from training.config import RunConfig, preset_data
from training.real_demo.instructions import instructions

ADMIN: Final = "admin"
DEMO_PRESET: Final = "miniature-teacher-reward"
REAL_PRESET: Final = "smollm2-constraints"
SEED: Final = 0
DataKind = Literal["demonstrations", "prompts", "scored"]

#: Data set name: (file of the miniature, kind, prompt source, description).
DATASETS: Final[dict[str, tuple[str, DataKind, str, str]]] = {
    "miniature-ift": ("ift.jsonl", "demonstrations", "imported", "Instructions with answers."),
    "miniature-eft": ("eft.jsonl", "demonstrations", "imported", "Judge prompts with judgements."),
    "miniature-replay": ("replay.jsonl", "demonstrations", "imported", "Raw documents of the miniature world."),
    "miniature-prompts": ("prompts.jsonl", "prompts", "imported", "Training prompts."),
    "miniature-validation": ("prompts_validation.jsonl", "prompts", "evaluation", "Prompts for tuning settings."),
    "miniature-test": (
        "prompts_test.jsonl",
        "prompts",
        "evaluation",
        "Held-out prompts with wording not used elsewhere.",
    ),
    "miniature-ranked": ("ranked.jsonl", "scored", "imported", "Ranked responses, the source of judging rows."),
}


def ensure_admin() -> str | None:
    """Create the first admin and return its password; return ``None`` if there is an active admin."""
    if get_user_model().objects.filter(is_superuser=True, is_active=True).exists():
        return None
    return make_admin(ADMIN)


def import_miniature(directory: Path) -> list[Dataset]:
    """Import the data sets of a built miniature. Data sets already imported from the same files are kept.

    A data set of an older build is renamed, so that earlier runs keep their data.
    """
    return [_import_one(name, directory) for name in DATASETS]


@transaction.atomic
def _import_one(name: str, directory: Path) -> Dataset:
    file, kind, source, description = DATASETS[name]
    path = directory / file
    digest = file_hash(path)
    there = Dataset.objects.filter(name=name).first()
    if there is not None and there.source_hash == digest:
        return there
    if there is not None:
        there.name = f"{name} ({there.source_hash[:8] or 'earlier'})"
        there.save(update_fields=["name"])
    report = import_rows(name, kind, path, source=source, description=description)
    assert report.dataset is not None
    return report.dataset


def make_constraint_data() -> None:
    """Make the constraint prompts of the demonstration on a real model, unless they exist."""
    for name, held_out in (("constraints", False), ("constraints-test", True)):
        if Dataset.objects.filter(name=name).exists():
            continue
        import_constraints(
            name,
            instructions(SEED, held_out=held_out),
            seed=SEED,
            most=1,
            source="evaluation" if held_out else "imported",
            description="Everyday instructions with a constraint that a program checks"
            + (" (held-out subjects)." if held_out else "."),
        )


def ensure_demo_run(preset: str = DEMO_PRESET) -> tuple[Run, bool]:
    """Return the newest run of the preset and ``False``, or launch one and return it and ``True``."""
    there = Run.objects.filter(preset=preset).first()
    if there is not None:
        return there, False
    user = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return launch(RunConfig.parse(preset_data(preset)), user=user, preset=preset), True
