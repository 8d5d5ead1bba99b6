"""The form of a study: what to start from, one or two fields with their values, seeds, changes for all runs.

What was typed stays as it was typed; ``services.studies.plan`` alone says what is wrong with it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from alignment_app.forms import LaunchField, LaunchForm
from alignment_app.pages.form_words import TITLES
from training.config import ConfigError, Point, RunConfig, preset_data, preset_names, read_yaml
from training.config.grid import SEED

#: Fields that studies are usually made of, first in the list.
USUAL: Final = (
    "training.lam", "training.beta", "training.loss", "training.max_pairs", "training.learning_rate",
    "training.epochs", "training.method", "training.reference", "pairs.rule",
)  # fmt: skip
NAMES: Final = ("name", "start", "field_1", "values_1", "field_2", "values_2", "seeds", "changes")


@dataclass
class StudyForm:
    """What was typed, and what is to be said about it."""

    typed: dict[str, str]
    problems: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> StudyForm:
        """Filled with what a browser sent, or with what an address says: ``?preset=`` and ``?run=`` are a start too."""
        typed = {name: str(given.get(name, ""))[:20_000] for name in NAMES}
        for kind in ("preset", "run"):
            if not typed["start"] and given.get(kind):
                typed["start"] = f"{kind}:{str(given[kind])[:200]}"
        return cls(typed)

    @property
    def fields(self) -> tuple[str, str]:
        return self.typed["field_1"], self.typed["field_2"]

    def asked(self) -> dict[str, Any]:
        """The form as ``services.studies.plan`` takes it; what that cannot see is put among the problems."""
        kind, _, which = self.typed["start"].partition(":")
        found: dict[str, Any] = {"name": self.typed["name"].strip()}
        if kind in ("preset", "run") and which:
            found[kind] = which
        try:
            if changes := read_changes(self.typed["changes"].splitlines()):
                found["set"] = changes
        except ConfigError as error:
            self.problems += error.problems
        first, second = self.fields
        if first and first == second:
            self.problems.append((first, "is there twice; choose two different fields"))
        both = ((first, self.typed["values_1"]), (second, self.typed["values_2"]))
        found["vary"] = {name: values for name, values in both if name}
        if self.typed["seeds"].strip():
            if SEED in self.fields:
                self.problems.append((SEED, "is there twice; give its values under Seeds alone"))
            found["vary"][SEED] = self.typed["seeds"]
        return found

    def field_groups(self) -> list[tuple[str, list[LaunchField]]]:
        """What may vary, the usual ones first."""
        fields = {item.path: item for item in LaunchForm({}).fields if _may_vary(item)}
        groups = [("Usual", [fields[path] for path in USUAL])]
        for path, item in fields.items():
            title = TITLES.get(path.rpartition(".")[0], "")
            if path in USUAL:
                continue
            if groups[-1][0] != title:
                groups.append((title, []))
            groups[-1][1].append(item)
        return groups

    def about(self) -> list[LaunchField]:
        """The chosen fields, for their help, limits and choices."""
        known = LaunchForm({}).by_path
        return [known[path] for path in self.fields if path in known]

    @property
    def run_number(self) -> int:
        """The run that is started from, 0 for none."""
        kind, _, which = self.typed["start"].partition(":")
        return int(which) if kind == "run" and which.isascii() and which.isdigit() else 0


def _may_vary(item: LaunchField) -> bool:
    return item.kind in ("number", "choice", "switch") and item.path not in ("training.lora", "iterations")


def presets() -> list[tuple[str, str]]:
    """(name, title) of every preset."""
    return [(name, str(preset_data(name)["name"])) for name in preset_names()]


def read_changes(lines: Iterable[str]) -> dict[str, Any]:
    """``section.field=value`` lines as a mapping; values are YAML. Raises :class:`ConfigError`."""
    found: dict[str, Any] = {}
    for line in lines:
        if not line.strip():
            continue
        path, equals, value = line.partition("=")
        if not equals or not path.strip():
            raise ConfigError([("set", f"{line.strip()[:60]!r} is not of the form section.field=value")])
        found[path.strip()] = read_yaml(value)
    return found


def without_effect(points: list[Point], fields: Iterable[str]) -> list[tuple[str, str]]:
    """(field, sentence) for a field that varies and changes nothing in some of the runs."""
    found = []
    for path in fields:
        idle = sum(not _applies(point.config, path) for point in points)
        if idle:
            found.append((path, f"has no effect in {idle} of the {len(points)} runs"))
    return found


def _applies(config: RunConfig, path: str) -> bool:
    item = LaunchForm.from_data(config.to_dict()).by_path.get(path)
    return item is None or item.applies


def command_of(asked: Mapping[str, Any]) -> str:
    """The command that launches the same study."""
    start = f"--preset {shlex.quote(asked['preset'])}" if "preset" in asked else f"--run {asked.get('run', '')}"
    parts = [f"python manage.py study {start}", f"--name {shlex.quote(asked['name'])}"]
    for name, values in asked["vary"].items():
        parts.append(f"--vary {shlex.quote(name + '=' + ', '.join(json.dumps(value) for value in values))}")
    for name, value in asked.get("set", {}).items():
        parts.append(f"--set {shlex.quote(name + '=' + json.dumps(value, ensure_ascii=False))}")
    return " \\\n  ".join(parts)


def yaml_of(asked: Mapping[str, Any]) -> str:
    """The document that ``manage.py study`` reads."""
    return yaml.safe_dump(dict(asked), sort_keys=False, allow_unicode=True)
