"""Config fields that name data sets: which fields those are, what they take, and when they have an effect.

A field says so in its own metadata, and everything that asks about data sets asks :func:`datasets`: the launch
check, the form, the estimate, the preset cards and the deletion of a data set.
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
    """Metadata of a field that names a data set, or several where its type is a tuple.

    Args:
        kinds: the kinds of data set that the field takes; empty: every kind, since all of them hold prompts.
        when: dotted fields of the config that must all be on for the field to have an effect; ``!field`` must be off.
            A field is off where it is false, 0, empty, or in a section that is left out.
        required: the problem to report where the field has an effect and names nothing; empty: it may name nothing.
    """

    kinds: tuple[DatasetKind, ...] = ()
    when: tuple[str, ...] = ()
    required: str = ""

    def applies(self, value_of: Callable[[str], Any]) -> bool:
        """Whether the field has an effect. ``value_of`` returns the value of a dotted field."""
        return all(not value_of(field[1:]) if field.startswith("!") else bool(value_of(field)) for field in self.when)


@dataclass(frozen=True, slots=True)
class NamedDatasets:
    """The data sets that one field of a config names, and whether that has an effect."""

    field: str
    names: tuple[str, ...]
    ref: DatasetRef
    applies: bool


def datasets(config: Section) -> Iterator[NamedDatasets]:
    """Every field of a config that names data sets, in the order of declaration, also where it names none."""
    for field, ref in dataset_fields(type(config)).items():
        value = value_of(config, field)
        names = (value,) if isinstance(value, str) else tuple(value or ())
        named = tuple(name for name in names if name)
        yield NamedDatasets(field, named, ref, ref.applies(lambda path: value_of(config, path)))


def dataset_names(config: Section) -> list[str]:
    """The data sets that a config needs, each once."""
    return list(dict.fromkeys(name for found in datasets(config) if found.applies for name in found.names))


def dataset_fields(model: type[Section], prefix: str = "") -> dict[str, DatasetRef]:
    """The reference of each field that names data sets, by dotted field."""
    found: dict[str, DatasetRef] = {}
    for name, info in model.model_fields.items():
        if (ref := dataset_ref(info)) is not None:
            found[prefix + name] = ref
        for part in get_args(info.annotation) or (info.annotation,):
            if isinstance(part, type) and issubclass(part, Section):
                found |= dataset_fields(part, f"{prefix}{name}.")
    return found


def dataset_ref(info: FieldInfo) -> DatasetRef | None:
    """The reference in a field's metadata; ``None`` where the field names no data set."""
    return next((mark for mark in info.metadata if isinstance(mark, DatasetRef)), None)


def value_of(config: Section, path: str) -> Any:
    """The value of a dotted field; ``None`` in an optional section that is left out."""
    value: Any = config
    for part in path.split("."):
        value = None if value is None else getattr(value, part)
    return value
