"""The lenient read of a config from the database: it opens whatever version wrote it, and says what does not fit."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError

from training.config.base import Section
from training.config.checks import cross_field_problems
from training.config.run import LENIENT, RunConfig, sentence
from training.config.upgrades import upgrade

#: What stands in for a required value that the data lacks.
_STAND_INS: Final[dict[str, Any]] = {
    "name": "unnamed",
    "paradigm": "self_reward",
    "student": {"model": "unknown"},
    "student.model": "unknown",
}


@dataclass(frozen=True, slots=True)
class StoredConfig:
    """A config as it was stored, in the present format.

    ``config`` holds every value that has a field today, also one that a later rule forbids; ``unknown`` the values of
    fields that no longer exist, by dotted field; ``notes`` are (dotted field, sentence) for whatever the present rules
    refuse. ``data`` is the upgraded plain data with everything in it.
    """

    config: RunConfig
    data: dict[str, Any]
    unknown: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether the present rules accept the config: it can be launched as it is, and estimated."""
        return not (self.notes or self.unknown)

    def flat(self) -> dict[str, Any]:
        """Every value by dotted field, those of unknown fields last."""
        return dict(flatten(self.config.to_dict())) | self.unknown

    def to_yaml(self) -> str:
        """The config as YAML. Comments above it name unknown fields and what the present rules refuse."""
        lines = [f"{name}: {text}" for name, text in self.notes]
        lines += [f"{name}: {value!r} (this version has no such field)" for name, value in self.unknown.items()]
        comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
        return comments + self.config.to_yaml()


def read_stored(data: Any) -> StoredConfig:
    """Read a config from the database, of any version. Never raises, whatever the data is."""
    if not isinstance(data, Mapping):
        data = {"stored": data}
    upgraded = upgrade(json.loads(json.dumps(data, default=str)), default=0)
    plain = copy.deepcopy(upgraded)  # values are taken out of it until the rest can be read
    plain.pop("version", None)
    unknown: dict[str, Any] = {}
    notes: list[tuple[str, str]] = []
    kept: dict[str, Any] = {}  # values that the rules refuse and that are of the field's type
    while (config := _validated(plain, unknown, notes, kept)) is None:
        pass
    for path, value in kept.items():
        config = _with(config, path.split("."), value)
    notes += _broken_rules(config)
    version = upgraded.get("version")
    if version != config.version:
        notes.append(("version", f"the config states version {version!r}; this is read as version {config.version}"))
    return StoredConfig(config, upgraded, unknown, notes)


def _validated(
    plain: dict[str, Any], unknown: dict[str, Any], notes: list[tuple[str, str]], kept: dict[str, Any]
) -> RunConfig | None:
    """The config of ``plain``; ``None`` where errors were found, whose values are no longer in ``plain``."""
    try:
        return RunConfig.model_validate(plain, context={LENIENT: True})
    except ValidationError as error:
        for item in error.errors():
            _set_aside(item, plain, unknown, notes, kept)
        return None


def _set_aside(
    item: Any, plain: dict[str, Any], unknown: dict[str, Any], notes: list[tuple[str, str]], kept: dict[str, Any]
) -> None:
    """Take what one error of the validation is about out of ``plain``, so that the rest can be read."""
    if item["type"] == "extra_forbidden":
        path = ".".join(str(part) for part in item["loc"])
        value = _taken(plain, [str(part) for part in item["loc"]])
        unknown.update(flatten({path: value}))
        return
    place, annotation = _field_of(item["loc"])
    path = ".".join(place)
    if any(path == noted for noted, _ in notes) and item["type"] != "missing":
        return  # another error about the same value
    notes.append((path, sentence(item)[1]))
    value = _taken(plain, place)
    if path in _STAND_INS:
        _put(plain, place, _STAND_INS[path])
    if item["type"] != "missing" and _is_of_type(annotation, value):
        kept[path] = value


def _field_of(loc: tuple[Any, ...]) -> tuple[list[str], Any]:
    """The field that an error's location lies in, without places inside its value; and the field's type."""
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
    """Whether a value has the type of a field, whatever its limits; for a choice: whether it is text."""
    if isinstance(value, str) and any(isinstance(choice, str) for choice in get_args(annotation)):
        return True
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return isinstance(value, list) and annotation == tuple[str, ...] and all(isinstance(one, str) for one in value)
    return not isinstance(value, Mapping)


def _taken(data: dict[str, Any], place: list[str]) -> Any:
    """Remove a value from nested data and return it; ``None`` where there is none."""
    target: Any = data
    for part in place[:-1]:
        target = target.get(part) if isinstance(target, dict) else None
    return target.pop(place[-1], None) if isinstance(target, dict) and place else None


def _put(data: dict[str, Any], place: list[str], value: Any) -> None:
    for part in place[:-1]:
        data = data.setdefault(part, {})
    data[place[-1]] = dict(value) if isinstance(value, dict) else value


def _with(section: Any, place: list[str], value: Any) -> Any:
    """A copy of a section with one nested value, which is not validated."""
    first, rest = place[0], place[1:]
    if rest and getattr(section, first) is None:
        return section
    return section.model_copy(update={first: _with(getattr(section, first), rest, value) if rest else value})


def _broken_rules(config: RunConfig) -> list[tuple[str, str]]:
    try:
        return cross_field_problems(config)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return []  # a kept value is noted already, and is nothing to compute with


def flatten(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted field, value) of nested data."""
    for key, value in data.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{path}.")
        else:
            yield path, value
