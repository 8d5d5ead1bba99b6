"""Studies: launch, pause, resume, cancel and remove a grid of runs together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from alignment_app.models import Run, Study, StudyRun
from alignment_app.services import runs
from alignment_app.services.configs import build_config
from alignment_app.services.errors import Refused
from training.config import Axis, ConfigError, Point, RunConfig, axis_problems, grid, preset_data, read_values

FIELDS = ("name", "preset", "config", "run", "set", "vary")


@dataclass(frozen=True, slots=True)
class Plan:
    """A study before its launch."""

    name: str
    preset: str
    base: RunConfig
    axes: tuple[Axis, ...]
    points: list[Point]


def plan(asked: Any) -> Plan:
    """Build the plan of a study from user input.

    ``asked`` is a mapping: ``name``; one of ``preset``, ``config`` (complete) and ``run`` (a run's number) as the base;
    ``set``, {field: value} for all runs; ``vary``, {field: values}, x axis first, with values as a list or as
    comma-separated text. Raises :class:`ConfigError` with all problems by field.
    """
    if not isinstance(asked, Mapping):
        raise ConfigError([("", f"a study is a mapping with the fields {', '.join(FIELDS)}")])
    unknown = [str(name) for name in asked if name not in FIELDS]
    if unknown:
        raise ConfigError([(name, f"unknown field; a study has {', '.join(FIELDS)}") for name in unknown])
    problems: list[tuple[str, str]] = []
    parts: list[Any] = []
    for part in (_base, _axes, _name):  # check all parts, to report all problems at once
        try:
            parts.append(part(asked))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    (preset, base), axes, name = parts
    points = grid(base.to_dict(), axes, name)
    for point in points:
        runs.check_names(point.config)
    return Plan(name, preset, base, axes, points)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip()) and len(name) <= 100 and name.isprintable()


def _name(asked: Mapping[str, Any]) -> str:
    if not _is_name(asked.get("name")):
        raise ConfigError([("name", "give the study a name of at most 100 plain characters")])
    return str(asked["name"]).strip()


def _base(asked: Mapping[str, Any]) -> tuple[str, RunConfig]:
    """Return the preset's name ("" if none) and the config shared by all runs."""
    preset, data = start_of(asked)
    changes = asked.get("set") or {}
    if not isinstance(changes, Mapping):
        raise ConfigError([("set", "must be a mapping of fields, for example {training.epochs: 2}")])
    overrides = [f"{field}={json.dumps(value, ensure_ascii=False)}" for field, value in changes.items()]
    start = {"preset": preset} if data is None else {"data": data}
    name = _name(asked) if _is_name(asked.get("name")) else "study"  # _name reports the problem
    return preset, build_config(**start, overrides=overrides, name=name)


def start_of(asked: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the preset's name and the base config, which is ``None`` for a preset.

    Raises :class:`ConfigError` unless exactly one existing base is named.
    """
    given = [name for name in ("preset", "config", "run") if asked.get(name)]
    if len(given) != 1:
        raise ConfigError([("", "a study starts from one of preset, config and run; give one of them")])
    if given == ["preset"]:
        preset_data(str(asked["preset"]))
        return str(asked["preset"]), None
    if given == ["config"]:
        return "", asked["config"]
    number = str(asked["run"])
    run = (
        Run.objects.filter(pk=int(number)).first()
        if number.isascii() and number.isdigit() and len(number) < 12
        else None
    )
    if run is None:
        raise ConfigError([("run", f"there is no run {number[:20]}")])
    return run.preset, run.stored_config.data


def _axes(asked: Mapping[str, Any]) -> tuple[Axis, ...]:
    vary = asked.get("vary") or {}
    if not isinstance(vary, Mapping):
        raise ConfigError(
            [("vary", "must be a mapping of a field to its values, for example {training.lam: [0, 0.3]}")]
        )
    axes: list[Axis] = []
    problems: list[tuple[str, str]] = []
    for field, values in vary.items():
        if isinstance(values, str):
            try:
                values = read_values(str(field), values)
            except ConfigError as error:
                problems += error.problems
                continue
        elif not isinstance(values, list | tuple):
            values = (values,)
        axes.append(Axis(str(field).strip(), tuple(values)))
    if axes or not problems:
        problems += axis_problems(axes)
    if problems:
        raise ConfigError(problems)
    return tuple(axes)


@transaction.atomic
def launch(asked: Plan, *, user: Any = None) -> Study:
    """Launch every run of the grid. Raises :class:`ConfigError` when a config names something that does not exist."""
    study = Study.objects.create(
        name=asked.name,
        config=asked.base.to_dict(),
        preset=asked.preset,
        axes=[{"field": axis.field, "values": list(axis.values)} for axis in asked.axes],
        created_by=user,
    )
    for position, point in enumerate(asked.points):
        run = runs.launch(point.config, user=user, preset=asked.preset)
        StudyRun.objects.create(study=study, run=run, position=position, values=list(point.values))
    return study


def pause(study: Study, *, user: Any = None) -> int:
    """Pause the queued and running runs. Returns their number."""
    return _each(study, (Run.Status.QUEUED, Run.Status.RUNNING), runs.pause, user, "No run of this study is active.")


def resume(study: Study, *, user: Any = None) -> int:
    """Resume the stopped runs. Returns their number."""
    return _each(study, Run.STOPPED, runs.resume, user, "No run of this study is stopped.")


def cancel(study: Study, *, user: Any = None) -> int:
    """Cancel the unfinished runs. Returns their number."""
    over = (Run.Status.FINISHED, Run.Status.CANCELLED, Run.Status.CANCELLING)
    unfinished = [status for status in Run.Status.values if status not in over]
    return _each(study, unfinished, runs.cancel, user, "Every run of this study has ended.")


def _each(study: Study, states: Sequence[str], do: Callable[..., Run], user: Any, refusal: str) -> int:
    """Apply an action to each run in one of these states, skipping runs whose state changed meanwhile."""
    done = 0
    for place in study.places.select_related("run").filter(run__status__in=states):
        try:
            do(place.run, user=user)
            done += 1
        except Refused:
            continue
    if not done:
        raise Refused("nothing-to-do", refusal)
    return done


@transaction.atomic
def remove(study: Study, *, user: Any = None) -> None:
    """Delete a study with its runs, their rows and files. Raises :class:`Refused` while a run is active."""
    places = list(study.places.select_related("run"))
    if any(place.run.status in Run.ACTIVE for place in places):
        raise Refused("active", "Runs of this study are active. Cancel them first.")
    for place in places:
        runs.remove(place.run, user=user)
    study.delete()
