"""A grid over one or two fields of a config: the points of a study, as in figures 2 and 3 of 003."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.config.base import ConfigError, read_yaml
from training.config.presets import with_overrides
from training.config.run import RunConfig

MOST_FIELDS = 2
MOST_POINTS = 36
NAME_LENGTH = 120


_GIVEN = re.compile(r" \(given: .*\)$")  # the point says so


@dataclass(frozen=True, slots=True)
class Axis:
    """A dotted field and the values it takes."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One run of the grid: its values in the order of the axes, and its whole config."""

    values: tuple[Any, ...]
    config: RunConfig


def read_values(field: str, text: str) -> tuple[Any, ...]:
    """Values as people type them: ``0, 0.1, sr_dpo``, each a YAML scalar. Raises :class:`ConfigError`."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(read_yaml(part) for part in parts if part)


def grid(base: Mapping[str, Any], axes: Sequence[Axis], name: str) -> list[Point]:
    """Every combination of the axes' values on top of ``base``, the last axis fastest.

    Raises :class:`ConfigError` with each problem once, on the field that it is about.
    """
    if problems := axis_problems(axes):
        raise ConfigError(problems)
    found: list[Point] = []
    wrong: dict[tuple[str, str], list[str]] = {}
    for values in itertools.product(*(axis.values for axis in axes)):
        pairs = list(zip((axis.field for axis in axes), values, strict=True))
        data = with_overrides(dict(base), [f"{field}={json.dumps(value)}" for field, value in pairs])
        label = ", ".join(f"{field.rpartition('.')[2]} {_word(value)}" for field, value in pairs)
        try:
            found.append(Point(values, RunConfig.parse({**data, "name": f"{name}: {label}"[:NAME_LENGTH]})))
        except ConfigError as error:
            for problem in error.problems:
                wrong.setdefault(problem, []).append(label)
    if wrong:
        raise ConfigError(
            [(field, f"{_GIVEN.sub('', text)} (with {labels[0]})") for (field, text), labels in wrong.items()]
        )
    return found


def axis_problems(axes: Sequence[Axis]) -> list[tuple[str, str]]:
    """What is wrong with the axes themselves, whatever they are set on: (field, sentence)."""
    if not axes:
        return [("", "choose a field that varies, and its values")]
    if len(axes) > MOST_FIELDS:
        return [("", f"at most {MOST_FIELDS} fields vary in a study; there are {len(axes)}")]
    problems: list[tuple[str, str]] = []
    for axis in axes:
        if axis.field in ("", "name", "version"):
            problems.append((axis.field, "choose a field of the config; the name is made for each run"))
        elif not axis.values:
            problems.append((axis.field, "give its values, with commas between them"))
        elif any(isinstance(value, list | tuple | dict) for value in axis.values):
            problems.append((axis.field, "each value must be a number, a word, true or false"))
        elif twice := [value for place, value in enumerate(axis.values) if value in axis.values[:place]]:
            problems.append((axis.field, f"{_word(twice[0])} is there twice"))
    if len({axis.field for axis in axes}) < len(axes):
        problems.append((axes[0].field, "is there twice; choose two different fields"))
    points = 1
    for axis in axes:
        points *= len(axis.values)
    if not problems and points > MOST_POINTS:
        problems.append(("", f"{points} runs are too many for one study; at most {MOST_POINTS}"))
    return problems


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
