"""The launch form, generated from the fields of :class:`training.config.RunConfig`.

The form keeps values as typed. :class:`RunConfig` validates them.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from django.http import QueryDict
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alignment_app.form_rules import DATASETS, applying
from alignment_app.pages.form_words import ESSENTIAL, OPTIONAL, TITLES, label_of, label_of_choice
from alignment_app.pages.launching import DatasetChoice
from training.config import JUDGE_FIELDS, RunConfig

Choices = Sequence[tuple[str, str]]
Kind = Literal["text", "number", "switch", "choice", "dataset", "datasets"]


@dataclass
class LaunchField:
    """A config field with its typed value, errors and warnings."""

    path: str
    label: str
    help: str
    kind: Kind
    value: Any  #: text as typed; a bool for a switch; a list of text for data sets
    choices: list[tuple[str, str]] = field(default_factory=list)
    limits: str = ""
    default: Any = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    applies: bool = True

    @property
    def id(self) -> str:
        return "f-" + self.path.replace(".", "-").replace("_", "-")

    @property
    def placeholder(self) -> str:
        """What an empty number means."""
        return "unknown" if self.path.rpartition(".")[2] in ("prompt_price", "completion_price") else "no limit"

    @property
    def is_essential(self) -> bool:
        return self.path in ESSENTIAL

    @property
    def is_shown(self) -> bool:
        """Whether the field is visible: it applies or has errors."""
        return self.applies or bool(self.problems)


@dataclass
class LaunchSection:
    """A section of the form."""

    name: str
    title: str
    help: str
    fields: list[LaunchField]

    @property
    def essential(self) -> list[LaunchField]:
        return [item for item in self.fields if item.is_essential]

    @property
    def advanced(self) -> list[LaunchField]:
        return [item for item in self.fields if not item.is_essential]

    @property
    def folded(self) -> int:
        """Number of visible fields under "More settings"."""
        return sum(item.is_shown for item in self.advanced)

    @property
    def is_open(self) -> bool:
        """Whether "More settings" is open: a field in it has a message."""
        return any(item.problems or item.warnings for item in self.advanced)

    @property
    def is_shown(self) -> bool:
        return any(item.is_shown for item in self.fields)


class LaunchForm:
    """The form's sections, filled from a config, plain data or a request."""

    def __init__(
        self,
        values: Mapping[str, Any],
        datasets: Sequence[DatasetChoice] = (),
        judges: Mapping[str, Choices] | None = None,
    ) -> None:
        """Build the form from typed ``values`` by dotted field, the existing data sets, and judges by kind."""
        self.values = dict(values)
        self.datasets = list(datasets)
        self.judges = judges or {}
        self.sections = [
            LaunchSection("", TITLES[""], "", [self._field(path, info) for path, info in _leaves(RunConfig, top=True)])
        ]
        for name, info in RunConfig.model_fields.items():
            model = _model(info.annotation)
            if model is None:
                continue
            help_text = (model.__doc__ or "").strip().replace("\n", " ")
            fields = [self._field(path, leaf) for path, leaf in _leaves(model, name)]
            self.sections.append(LaunchSection(name, TITLES.get(name, name), help_text, fields))
        self._mark_what_applies()

    @classmethod
    def from_data(
        cls,
        data: Mapping[str, Any],
        datasets: Sequence[DatasetChoice] = (),
        judges: Mapping[str, Choices] | None = None,
    ) -> LaunchForm:
        """Return a form filled from a full or partial config; missing fields have their defaults."""
        return cls(_flatten(data), datasets, judges)

    @classmethod
    def from_post(
        cls, post: QueryDict, datasets: Sequence[DatasetChoice] = (), judges: Mapping[str, Choices] | None = None
    ) -> LaunchForm:
        """Return a form filled from a request, unchanged."""
        values: dict[str, Any] = {}
        for path, info in _all_leaves():
            kind = _kind(path, info)
            if kind == "switch":
                values[path] = path in post
            elif kind == "datasets":
                values[path] = [name for name in post.getlist(path) if name]
            elif path in post:
                values[path] = post[path]
        return cls(values, datasets, judges)

    def data(self) -> dict[str, Any]:
        """Return the form's values as data for :meth:`RunConfig.parse`."""
        found: dict[str, Any] = {}
        off = {path for path in OPTIONAL if not self.by_path[path].value}
        for item in self.fields:
            if item.path in OPTIONAL or item.path.rpartition(".")[0] in off:
                continue
            value = item.value
            if item.kind in ("text", "number", "dataset") and isinstance(value, str):
                value = value.strip()
                if value == "" and item.kind == "number" and item.default is None:
                    value = None
            target = found
            *parents, leaf = item.path.split(".")
            for parent in parents:
                target = target.setdefault(parent, {})
            target[leaf] = value
        return found

    @property
    def fields(self) -> list[LaunchField]:
        return [item for section in self.sections for item in section.fields]

    @property
    def by_path(self) -> dict[str, LaunchField]:
        return {item.path: item for item in self.fields}

    def add_problems(self, problems: Iterable[tuple[str, str]]) -> None:
        """Add each error to its field, or to the nearest parent that is a field."""
        known = self.by_path
        for path, text in problems:
            holder = path
            while holder and holder not in known:
                holder = holder.rpartition(".")[0]
            if holder in known:
                known[holder].problems.append(text)

    def add_warnings(self, warnings: Iterable[tuple[str, str]]) -> None:
        """Add each warning to its field."""
        known = self.by_path
        for path, text in warnings:
            known[path].warnings.append(text)

    def _field(self, path: str, info: FieldInfo) -> LaunchField:
        kind = _kind(path, info)
        default = None if info.is_required() else info.default
        value = self.values.get(path, _as_text(default, kind))
        item = LaunchField(
            path=path,
            label=label_of(path),
            help=info.description or "",
            kind=kind,
            value=_as_text(value, kind),
            limits=_limits(info),
            default=default,
        )
        if path in OPTIONAL:
            item.value = bool(self.values.get(path))
            item.help = OPTIONAL[path]
        if path in JUDGE_FIELDS:
            blank = [] if default else [("", "as under Judging")]
            item.choices = [*blank, *self.judges.get(JUDGE_FIELDS[path], ())]
            if item.value and item.value not in dict(item.choices):
                item.choices.append((item.value, item.value))  # a single version, or an unknown judge
        elif kind == "choice":
            item.choices = [(str(choice), label_of_choice(path, str(choice))) for choice in _options(info)]
        elif kind in ("dataset", "datasets"):
            item.choices = self._dataset_choices(item)
        return item

    def _dataset_choices(self, item: LaunchField) -> list[tuple[str, str]]:
        """Return data sets of a valid kind, and the selected ones that are missing or invalid."""
        named = item.value if item.kind == "datasets" else [item.value] if item.value else []
        kinds = DATASETS[item.path].kinds
        fitting = [one for one in self.datasets if not kinds or one.kind in kinds]
        choices = [("", "none")] if item.kind == "dataset" else []
        choices += [(one.name, f"{one.name} ({one.rows:,} rows)") for one in fitting]
        here = {one.name for one in self.datasets}
        for name in named:
            if name in {one.name for one in fitting}:
                continue
            choices.append((name, f"{name} ({'wrong kind' if name in here else 'missing'})"))
        return choices

    def _mark_what_applies(self) -> None:
        known = self.by_path
        values = {
            path: item.value.strip() != "0" if item.kind == "number" else item.value for path, item in known.items()
        }
        for path, applies in applying(values).items():
            known[path].applies = applies


