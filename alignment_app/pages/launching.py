"""View models of the launch page: presets, data sets, estimate and warnings."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Count

from alignment_app.models import Dataset
from alignment_app.pages.machine import machine
from alignment_app.pages.runs import preferences_of, short_model
from alignment_app.services import artifacts, keys
from alignment_app.services.leakage import SetLeakage
from alignment_app.services.runs import local_models
from training.config import (
    PRESETS,
    ConfigError,
    PresetOrigin,
    RunConfig,
    as_overrides,
    dataset_names,
    preset_data,
    preset_names,
    preset_origin,
)
from training.domain.engine_kinds import ENGINES
from training.domain.loss_specs import loss_label
from training.estimate import Estimate, estimate
from training.gguf import note_of


@dataclass(frozen=True, slots=True)
class DatasetChoice:
    """A data set that a field can name."""

    name: str
    kind: str
    rows: int


@dataclass(frozen=True, slots=True)
class PresetCard:
    """A preset on the first page of a launch."""

    name: str
    title: str
    about: str
    model: str
    paradigm: str
    loss: str
    iterations: int
    missing: list[str]  #: names of data sets that do not exist

    @property
    def is_miniature(self) -> bool:
        return preset_origin(self.name) == PresetOrigin.MINIATURE


@dataclass(frozen=True, slots=True)
class PresetGroup:
    """Presets of one origin."""

    title: str
    about: str
    cards: list[PresetCard]


_GROUPS: Final = {
    PresetOrigin.MINIATURE: (
        "Start here",
        "A tiny model that trains in minutes on any machine, without downloads.",
    ),
    PresetOrigin.FIRST_MODEL: ("Small models", "For a single machine."),
    PresetOrigin.PAPER: (
        "From papers",
        "Published recipes. They need GPUs and their data sets.",
    ),
}


def preset_groups() -> list[PresetGroup]:
    """Return all presets, grouped by origin."""
    here = set(Dataset.objects.values_list("name", flat=True))
    names = preset_names()
    return [
        PresetGroup(title, about, [_card(name, here) for name in names if preset_origin(name) == origin])
        for origin, (title, about) in _GROUPS.items()
    ]


def _card(name: str, here: set[str]) -> PresetCard:
    config = RunConfig.parse(preset_data(name))
    return PresetCard(
        name=name,
        title=config.name,
        about=about_preset(name),
        model=short_model(config.student.model),
        paradigm=preferences_of(config),
        loss=loss_label(config.training.loss),
        iterations=config.iterations,
        missing=[dataset for dataset in dataset_names(config) if dataset not in here],
    )


def about_preset(name: str) -> str:
    """Return the first sentence of the comment at the top of the preset's file."""
    words: list[str] = []
    with (PRESETS / f"{name}.yaml").open(encoding="utf-8") as file:
        for line in file:
            text = line.lstrip("#").strip()
            if not line.startswith("#") or not text:
                break
            words.append(text)
    sentence, stop, _ = " ".join(words).partition(". ")
    return sentence + "." if stop else sentence


def lacks_miniature(preset: str) -> bool:
    """Return whether a miniature preset names a data set that does not exist."""
    if preset_origin(preset) != PresetOrigin.MINIATURE:
        return False
    named = dataset_names(RunConfig.parse(preset_data(preset)))
    return Dataset.objects.filter(name__in=named).count() < len(named)


def dataset_choices() -> list[DatasetChoice]:
    """Return the data sets that a config can name."""
    found = Dataset.objects.annotate(rows=Count("prompts")).values_list("name", "kind", "rows")
    return [DatasetChoice(name, kind, rows) for name, kind, rows in found]


def command_of(config: RunConfig, preset: str) -> str:
    """Return the command that launches a config: a preset with overrides, else a YAML file."""
    if preset:
        try:
            changes = as_overrides(preset, config)
        except ConfigError:
            changes = None
        if changes is not None:
            parts = [f"python manage.py launch --preset {preset}"]
            return " \\\n  ".join(parts + [f"--set {shlex.quote(change)}" for change in changes])
    return "python manage.py launch run.yaml"


def estimate_of(config: RunConfig, datasets: Sequence[DatasetChoice]) -> Estimate:
    """Estimate time, memory and disk of a run on this machine."""
    rows = {one.name: one.rows for one in datasets}
    return estimate(config, machine(), rows=rows, folders=(Path(settings.HOME),))


