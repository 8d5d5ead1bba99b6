"""Config fields that name data sets.

Such a field has a :class:`DatasetRef` in its metadata. The launch check, the form, the estimate, the preset cards and
the deletion of a data set all use :func:`datasets`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

from training.config.base import Section
from training.domain.importing import DatasetKind


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """Metadata of a field that names a data set, or several if its type is a tuple.

    Args:
        kinds: the accepted kinds of data sets; empty for every kind.
        when: conditions that must all hold for the field to apply: ``field`` is on, ``!field`` is off, or
            ``field=value`` has this value. A dotted field is off if it is false, 0, empty, or in a missing section.
        required: the error message if the field applies and is empty; "" if it is optional.
        measures: whether models are measured on the data set, so that nothing of it should be trained on.
    """

    kinds: tuple[DatasetKind, ...] = ()
    when: tuple[str, ...] = ()
    required: str = ""
    measures: bool = False

    def applies(self, value_of: Callable[[str], Any]) -> bool:
        """Whether the field applies. ``value_of`` returns the value of a dotted field."""
        return all(_holds(condition, value_of) for condition in self.when)


def _holds(condition: str, value_of: Callable[[str], Any]) -> bool:
    """Whether one condition of :attr:`DatasetRef.when` holds."""
    field, is_compared, wanted = condition.removeprefix("!").partition("=")
    holds = value_of(field) == wanted if is_compared else bool(value_of(field))
    return holds != condition.startswith("!")


@dataclass(frozen=True, slots=True)
class NamedDatasets:
    """The data sets that a field of a config names, and whether the field applies."""

    field: str
    names: tuple[str, ...]
    ref: DatasetRef
    applies: bool


def datasets(config: Section) -> Iterator[NamedDatasets]:
    """Yield all fields that can name data sets, in order of declaration, including empty ones."""
    for field, ref in dataset_fields(type(config)).items():
        value = value_of(config, field)
        names = (value,) if isinstance(value, str) else tuple(value or ())
        named = tuple(name for name in names if name)
        yield NamedDatasets(field, named, ref, ref.applies(lambda path: value_of(config, path)))


@dataclass(frozen=True, slots=True)
class ComparedDatasets:
    """An evaluation set, named by ``field``, and a training set of one config."""

    field: str
    evaluation: str
    training: str


def compared_datasets(config: Section) -> list[ComparedDatasets]:
    """Return every pair of an evaluation set and a training set that a config uses, without duplicates."""
    used = [named for named in datasets(config) if named.applies]
    training = dict.fromkeys(name for named in used if not named.ref.measures for name in named.names)
    found: dict[tuple[str, str], ComparedDatasets] = {}
    for named in used:
        for evaluation in named.names if named.ref.measures else ():
            for name in training:
                found.setdefault((evaluation, name), ComparedDatasets(named.field, evaluation, name))
    return list(found.values())


def measuring_names(config: Section) -> list[str]:
    """Return the names of the data sets on which a config measures models."""
    used = (named for named in datasets(config) if named.applies and named.ref.measures)
    return list(dict.fromkeys(name for named in used for name in named.names))


def dataset_names(config: Section) -> list[str]:
    """Return the names of the data sets that a config uses, without duplicates."""
    return list(dict.fromkeys(name for named in datasets(config) if named.applies for name in named.names))


def dataset_fields(model: type[Section], prefix: str = "") -> dict[str, DatasetRef]:
    """Return the :class:`DatasetRef` of each field that names data sets, by dotted field."""
    refs: dict[str, DatasetRef] = {}
    for name, info in model.model_fields.items():
        if (ref := dataset_ref(info)) is not None:
            refs[prefix + name] = ref
        for part in get_args(info.annotation) or (info.annotation,):
            if isinstance(part, type) and issubclass(part, Section):
                refs |= dataset_fields(part, f"{prefix}{name}.")
    return refs


def dataset_ref(info: FieldInfo) -> DatasetRef | None:
    """Return the :class:`DatasetRef` in a field's metadata, or ``None``."""
    return next((mark for mark in info.metadata if isinstance(mark, DatasetRef)), None)


def value_of(config: Section, path: str) -> Any:
    """Return the value of a dotted field; ``None`` if its section is missing."""
    value: Any = config
    for part in path.split("."):
        value = None if value is None else getattr(value, part)
    return value
