"""Versions of the config: what makes the data of an earlier version into that of the present one.

Whoever removes, renames or reinterprets a field raises :data:`VERSION` and adds one function to :data:`UPGRADES`.
A new field with a default needs neither: data without it gets the default.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

#: The version that this code writes. Data without a version was stored before there were versions: that is version 0.
VERSION: Final = 1


def _from_0(data: dict[str, Any]) -> dict[str, Any]:
    """Version 0 is every config written before versions: later ones only added fields, whose defaults fit them."""
    return data


#: By version: what makes a config of that version one of the next. Must accept whatever a database may hold.
UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {0: _from_0}


def version_of(data: Mapping[str, Any], *, default: int) -> int | None:
    """The version that data states, ``default`` where it states none; ``None`` where it is not a version."""
    version = data.get("version", default)
    return version if isinstance(version, int) and not isinstance(version, bool) and version >= 0 else None


def upgrade(data: Mapping[str, Any], *, default: int = VERSION) -> dict[str, Any]:
    """A copy of a config's plain data in the present format; data of a later version stays as it is.

    Args:
        data: the plain data of a config, complete or not.
        default: the version of data that states none.
    """
    found = copy.deepcopy(dict(data))
    version = version_of(found, default=default)
    if version is None or version >= VERSION:
        return found
    for number in range(version, VERSION):
        found = UPGRADES[number](found)
    return {**found, "version": VERSION}
