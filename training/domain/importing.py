"""Conversion of external data: detect the meaning of each field, and validate the values.

Pure functions from one decoded record (a mapping) to one :class:`ImportedRow`. ``alignment_app.services`` reads files
(``import_formats``) and writes the database (``imports``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from training.domain.import_values import (
    HIGHEST,
    TURN,
    UNPARSED_MARK,
    BadRow,
    decoded,
    first_present,
    looks_like_score,
    messages_of,
    meta_of,
    number_of,
    text_of,
    transcript,
    value_at,
    weights_of,
)
from training.domain.rows import Message
from training.domain.verifiers.base import CheckError
from training.domain.verifiers.registry import read_checks

DatasetKind = Literal["prompts", "demonstrations", "scored", "preferences"]
DATASET_KINDS: tuple[DatasetKind, ...] = ("prompts", "demonstrations", "scored", "preferences")

MAX_RESPONSES = 64  # per prompt
LOWEST = 0.0

#: Fields that are tried for each meaning that the mapping does not name; the first one present is used.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "prompt": ("messages", "prompt", "instruction", "question", "query", "turns.0", "text"),
    "input": ("input", "instances.0.input"),
    "system": ("system", "system_prompt"),
    "completion": ("completion", "response", "output", "answer", "instances.0.output"),
    "weights": ("weights",),
    "responses": ("responses", "completions"),
    "text": ("text", "content", "response", "completion", "output"),
    "scores": ("scores", "score"),
    "rank": ("rank",),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "chosen_score": ("chosen_score", "score_chosen"),
    "rejected_score": ("rejected_score", "score_rejected"),
    "checks": ("checks",),
}
#: Meanings that a mapping may name, by kind of data set.
MEANINGS: dict[str, tuple[str, ...]] = {
    "prompts": ("prompt", "input", "system", "checks"),
    "demonstrations": ("prompt", "input", "system", "completion", "weights", "checks"),
    "scored": ("prompt", "input", "system", "responses", "text", "scores", "rank", "checks"),
    "preferences": ("prompt", "system", "chosen", "rejected", "chosen_score", "rejected_score", "checks"),
}


@dataclass(frozen=True, slots=True)
class ImportedScore:
    """A judge's score, 0 to 5; ``None`` if the judge's reply did not parse."""

    column: str
    score: float | None


@dataclass(frozen=True, slots=True)
class ImportedResponse:
    """A response with its weighted spans (start, end, weight) and its scores."""

    text: str
    weights: tuple[tuple[int, int, float], ...] = ()
    scores: tuple[ImportedScore, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A valid row. For raw training text ``messages`` is empty, and the text is the only response."""

    messages: tuple[Message, ...]
    responses: tuple[ImportedResponse, ...] = ()
    is_pair: bool = False  # responses are (chosen, rejected)
    chosen_score: float | None = None
    rejected_score: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    checks: tuple[dict[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """The last user turn, or the beginning of raw text; for lists and search."""
        if self.messages:
            return self.messages[-1]["content"]
        return self.responses[0].text[:200]

    @property
    def content_hash(self) -> str:
        return content_hash(self.messages, "" if self.messages else self.responses[0].text)


def content_hash(messages: Sequence[Message], raw_text: str = "") -> str:
    """Return the SHA-256 of a conversation and raw training text, which identifies a prompt within a data set."""
    canonical = json.dumps([list(map(dict, messages)), raw_text], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_mapping(kind: str, mapping: Mapping[str, str]) -> None:
    """Check the kind and the meanings in a mapping. Raises :class:`BadRow` for unknown ones."""
    if kind not in DATASET_KINDS:
        raise BadRow(f"unknown kind {kind!r}; choose one of {', '.join(DATASET_KINDS)}")
    for meaning, path in mapping.items():
        if meaning not in MEANINGS[kind]:
            raise BadRow(f"{kind} have no {meaning!r}; a mapping may name {', '.join(MEANINGS[kind])}")
        if not path.strip():
            raise BadRow(f"the mapping of {meaning!r} is empty; name a field or remove it")


def detect_kind(record: Mapping[str, Any]) -> DatasetKind:
    """Guess the kind of data set from the fields of a record."""
    if {"chosen", "rejected"} <= set(record):
        return "preferences"
    if any(isinstance(record.get(name), list) for name in CANDIDATES["responses"]):
        return "scored"
    if "completion" in record or "response" in record or ("output" in record and "instruction" in record):
        return "demonstrations"
    messages = record.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[-1], Mapping):
        return "demonstrations" if messages[-1].get("role") == "assistant" else "prompts"
    return "prompts"


def looks_like_seed_tasks(fields: Sequence[str]) -> bool:
    """Whether the fields are those of the published self-instruct seed tasks."""
    return {"instruction", "instances"} <= set(fields)


def detect_mapping(kind: DatasetKind, record: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping, completed with the known fields of this record."""
    completed = dict(mapping)
    for meaning in MEANINGS[kind]:
        if meaning in completed or meaning in ("text", "scores", "rank"):
            continue
        for path in CANDIDATES[meaning]:
            if value_at(record, path) is not None:
                completed[meaning] = path
                break
    # The input field completes an instruction. A field with the whole prompt already contains it.
    if "input" not in mapping and completed.get("prompt") not in ("instruction", None):
        completed.pop("input", None)
    return {meaning: completed[meaning] for meaning in MEANINGS[kind] if meaning in completed}


def read_row(kind: DatasetKind, record: Any, mapping: Mapping[str, str], judges: Mapping[str, str]) -> ImportedRow:
    """Convert one record.

    Args:
        judges: the column of each judge's score, by source.

    Raises :class:`BadRow` if the record cannot be used.
    """
    if not isinstance(record, Mapping):
        raise BadRow("is not an object with named fields")
    used = detect_mapping(kind, record, mapping)
    if kind == "prompts":
        row = ImportedRow(_prompt(record, used, kind), meta=meta_of(record))
    elif kind == "demonstrations":
        row = _demonstration(record, used)
    elif kind == "scored":
        row = _scored(record, used, judges)
    else:
        row = _preference(record, used)
    return replace(row, checks=_checks(record, used))


def _checks(record: Mapping[str, Any], used: dict[str, str]) -> tuple[dict[str, Any], ...]:
    """Return the checks of a row, validated; empty without any."""
    value = value_at(record, used["checks"]) if "checks" in used else None
    if value is None or value == "":
        return ()
    try:
        return tuple(read_checks(value))
    except CheckError as error:
        raise BadRow(f"{used['checks']}: {error}") from None


def score_columns(record: Mapping[str, Any], mapping: Mapping[str, str]) -> list[str]:
    """Return the columns of a scored record that can hold a judge's score."""
    used = detect_mapping("scored", record, mapping)
    responses = value_at(record, used["responses"]) if "responses" in used else None
    first = responses[0] if isinstance(responses, list) and responses else record
    if not isinstance(first, Mapping):
        return []
    scores = value_at(first, mapping["scores"]) if "scores" in mapping else first_present(first, CANDIDATES["scores"])
    if isinstance(scores, Mapping):
        return [str(column) for column in scores]
    if scores is not None:
        return [mapping.get("scores", "score")]
    return [name for name, value in first.items() if looks_like_score(value)] if first is record else []


def _demonstration(record: Mapping[str, Any], used: dict[str, str]) -> ImportedRow:
    value = value_at(record, used["prompt"]) if "prompt" in used else None
    if "completion" not in used and isinstance(value, list) and value:
        *before, last = value
        if isinstance(last, Mapping) and last.get("role") == "assistant":
            messages = messages_of(before, "messages before the last turn")
            return ImportedRow(
                messages, (_response(last.get("content"), "the last turn", record, used),), meta=meta_of(record)
            )
    if "completion" not in used:
        raise BadRow(_missing_field("completion"))
    response = _response(value_at(record, used["completion"]), used["completion"], record, used)
    if isinstance(value, list) and not value:
        return ImportedRow((), (response,), meta=meta_of(record))  # raw training text
    return ImportedRow(_prompt(record, used, "demonstrations"), (response,), meta=meta_of(record))


def _scored(record: Mapping[str, Any], used: dict[str, str], judges: Mapping[str, str]) -> ImportedRow:
    messages = _prompt(record, used, "scored")
    if "responses" in used:
        items = value_at(record, used["responses"])
        if isinstance(items, str):
            items = decoded(items, used["responses"])
        if not isinstance(items, list) or not items:
            raise BadRow(f"{used['responses']} must be a list of at least one response")
    else:
        items = [record]  # one response per row, as in a table
    if len(items) > MAX_RESPONSES:
        raise BadRow(f"holds {len(items)} responses; at most {MAX_RESPONSES} per prompt are allowed")
    responses: dict[str, ImportedResponse] = {}
    ranks: list[float | None] = []
    for number, item in enumerate(items, 1):
        flat = item is record
        where = "the response" if flat else f"response {number}"
        body = item if isinstance(item, Mapping) else {"text": item}
        text_path = used.get("text")
        names = tuple(name for name in CANDIDATES["text"] if name != used.get("prompt")) if flat else CANDIDATES["text"]
        text = value_at(body, text_path) if text_path else first_present(body, names)
        response = ImportedResponse(text_of(text, where), scores=_scores(body, used, judges, where))
        if response.text not in responses:
            responses[response.text] = response
            ranks.append(number_of(value_at(body, used.get("rank", "rank")), f"{where}: rank"))
    meta = meta_of(record)
    if any(rank is not None for rank in ranks):
        meta["ranks"] = ranks
    return ImportedRow(messages, tuple(responses.values()), meta=meta)


def _scores(
    body: Mapping[str, Any], used: dict[str, str], judges: Mapping[str, str], where: str
) -> tuple[ImportedScore, ...]:
    given = value_at(body, used["scores"]) if "scores" in used else first_present(body, CANDIDATES["scores"])
    scores: list[ImportedScore] = []
    for column in judges.values():
        if isinstance(given, Mapping):
            value = given.get(column)
        else:
            value = value_at(body, column)
        number = number_of(value, f"{where}: score of {column}")
        if number is None:
            continue  # missing: not judged
        if number == UNPARSED_MARK:
            scores.append(ImportedScore(column, None))
        elif LOWEST <= number <= HIGHEST:
            scores.append(ImportedScore(column, number))
        else:
            raise BadRow(f"{where}: the score {number:g} of {column} is outside 0 to 5 (-1 stands for unparsed)")
    return tuple(scores)


def _preference(record: Mapping[str, Any], used: dict[str, str]) -> ImportedRow:
    for meaning in ("chosen", "rejected"):
        if meaning not in used:
            raise BadRow(_missing_field(meaning))
    chosen, rejected = (value_at(record, used[meaning]) for meaning in ("chosen", "rejected"))
    if isinstance(chosen, str) and isinstance(rejected, str) and "prompt" not in used:
        if not TURN.match(chosen):
            raise BadRow(_missing_field("prompt"))
        chosen, rejected = transcript(chosen), transcript(rejected)
    if isinstance(chosen, list) and isinstance(rejected, list):
        messages, texts = _shared_start(
            chosen, rejected, _prompt(record, used, "preferences") if "prompt" in used else ()
        )
    else:
        messages, texts = _prompt(record, used, "preferences"), (chosen, rejected)
    responses = tuple(
        ImportedResponse(text_of(text, name)) for text, name in zip(texts, ("chosen", "rejected"), strict=True)
    )
    if responses[0].text == responses[1].text:
        raise BadRow("chosen and rejected are the same text; a pair needs two different responses")
    scores = [
        number_of(value_at(record, used[name]), name) if name in used else None
        for name in ("chosen_score", "rejected_score")
    ]
    return ImportedRow(messages, responses, True, scores[0], scores[1], meta=meta_of(record))


def _shared_start(
    chosen: list[Any], rejected: list[Any], given: tuple[Message, ...]
) -> tuple[tuple[Message, ...], tuple[Any, Any]]:
    """Split a conversational pair into the shared turns (the prompt) and the two last turns (the responses)."""
    if not chosen or not rejected or chosen[:-1] != rejected[:-1]:
        raise BadRow("chosen and rejected must differ in their last turn only")
    texts = []
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        last = turns[-1]
        if not isinstance(last, Mapping) or last.get("role") != "assistant":
            raise BadRow(f"{name} must end with an assistant turn")
        texts.append(last.get("content"))
    own = messages_of(chosen[:-1], "the turns before the response") if len(chosen) > 1 else given
    if not own:
        raise BadRow(_missing_field("prompt"))
    return own, (texts[0], texts[1])


def _prompt(record: Mapping[str, Any], used: dict[str, str], kind: str) -> tuple[Message, ...]:
    if "prompt" not in used:
        raise BadRow(_missing_field("prompt"))
    value = value_at(record, used["prompt"])
    if isinstance(value, str) and value.lstrip().startswith("[{") and used["prompt"] == "messages":
        value = decoded(value, used["prompt"])
    if isinstance(value, list):
        messages = messages_of(value, used["prompt"])
        if kind == "prompts" and messages and messages[-1]["role"] == "assistant":
            messages = messages[:-1]
    elif isinstance(value, str) and TURN.match(value):
        messages = messages_of(transcript(value), used["prompt"])
    else:
        text = text_of(value, used["prompt"])
        extra = value_at(record, used["input"]) if "input" in used else None
        if isinstance(extra, str) and extra.strip():
            text = f"{text}\n\n{text_of(extra, used['input'])}"
        messages = (Message(role="user", content=text),)
    system = value_at(record, used["system"]) if "system" in used else None
    if isinstance(system, str) and system.strip() and messages and messages[0]["role"] != "system":
        messages = (Message(role="system", content=text_of(system, "system")), *messages)
    if not messages or messages[-1]["role"] != "user":
        raise BadRow(f"{used['prompt']} must end with a user turn")
    return messages


def _response(value: Any, where: str, record: Mapping[str, Any], used: dict[str, str]) -> ImportedResponse:
    text = text_of(value, where)
    return ImportedResponse(text, weights_of(value_at(record, used["weights"]) if "weights" in used else None, text))


def _missing_field(meaning: str) -> str:
    names = ", ".join(CANDIDATES[meaning][:4])
    return f"has no {meaning} (tried {names}); name the field in the mapping, for example {meaning}=my_field"