# ---------------------------------------------------------------- reading the config's own description


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the section model of an annotation, also of ``Model | None``."""
    for part in get_args(annotation) or (annotation,):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _leaves(model: type[BaseModel], prefix: str = "", *, top: bool = False) -> list[tuple[str, FieldInfo]]:
    """Return (dotted field, field info) of a model's fields, recursively; with ``top`` without sections."""
    found: list[tuple[str, FieldInfo]] = []
    for name, info in model.model_fields.items():
        if model is RunConfig and name == "version":
            continue  # always the present one
        path = f"{prefix}.{name}" if prefix else name
        inner = _model(info.annotation)
        if inner is None:
            found.append((path, info))
        elif not top:
            found += [(path, info), *_leaves(inner, path)]
    return found


def _all_leaves() -> list[tuple[str, FieldInfo]]:
    found = _leaves(RunConfig, top=True)
    for name, info in RunConfig.model_fields.items():
        model = _model(info.annotation)
        if model is not None:
            found += _leaves(model, name)
    return found


def _plain(annotation: Any) -> Any:
    """Return an annotation without ``| None``."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _kind(path: str, info: FieldInfo) -> Kind:
    if path in DATASETS:
        return "datasets" if get_origin(info.annotation) is tuple else "dataset"
    if path in JUDGE_FIELDS:
        return "choice"
    annotation = _plain(info.annotation)
    if annotation is bool or _model(annotation) is not None:
        return "switch"
    if get_origin(annotation) is Literal:
        return "choice"
    return "number" if annotation in (int, float) else "text"


def _options(info: FieldInfo) -> tuple[Any, ...]:
    return get_args(_plain(info.annotation))


def _limits(info: FieldInfo) -> str:
    """Format the limits of a number: "1 to 64", "above 0, at most 1"."""
    low = high = ""
    for mark in info.metadata:
        if isinstance(mark, Ge):
            low = f"{mark.ge:g}"
        elif isinstance(mark, Gt):
            low = f"above {mark.gt:g}"
        elif isinstance(mark, Le):
            high = f"{mark.le:,}"
        elif isinstance(mark, Lt):
            high = f"below {mark.lt:,}"
    if low and high:
        if "above" not in low and "below" not in high:
            return f"{low} to {high}"
        return f"{low}, {high if 'below' in high else 'at most ' + high}"
    return f"{low} or more" if low and "above" not in low else low


def _as_text(value: Any, kind: Kind) -> Any:
    """Convert a value to that of its form control."""
    if kind == "switch":
        return bool(value)
    if kind == "datasets":
        return [str(item) for item in value or ()]
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, float):
        # 1.0 → 1, 5.5e-06 → 5.5e-6: shorter, and the same number when parsed.
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value).replace("e-0", "e-")
    return "" if value is None else str(value)


def _flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested data by dotted field. A section itself has the value ``True``, for optional sections."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            found[path] = True
            found |= _flatten(value, path)
        else:
            found[path] = value
    return found
