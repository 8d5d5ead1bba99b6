"""Registry of verifiers, which the jobs, the import, the pages and the maker of constraint prompts read.

To add a kind, write its :class:`~training.domain.verifiers.base.Verifier` in the ``VERIFIERS`` of a module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from training.domain.verifiers import answers, form, functions, lengths, wording
from training.domain.verifiers.base import CheckError, Verifier

VERIFIERS: Final[Mapping[str, Verifier]] = {
    verifier.name: verifier for family in (lengths, wording, form, answers, functions) for verifier in family.VERIFIERS
}
MAX_CHECKS: Final = 20  # per prompt
MAX_BYTES: Final = 20_000

Check = dict[str, Any]


def read_checks(value: Any) -> list[Check]:
    """Validate the checks of a prompt: a list of objects, or JSON text of it. Raises :class:`CheckError`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise CheckError('checks must be a JSON list of objects, such as [{"kind": "json"}]') from None
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        raise CheckError('checks must be a list of objects, such as [{"kind": "words", "at_most": 50}]')
    if len(value) > MAX_CHECKS:
        raise CheckError(f"{len(value)} checks; at most {MAX_CHECKS} per prompt are allowed")
    read = [_read(item) for item in value]
    if len(json.dumps(read)) > MAX_BYTES:
        raise CheckError(f"the checks of a prompt may have at most {MAX_BYTES:,} bytes")
    return read


def _read(item: Any) -> Check:
    if not isinstance(item, Mapping) or not isinstance(item.get("kind"), str):
        raise CheckError(f"each check must be an object with a kind: {', '.join(VERIFIERS)}")
    verifier = VERIFIERS.get(item["kind"])
    if verifier is None:
        raise CheckError(f"unknown check {item['kind'][:40]!r}; choose one of {', '.join(VERIFIERS)}")
    points = item.get("points", 1)
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 < points <= 1000:
        raise CheckError(f"the check {verifier.name}: points must be a number above 0, at most 1000")
    if not math.isfinite(points):
        raise CheckError(f"the check {verifier.name}: points must be a number above 0, at most 1000")
    values = verifier.read({name: given for name, given in item.items() if name not in ("kind", "points")})
    return {"kind": verifier.name, **values, **({"points": points} if points != 1 else {})}


def describe(check: Mapping[str, Any]) -> str:
    """Return a stored check in words: "number of words: at most 50"."""
    verifier = VERIFIERS.get(str(check.get("kind")))
    if verifier is None:
        return str(check.get("kind"))
    parts = [_words(name, check[name]) for name in verifier.fields if name in check]
    if (points := check.get("points", 1)) != 1:
        parts.append(f"{points:g} points")
    return f"{verifier.label}: {', '.join(parts)}" if parts else verifier.label


def _words(name: str, value: Any) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if _is_number(value) else str(value)
    return f"{name.replace('_', ' ')} {shown}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
