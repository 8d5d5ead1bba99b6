"""Presets, and overrides of their fields."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from training.config.base import ConfigError, read_yaml
from training.config.run import RunConfig, differences

PRESETS = Path(__file__).parent.parent / "presets"


class PresetOrigin(StrEnum):
    """Purpose of a preset: the miniature, a first real model, or the recipe of a paper."""

    MINIATURE = "miniature"
    FIRST_MODEL = "first_model"
    PAPER = "paper"


#: Presets that are not recipes of a paper.
_ORIGINS: Final = {
    "miniature-self-reward": PresetOrigin.MINIATURE,
    "miniature-teacher-demonstration": PresetOrigin.MINIATURE,
    "miniature-teacher-reward": PresetOrigin.MINIATURE,
    "local-recorded-scores": PresetOrigin.FIRST_MODEL,
    "smollm2-constraints": PresetOrigin.FIRST_MODEL,
    "smollm2-135m-first-run": PresetOrigin.FIRST_MODEL,
}


def preset_origin(name: str) -> PresetOrigin:
    """Return the purpose of a preset."""
    return _ORIGINS.get(name, PresetOrigin.PAPER)


def preset_names() -> list[str]:
    """Return the names of the presets, the miniature's first, then by name."""
    names = (path.stem for path in PRESETS.glob("*.yaml"))
    return sorted(names, key=lambda name: (preset_origin(name) != PresetOrigin.MINIATURE, name))


def preset_data(name: str) -> dict[str, Any]:
    """Return a preset as plain data. Raises :class:`ConfigError` for an unknown name."""
    if name not in preset_names():
        raise ConfigError([("preset", f"unknown preset {name!r}; choose one of {', '.join(preset_names())}")])
    data = read_yaml((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


def with_overrides(data: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Return a copy of ``data`` with ``section.field=value`` assignments applied. Values are YAML scalars or lists.

    Raises :class:`ConfigError` for a malformed assignment.
    """
    merged = json.loads(json.dumps(data))
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise ConfigError([("", f"{assignment!r} is not of the form section.field=value")])
        *parents, leaf = path.strip().split(".")
        target = merged
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise ConfigError([(path.strip(), "unknown field; check the spelling")])
        target[leaf] = read_yaml(value)
    return merged


def as_overrides(preset: str, config: RunConfig) -> list[str]:
    """Return the ``--set`` assignments that turn a preset into ``config``, to show the equivalent command."""
    base = RunConfig.parse(preset_data(preset))
    return [f"{field}={json.dumps(new, ensure_ascii=False)}" for field, _, new in differences(base, config)]
