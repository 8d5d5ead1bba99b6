"""Grid over one or two config fields, and over seeds, for a study (as in Yu et al., 2024, figures 2 and 3)."""

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
#: The field whose values repeat a point: it counts beside :data:`MOST_FIELDS`, and results are averaged over it.
SEED = "seed"
MOST_POINTS = 36
NAME_LENGTH = 120


_GIVEN = re.compile(r" \(given: .*\)$")  # redundant next to the label of the point


@dataclass(frozen=True, slots=True)
class Axis:
    """A dotted field and its values in the grid."""

    field: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One run of the grid: its values in the order of the axes, and its config."""

    values: tuple[Any, ...]
    config: RunConfig


def read_values(field: str, text: str) -> tuple[Any, ...]:
    """Parse comma-separated YAML scalars, such as ``0, 0.1, sr_dpo``. Raises :class:`ConfigError` if invalid."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(read_yaml(part) for part in parts if part)


def grid(base: Mapping[str, Any], axes: Sequence[Axis], name: str) -> list[Point]:
    """Return a point for every combination of values, applied to ``base``; the last axis varies fastest.

    Raises :class:`ConfigError` with each distinct problem once.
    """
    if problems := axis_problems(axes):
        raise ConfigError(problems)
    points: list[Point] = []
    wrong: dict[tuple[str, str], list[str]] = {}
    for values in itertools.product(*(axis.values for axis in axes)):
        pairs = list(zip((axis.field for axis in axes), values, strict=True))
        data = with_overrides(dict(base), [f"{field}={json.dumps(value)}" for field, value in pairs])
        label = ", ".join(f"{field.rpartition('.')[2]} {_word(value)}" for field, value in pairs)
        try:
            points.append(Point(values, RunConfig.parse({**data, "name": f"{name}: {label}"[:NAME_LENGTH]})))
        except ConfigError as error:
            for problem in error.problems:
                wrong.setdefault(problem, []).append(label)
    if wrong:
        raise ConfigError(
            [(field, f"{_GIVEN.sub('', text)} (with {labels[0]})") for (field, text), labels in wrong.items()]
        )
    return points


def axis_problems(axes: Sequence[Axis]) -> list[tuple[str, str]]:
    """Return (field, message) for each problem with the axes, independent of the base config."""
    if not axes:
        return [("", "choose a field and its values")]
    fields = [axis.field for axis in axes if axis.field != SEED]
    if len(fields) > MOST_FIELDS:
        return [("", f"a study varies at most {MOST_FIELDS} fields beside the seed, not {len(fields)}")]
    problems: list[tuple[str, str]] = []
    for axis in axes:
        if axis.field in ("", "name", "version"):
            problems.append((axis.field, "choose another field; the name of each run is generated"))
        elif not axis.values:
            problems.append((axis.field, "give values separated by commas"))
        elif any(isinstance(value, list | tuple | dict) for value in axis.values):
            problems.append((axis.field, "each value must be a number, a word, true or false"))
        elif twice := [value for place, value in enumerate(axis.values) if value in axis.values[:place]]:
            problems.append((axis.field, f"{_word(twice[0])} is repeated"))
    if len({axis.field for axis in axes}) < len(axes):
        problems.append((axes[0].field, "is repeated; choose two different fields"))
    points = 1
    for axis in axes:
        points *= len(axis.values)
    if not problems and points > MOST_POINTS:
        problems.append(("", f"a study has at most {MOST_POINTS} runs, not {points}"))
    return problems


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
