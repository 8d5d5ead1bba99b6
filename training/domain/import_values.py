"""Validation of the values of an imported row: text, numbers, conversations, weighted spans."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from training.domain.rows import Message

MAX_TEXT = 400_000  # characters in one prompt or response
MAX_TURNS = 200
HIGHEST = 5.0
UNPARSED_MARK = -1
TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = ("system", "user", "assistant")


class BadRow(ValueError):
    """A row that cannot be imported. The message says why, and what is expected."""


def messages_of(value: Sequence[Any], where: str) -> tuple[Message, ...]:
    if len(value) > MAX_TURNS:
        raise BadRow(f"{where} holds {len(value)} turns; at most {MAX_TURNS} are allowed")
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, Mapping) or turn.get("role") not in _ROLES:
            raise BadRow(
                f'turn {number} of {where} must be {{"role": "user", "content": "..."}} (or system, assistant)'
            )
        messages.append(Message(role=turn["role"], content=text_of(turn.get("content"), f"turn {number} of {where}")))
    if messages and messages[-1]["role"] == "system":
        raise BadRow(f"{where} must end with a user turn")
    return tuple(messages)


def transcript(text: str) -> list[dict[str, str]]:
    """Parse the HH-RLHF format, ``\\n\\nHuman: ...\\n\\nAssistant: ...``. An empty last assistant turn is dropped."""
    parts = TURN.split(text)[1:]
    turns = [
        {"role": "user" if speaker == "Human" else "assistant", "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()
    return turns


def weights_of(value: Any, text: str) -> tuple[tuple[int, int, float], ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = decoded(value, "weights")
    wrong = BadRow("weights must be a list of [start, end, weight] with 0 <= start < end <= length of the completion")
    if not isinstance(value, list | tuple):
        raise wrong
    spans = []
    for item in value:
        if not isinstance(item, list | tuple) or len(item) != 3 or any(isinstance(part, bool) for part in item):
            raise wrong
        start, end, weight = item
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(weight, int | float)):
            raise wrong
        if not 0 <= start < end <= len(text) or not (math.isfinite(weight) and 0 <= weight <= 1000):
            raise wrong
        spans.append((start, end, float(weight)))
    return tuple(spans)


def text_of(value: Any, where: str) -> str:
    if value is None:
        raise BadRow(f"{where} is missing")
    if not isinstance(value, str):
        raise BadRow(f"{where} must be text, not {_named_type(value)}")
    if not value.strip():
        raise BadRow(f"{where} is empty")
    if len(value) > MAX_TEXT:
        raise BadRow(f"{where} has {len(value):,} characters; at most {MAX_TEXT:,} are allowed")
    if "\x00" in value:
        raise BadRow(f"{where} holds a NUL character, which a database cannot store; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow(f"{where} is not valid UTF-8 text; save the file as UTF-8") from None
    return value


def number_of(value: Any, where: str) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRow(f"{where} must be a number, not {_named_type(value)}") from None
    if math.isnan(number):
        return None  # an empty cell of a table
    if math.isinf(number):
        raise BadRow(f"{where} is infinite")
    return number


def meta_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the short metadata fields that describe the origin of a row."""
    kept = {}
    for name in ("id", "name", "prompt_id", "question_id", "category", "source", "subset", "row", "is_classification"):
        value = record.get(name)
        if isinstance(value, bool | int | str) and len(str(value)) <= 200:
            if isinstance(value, str) and ("\x00" in value or not is_utf8(value)):
                continue
            kept[name] = value
    own = record.get("meta")
    if isinstance(own, str):  # as exports have it
        try:
            own = json.loads(own)
        except (ValueError, RecursionError):
            return kept
    if isinstance(own, Mapping):
        try:
            text = json.dumps(own, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            return kept
        if len(text) <= 4000 and "\\u0000" not in text and is_utf8(text):
            kept.update({str(key): item for key, item in own.items()})
    return kept


def is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def looks_like_score(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and UNPARSED_MARK <= float(value) <= HIGHEST
    except (TypeError, ValueError, OverflowError):
        return False


def decoded(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadRow(f"{where} is not valid JSON") from None


def value_at(record: Any, path: str) -> Any:
    """Return the value of a field, or of a dotted path such as ``instances.0.input``; ``None`` if it is missing."""
    if isinstance(record, Mapping) and path in record:
        return record[path]
    value = record
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and len(part) < 6 and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def first_present(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _named_type(value: Any) -> str:
    names = {"dict": "an object", "list": "a list", "str": "text", "bool": "true or false", "NoneType": "nothing"}
    return names.get(type(value).__name__, "a number")