def warnings_of(
    config: RunConfig, datasets: Sequence[DatasetChoice], leaks: Sequence[SetLeakage]
) -> Iterator[tuple[str, str]]:
    """Yield (dotted field, message) for valid settings that are probably mistakes.

    ``leaks`` is the leakage of the config's evaluation sets into its training sets.
    """
    rows = {one.name: one.rows for one in datasets}
    generates = config.iterations > 0 and config.makes_candidates
    evaluation = config.evaluation
    if generates and config.prompts.source == "dataset" and config.prompts.dataset in rows:
        available, needed = rows[config.prompts.dataset], config.prompts.count * config.iterations
        if available < config.prompts.count:
            yield "prompts.count", f"The data set has only {available:,} prompts."
        elif available < needed:
            yield (
                "prompts.count",
                f"The data set has {available:,} of {needed:,} prompts; later iterations repeat some.",
            )
    stopping = config.training.early_stopping
    if stopping and evaluation.enabled and stopping.dataset == evaluation.dataset:
        yield "training.early_stopping.dataset", "The evaluation uses the same prompts, so its result is biased."
    if stopping and stopping.dataset in rows and rows[stopping.dataset] < stopping.count:
        yield "training.early_stopping.count", f"The data set has only {rows[stopping.dataset]:,} prompts."
    if evaluation.enabled and evaluation.dataset in rows:
        if rows[evaluation.dataset] < evaluation.count:
            yield "evaluation.count", f"The data set has only {rows[evaluation.dataset]:,} prompts."
        if evaluation.dataset in (config.prompts.dataset if generates else "", *config.sft.datasets):
            yield "evaluation.dataset", "This data set is also trained on, so the result is biased."
    if evaluation.enabled and config.iterations and evaluation.pairs and evaluation.pairs == config.pairs.from_dataset:
        yield "evaluation.pairs", "These pairs are also trained on, so the result is biased."
    for one in leaks:
        if one.found is not None and one.found.contained:
            yield one.field, f"{one.sentence} The result on them is biased."
    if generates and config.candidates.n > 1 and config.candidates.temperature == 0:
        yield "candidates.temperature", "At temperature 0 all candidates of a prompt are equal, so there are no pairs."
    judges = generates and not config.demonstrates
    if judges and config.judging.k > 1 and config.judging.temperature == 0:
        yield "judging.temperature", "At temperature 0 all judgements of a response are equal; set k to 1."
    for field, model in local_models(config):
        if note := note_of(artifacts.resolve(model)):
            yield field, note
    if config.student.trust_remote_code:
        yield (
            "student.trust_remote_code",
            "The model's code runs on this machine. Use it only for models that you trust.",
        )
    teacher, engine = config.teacher, ENGINES[config.engine.kind]
    for role, section in config.models().items():
        provider = section.entry.provider
        if provider and provider.needs_key and not section.key and not keys.has_environment_key(section.kind):
            yield (
                f"{role}.key",
                f"{provider.key_variables[0]} is not set. Select a stored key, or set it for the workers.",
            )
    is_paid = any(section.is_remote for section in config.models().values())
    if is_paid and teacher.budget_tokens is None and teacher.budget_usd is None:
        yield "teacher.budget_tokens", "Without a budget, costs are not limited."
    if engine.without_gpu and not machine().gpus:
        yield "engine.kind", f"This machine has no GPU. {engine.without_gpu}"
    if not config.evaluation.enabled and config.iterations > 0:
        yield "evaluation.enabled", "Without evaluation, models are not compared."
    if evaluation.enabled and not config.has_evaluator:
        yield "evaluator.kind", "Without an evaluator, no other model judges the evaluation."
    elif config.evaluator_makes_preferences:
        maker = config.model_of(config.evaluator_role).label
        yield (
            "evaluator.kind",
            f"{maker} also makes the preferences for the training, so the result is biased. Choose another evaluator.",
        )
    if config.evaluator_role == "evaluator" and config.evaluator.k > 1 and config.evaluator.temperature == 0:
        yield "evaluator.k", "At temperature 0 all judgements of an answer are equal; set k to 1."
