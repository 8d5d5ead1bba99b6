"""Lenient reading of stored configs of any version, with notes on values that are not valid today."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError

from training.config.base import Section
from training.config.checks import cross_field_problems
from training.config.run import LENIENT, RunConfig, field_message
from training.config.upgrades import upgrade

#: Placeholders for missing required values.
_PLACEHOLDERS: Final[dict[str, Any]] = {
    "name": "unnamed",
    "paradigm": "self_reward",
    "student": {"model": "unknown"},
    "student.model": "unknown",
}


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """A stored config in the current format.

    Attributes:
        config: all values of existing fields, including values that are no longer valid.
        data: the complete upgraded data.
        unknown: values of fields that no longer exist, by dotted field.
        notes: (dotted field, message) for each violation of the current rules.
    """

    config: RunConfig
    data: dict[str, Any]
    unknown: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether the config is valid today, so that it can be launched and estimated."""
        return not (self.notes or self.unknown)

    def flat(self) -> dict[str, Any]:
        """Return all values by dotted field, those of unknown fields last."""
        return dict(flatten(self.config.to_dict())) | self.unknown

    def to_yaml(self) -> str:
        """Return the config as YAML, with comments on unknown fields and invalid values at the top."""
        lines = [f"{name}: {text}" for name, text in self.notes]
        lines += [f"{name}: {value!r} (this version has no such field)" for name, value in self.unknown.items()]
        comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
        return comments + self.config.to_yaml()


def read_stored(data: Any) -> StoredConfig:
    """Read a stored config of any version. Never raises."""
    if not isinstance(data, Mapping):
        data = {"stored": data}
    upgraded = upgrade(json.loads(json.dumps(data, default=str)), default=0)
    plain = copy.deepcopy(upgraded)  # invalid values are removed until the remainder is valid
    plain.pop("version", None)
    unknown: dict[str, Any] = {}
    notes: list[tuple[str, str]] = []
    kept: dict[str, Any] = {}  # invalid values of the correct type
    while (config := _validated(plain, unknown, notes, kept)) is None:
        pass
    for path, value in kept.items():
        config = _with(config, path.split("."), value)
    notes += _broken_rules(config)
    version = upgraded.get("version")
    if version != config.version:
        notes.append(("version", f"the stored version is {version!r}; it was read as version {config.version}"))
    return StoredConfig(config, upgraded, unknown, notes)


def _validated(
    plain: dict[str, Any], unknown: dict[str, Any], notes: list[tuple[str, str]], kept: dict[str, Any]
) -> RunConfig | None:
    """Validate ``plain``. On errors, remove the invalid values from it and return ``None``."""
    try:
        return RunConfig.model_validate(plain, context={LENIENT: True})
    except ValidationError as error:
        for item in error.errors():
            _set_aside(item, plain, unknown, notes, kept)
        return None


def _set_aside(
    item: Any, plain: dict[str, Any], unknown: dict[str, Any], notes: list[tuple[str, str]], kept: dict[str, Any]
) -> None:
    """Remove the value of one validation error from ``plain``, and record it."""
    if item["type"] == "extra_forbidden":
        path = ".".join(str(part) for part in item["loc"])
        value = _taken(plain, [str(part) for part in item["loc"]])
        unknown.update(flatten({path: value}))
        return
    place, annotation = _field_of(item["loc"])
    path = ".".join(place)
    if any(path == noted for noted, _ in notes) and item["type"] != "missing":
        return  # another error about the same value
    notes.append((path, field_message(item)[1]))
    value = _taken(plain, place)
    if path in _PLACEHOLDERS:
        _put(plain, place, _PLACEHOLDERS[path])
    if item["type"] != "missing" and _is_of_type(annotation, value):
        kept[path] = value


def _field_of(loc: tuple[Any, ...]) -> tuple[list[str], Any]:
    """Return the field of an error location, without indices inside its value, and the type of the field."""
    model: type[Section] | None = RunConfig
    place: list[str] = []
    annotation: Any = None
    for part in loc:
        if model is None or part not in model.model_fields:
            break
        place.append(str(part))
        annotation = model.model_fields[part].annotation
        parts = get_args(annotation) or (annotation,)
        model = next((each for each in parts if isinstance(each, type) and issubclass(each, Section)), None)
    return place, annotation


def _is_of_type(annotation: Any, value: Any) -> bool:
    """Whether a value has the type of a field, ignoring its limits. For a choice, any text is accepted."""
    if isinstance(value, str) and any(isinstance(choice, str) for choice in get_args(annotation)):
        return True
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return isinstance(value, list) and annotation == tuple[str, ...] and all(isinstance(one, str) for one in value)
    return not isinstance(value, Mapping)


def _taken(data: dict[str, Any], place: list[str]) -> Any:
    """Remove a value from nested data and return it; ``None`` if it is missing."""
    target: Any = data
    for part in place[:-1]:
        target = target.get(part) if isinstance(target, dict) else None
    return target.pop(place[-1], None) if isinstance(target, dict) and place else None


def _put(data: dict[str, Any], place: list[str], value: Any) -> None:
    for part in place[:-1]:
        data = data.setdefault(part, {})
    data[place[-1]] = dict(value) if isinstance(value, dict) else value


def _with(section: Any, place: list[str], value: Any) -> Any:
    """Return a copy of a section with a changed nested value, without validation."""
    first, remaining = place[0], place[1:]
    if remaining and getattr(section, first) is None:
        return section
    return section.model_copy(update={first: _with(getattr(section, first), remaining, value) if remaining else value})


def _broken_rules(config: RunConfig) -> list[tuple[str, str]]:
    try:
        return cross_field_problems(config)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return []  # the invalid value already has a note


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted field, value) of nested data."""
    for key, value in data.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value
