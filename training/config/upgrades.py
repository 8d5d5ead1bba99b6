"""Config versions, and the upgrade of data of earlier versions.

To remove, rename or reinterpret a field, increase :data:`VERSION` and add a function to :data:`UPGRADES`. A new field
with a default needs neither.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

#: The version that this code writes. Stored data without a version is version 0.
VERSION: Final = 1


def _from_0(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data unchanged: since version 0, only fields with defaults were added."""
    return data


#: For each version, the function that upgrades its data to the next version. It must accept any data.
UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {0: _from_0}


def version_of(data: Mapping[str, Any], *, default: int) -> int | None:
    """Return the version in the data, ``default`` without one, or ``None`` if it is invalid."""
    version = data.get("version", default)
    return version if isinstance(version, int) and not isinstance(version, bool) and version >= 0 else None


def upgrade(data: Mapping[str, Any], *, default: int = VERSION) -> dict[str, Any]:
    """Return a copy of a config's data in the current format. Data of a newer version is not changed.

    Args:
        data: the data of a config, complete or partial.
        default: the version of data without one.
    """
    upgraded = copy.deepcopy(dict(data))
    version = version_of(upgraded, default=default)
    if version is None or version >= VERSION:
        return upgraded
    for number in range(version, VERSION):
        upgraded = UPGRADES[number](upgraded)
    return {**upgraded, "version": VERSION}
