"""What a first start brings: an admin, the miniature's data sets, the demo run. Each is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from django.contrib.auth import get_user_model
from django.db import transaction

from alignment_app.models import Dataset, Run
from alignment_app.services.imports import file_hash, import_rows
from alignment_app.services.people import make_admin
from alignment_app.services.runs import launch
from training.config import RunConfig, preset_data

ADMIN: Final = "admin"
DEMO_PRESET: Final = "miniature-teacher-reward"
SEED: Final = 0
DataKind = Literal["demonstrations", "prompts", "scored"]

#: Data set name: (file of the built miniature, kind, where its prompts come from, what it is).
DATASETS: Final[dict[str, tuple[str, DataKind, str, str]]] = {
    "miniature-ift": ("ift.jsonl", "demonstrations", "imported", "Instructions of the miniature with answers."),
    "miniature-eft": ("eft.jsonl", "demonstrations", "imported", "Judge prompts of the miniature with judgements."),
    "miniature-replay": ("replay.jsonl", "demonstrations", "imported", "Raw documents of the miniature's world."),
    "miniature-prompts": ("prompts.jsonl", "prompts", "imported", "Prompts to train with."),
    "miniature-validation": ("prompts_validation.jsonl", "prompts", "evaluation", "Prompts to tune settings on."),
    "miniature-test": (
        "prompts_test.jsonl",
        "prompts",
        "evaluation",
        "Held-out prompts, worded as nowhere else.",
    ),
    "miniature-ranked": ("ranked.jsonl", "scored", "imported", "Responses in their order, to build judging rows from."),
}


def ensure_admin() -> str | None:
    """Make the first admin and return the password, to be shown once; ``None`` where an active admin exists."""
    if get_user_model().objects.filter(is_superuser=True, is_active=True).exists():
        return None
    return make_admin(ADMIN)


def import_miniature(directory: Path) -> list[Dataset]:
    """The data sets of a built miniature; those that are there already, from the same files, stay as they are.

    One of an older build keeps its rows under another name, so that runs made with it stay explained.
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


def ensure_demo_run() -> tuple[Run, bool]:
    """The newest run of the demo preset and ``False``, or one just launched and ``True``."""
    there = Run.objects.filter(preset=DEMO_PRESET).first()
    if there is not None:
        return there, False
    user = get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    return launch(RunConfig.parse(preset_data(DEMO_PRESET)), user=user, preset=DEMO_PRESET), True
