"""Train again on the current pairs, with decisions made after the freeze, from the same checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from alignment_app.models import Checkpoint, Dataset, DatasetSnapshot, Iteration, Run
from alignment_app.selectors.work import preference_rows
from alignment_app.services import runs
from alignment_app.services.errors import Refused
from alignment_app.services.imports import import_rows
from labeling.services.access import require_lead
from training.config import ConfigError, RunConfig


@dataclass(frozen=True, slots=True)
class Rerun:
    """A planned run. ``begins_with``: description of the model that it trains."""

    name: str
    dataset: str
    pairs: int
    begins_with: str
    stale: str
    config: dict[str, Any]


def planned(iteration: Iteration | None) -> Rerun | None:
    """Plan the run; ``None`` while the iteration's snapshot matches the decisions."""
    if iteration is None:
        return None
    snapshot = DatasetSnapshot.objects.filter(
        iteration=iteration, kind=DatasetSnapshot.Kind.PREFERENCE
    ).exclude(stale_reason="").first()  # fmt: skip
    if snapshot is None:
        return None
    run = iteration.run
    folder = _model_folder(iteration.input_checkpoint)
    config = run.typed_config.to_dict() | {"name": f"{run.name[:90]}, with people's decisions", "iterations": 1}
    dataset = _free_name(f"pairs of run {run.pk}, iteration {iteration.number}, reviewed")
    mixes = run.typed_config.training.mix_previous
    pairs = sum(1 for _ in preference_rows(run.pk, iteration.number, mix_previous=mixes))
    config["pairs"]["from_dataset"] = dataset
    config["prompts"]["count"] = max(pairs, 1)
    config["review"]["enabled"] = False
    if folder is not None:
        config["student"]["model"] = str(folder)
        config["sft"]["enabled"] = False
        begins_with = f"{iteration.input_checkpoint}, without fine-tuning"
    else:
        begins_with = f"{config['student']['model']}, fine-tuned again" if config["sft"]["enabled"] else (
            str(config["student"]["model"]))  # fmt: skip
    return Rerun(config["name"], dataset, pairs, begins_with, snapshot.stale_reason, config)


def start(iteration: Iteration, *, by: User) -> Run:
    """Make a data set of the current pairs and launch a run that trains on it.

    Raises :class:`Refused` if the snapshot is not stale, no pair is left, or the config can no longer be launched.
    """
    require_lead(by)
    plan = planned(iteration)
    if plan is None:
        raise Refused("not-stale", "The training set matches the decisions. There is nothing to run again.")
    if not plan.pairs:
        raise Refused("no-pairs", "The decisions leave no pair of this iteration to train on.")
    mixes = iteration.run.typed_config.training.mix_previous
    rows = (row for row, _ in preference_rows(iteration.run_id, iteration.number, mix_previous=mixes))
    import_rows(
        plan.dataset,
        Dataset.Kind.PREFERENCES,
        rows,
        description=f"Pairs of {iteration.run.name}, iteration {iteration.number}, with what people decided.",
        user=by,
    )
    try:
        return runs.launch(RunConfig.parse(plan.config), user=by, cloned_from=iteration.run)
    except ConfigError as error:
        problems = "; ".join(f"{field}: {sentence}" for field, sentence in error.problems)
        raise Refused(
            "cannot-launch", f"{problems}. The pairs are kept as the data set {plan.dataset}: clone the run by hand."
        ) from None


def _model_folder(checkpoint: Checkpoint | None) -> Path | None:
    """The checkpoint's model folder; ``None`` if this machine has no model there."""
    if checkpoint is None:
        return None
    folder = Path(settings.HOME, checkpoint.location)
    return folder if (folder / "config.json").is_file() else None


def _free_name(name: str) -> str:
    taken = set(Dataset.objects.filter(name__startswith=name).values_list("name", flat=True))
    numbers = (f"{name} {number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbers if each not in taken)
