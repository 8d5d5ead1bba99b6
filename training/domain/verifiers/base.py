"""Interface of verifiers, and the validation of a check's fields."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

Params = Mapping[str, Any]
FieldKind = Literal["count", "number", "text", "words", "flag", "data"]

MAX_TEXT: Final = 4000  # characters of a text field
MAX_WORDS: Final = 50
MAX_COUNT: Final = 1_000_000


class CheckError(ValueError):
    """An invalid check. The message names the check, the field and the remedy."""


@dataclass(frozen=True, slots=True)
class CheckField:
    """A field of a check.

    Attributes:
        kind: count (a whole number from 0), number, text, words (a list of texts), flag (true or false), or data (a
            JSON object).
        required: whether it must be given.
    """

    kind: FieldKind
    required: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a check passed, and why, in words."""

    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A check that was drawn for an instruction, and the sentence that asks for it."""

    check: dict[str, Any]
    sentence: str


@dataclass(frozen=True, slots=True)
class Verifier:
    """One kind of check.

    Attributes:
        name: the ``kind`` of a check.
        label: what it checks, for people.
        fields: its fields by name, in addition to ``kind`` and ``points``.
        check: takes the fields and the response, and returns the outcome. Never raises for valid fields.
        one_of: fields of which at least one must be given.
        validate: returns a problem of the fields together, or "".
        draw: draws fields and a sentence for a constraint prompt; ``None``: the kind is not drawn.
        excludes: kinds that cannot be combined with it in one prompt.
        needs_prompt: whether ``check`` also takes the prompt, as a third argument.
    """

    name: str
    label: str
    fields: Mapping[str, CheckField]
    check: Callable[..., Outcome]
    one_of: tuple[str, ...] = ()
    validate: Callable[[Params], str] = field(default=lambda params: "")
    draw: Callable[[Random], Drawn] | None = None
    excludes: tuple[str, ...] = ()
    needs_prompt: bool = False

    def read(self, given: Params) -> dict[str, Any]:
        """Validate the fields of a check, without ``kind`` and ``points``. Raises :class:`CheckError`."""
        for name in given:
            if name not in self.fields:
                known = ", ".join(self.fields) or "no fields"
                raise CheckError(f"the check {self.name} has no field {str(name)[:40]!r}; it has {known}")
        values: dict[str, Any] = {}
        for name, about in self.fields.items():
            if (value := given.get(name)) is not None:
                values[name] = _value(f"{self.name}.{name}", about, value)
            elif about.required:
                raise CheckError(f"the check {self.name} needs {name}")
        if self.one_of and not any(name in values for name in self.one_of):
            raise CheckError(f"the check {self.name} needs {' or '.join(self.one_of)}")
        if problem := self.validate(values):
            raise CheckError(f"the check {self.name}: {problem}")
        return values


def _value(where: str, about: CheckField, value: Any) -> Any:
    kind = about.kind
    if kind == "flag":
        if not isinstance(value, bool):
            raise CheckError(f"{where} must be true or false")
    elif kind in ("count", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise CheckError(f"{where} must be a number")
        if kind == "count":
            if value != int(value) or not 0 <= value <= MAX_COUNT:
                raise CheckError(f"{where} must be a whole number from 0 to {MAX_COUNT:,}")
            return int(value)
    elif kind == "text":
        if not isinstance(value, str) or not value.strip():
            raise CheckError(f"{where} must be text")
        if len(value) > MAX_TEXT:
            raise CheckError(f"{where} has {len(value):,} characters; at most {MAX_TEXT:,} are allowed")
    elif kind == "words":
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_WORDS:
            raise CheckError(f"{where} must be a list of 1 to {MAX_WORDS} texts")
        if not all(isinstance(word, str) and word.strip() and len(word) <= MAX_TEXT for word in value):
            raise CheckError(f"{where} must hold texts only")
        return list(value)
    elif not isinstance(value, Mapping):
        raise CheckError(f"{where} must be an object")
    return value


COUNT_FIELDS: Final[dict[str, CheckField]] = {"at_least": CheckField("count"), "at_most": CheckField("count")}


def ordered(params: Params) -> str:
    """Return a problem if ``at_least`` exceeds ``at_most``."""
    low, high = params.get("at_least"), params.get("at_most")
    return "at_least must not be above at_most" if low is not None and high is not None and low > high else ""


def within(count: int, params: Params, unit: str, units: str = "") -> Outcome:
    """Compare a count with ``at_least`` and ``at_most``. ``units`` is the plural, by default with an s."""
    low, high = params.get("at_least"), params.get("at_most")
    passed = (low is None or count >= low) and (high is None or count <= high)
    return Outcome(passed, f"{plural(count, unit, units)}; {asked(params)}.")


def asked(params: Params) -> str:
    """Return the limits in words: "at least 3 asked"."""
    low, high = params.get("at_least"), params.get("at_most")
    if low is not None and high is not None:
        return f"exactly {low:,} asked" if low == high else f"{low:,} to {high:,} asked"
    return f"at least {low:,} asked" if low is not None else f"at most {high:,} asked"


def plural(count: int, unit: str, units: str = "") -> str:
    """Return "1 word", "3 words"."""
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {units or f'{unit}s'}"


def quoted(texts: list[str]) -> str:
    """Return texts in quotation marks, joined by commas."""
    return ", ".join(f"“{text}”" for text in texts)


def occurrences(word: str, response: str) -> int:
    """Return how often a word or phrase occurs, ignoring case, not inside longer words."""
    pattern = rf"(?<!\w){re.escape(word.strip())}(?!\w)"
    return len(re.findall(pattern, response, re.IGNORECASE))
