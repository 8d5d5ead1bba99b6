"""Judges as data: prompt, parser of the replies, and version. No I/O.

A prompt has placeholders such as ``<RESPONSE_HERE>``, each of which occurs once. All are filled in a single pass, so a
response that itself contains a placeholder or "Score: 5" is passed to the judge unchanged. ``<CONVERSATION_HERE>`` is
replaced by all turns with their roles, ``<INSTRUCTION_HERE>`` by the last user turn. In a prompt without
``<CONVERSATION_HERE>``, a conversation of several turns replaces ``<INSTRUCTION_HERE>`` as a whole
(:mod:`training.domain.transcripts`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, cast

from training.domain.judging import HIGHEST_SCORE, rationale, read_conclusion, without_thoughts
from training.domain.parsers import ChoiceParser, NumberParser, Parser, Reading, VerdictParser
from training.domain.rows import Message, Verdict
from training.domain.transcripts import instruction, transcript

JudgeKind = Literal["score", "comparison"]
JUDGE_KINDS: Final[dict[JudgeKind, str]] = {
    "score": "scores one response",
    "comparison": "compares two responses",
}
#: Placeholders of which a prompt must contain at least one, each at most once.
ASKED: Final = ("<INSTRUCTION_HERE>", "<CONVERSATION_HERE>")
#: Placeholders that a prompt of each kind must contain exactly once.
ANSWERED: Final[dict[JudgeKind, tuple[str, ...]]] = {
    "score": ("<RESPONSE_HERE>",),
    "comparison": ("<FIRST_HERE>", "<SECOND_HERE>"),
}
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_REFERENCE: Final = re.compile(rf"({NAME.pattern})(?:@([1-9][0-9]{{0,5}}))?")
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?: [A-Za-z0-9]+){0,3}")
_WORD: Final = re.compile(r"[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+){0,3}")
_PLACEHOLDER: Final = re.compile(r"<([A-Z]+(?:_[A-Z]+)*_HERE)>")
#: In front of the instruction, the label of a user turn belongs to the transcript, so that it is not written twice.
_LABEL_OF_ASKED: Final = "User: "
_LABELLED: Final = re.compile(rf"(?m)^{_LABEL_OF_ASKED}(?=<INSTRUCTION_HERE>)")
MAX_PROMPT: Final = 20_000  # characters
MAX_EXAMPLES, MAX_CHOICES = 20, 20
_FIELDS: Final = ("name", "title", "description", "kind", "prompt", "parser", "examples")
_PARSER_FIELDS: Final = {
    "number": ("kind", "label", "lowest", "highest"),
    "choice": ("kind", "label", "choices"),
    "verdict": ("kind", "label", "first", "second", "tie"),
}
_SAYS_UNPARSED: Final = "unparsed"


class JudgeError(ValueError):
    """An invalid judge. ``problems`` is a list of (field, message); the field is "" for the whole judge."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in problems))


@dataclass(frozen=True, slots=True)
class Example:
    """A reply with the expected result of the parser: a score, a verdict, or ``None`` for unparsed."""

    reply: str
    reads: float | str | None


@dataclass(frozen=True)
class Judge:
    """One version of a judge."""

    name: str
    kind: JudgeKind
    prompt: str
    parser: Parser
    version: int = 1
    title: str = ""
    description: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def reference(self) -> str:
        """Name and version as in a config, for example ``additive_5@2``."""
        return f"{self.name}@{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of kind, prompt and parser, which determine a judgement. Name, version and description do not."""
        data = {"kind": self.kind, "prompt": self.prompt, "parser": self.parser.as_data()}
        return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest score on the judge's own scale. Raises :class:`TypeError` for a comparing judge."""
        if isinstance(self.parser, NumberParser | ChoiceParser):
            return self.parser.lowest, self.parser.highest
        raise TypeError(f"the judge {self.name} compares and has no scale")

    def render(self, conversation: Sequence[Message], response: str) -> str:
        """Return the prompt for one response to a conversation, which ends with a user turn."""
        return self._filled(conversation, {"RESPONSE_HERE": response})

    def render_pair(self, conversation: Sequence[Message], first: str, second: str) -> str:
        """Return the prompt for two responses to a conversation, in this order."""
        return self._filled(conversation, {"FIRST_HERE": first, "SECOND_HERE": second})

    @cached_property
    def _form(self) -> tuple[list[str], list[str], bool]:
        """The fixed texts and the placeholders between them, and whether "User: " was cut before the instruction."""
        shows_turns = "<CONVERSATION_HERE>" in self.prompt
        form, labelled = (self.prompt, 0) if shows_turns else _LABELLED.subn("", self.prompt)
        parts = _PLACEHOLDER.split(form)
        return parts[::2], parts[1::2], bool(labelled)

    def _filled(self, conversation: Sequence[Message], answers: Mapping[str, str]) -> str:
        """The only place where the text is made that a judge gets."""
        fixed, names, labelled = self._form
        asked = {"CONVERSATION_HERE": transcript(conversation)}
        if labelled:
            asked["INSTRUCTION_HERE"] = transcript(conversation)
        elif "CONVERSATION_HERE" in names:
            asked["INSTRUCTION_HERE"] = conversation[-1]["content"]
        else:
            asked["INSTRUCTION_HERE"] = instruction(conversation)
        values = asked | dict(answers)
        inserted = [values.get(name, f"<{name}>") for name in names]
        return fixed[0] + "".join(text + after for text, after in zip(inserted, fixed[1:], strict=True))

    def read(self, reply: str, *, cut: bool = False) -> Reading:
        """Parse a reply, on the judge's own scale. Never raises. Pass only text that the judge wrote.

        A reply that was ``cut`` at the token limit has no conclusion. Thoughts in <think> are not read.
        """
        return read_conclusion(self.parser, reply, cut=cut)

    def verdict(self, reply: str, *, cut: bool = False) -> Verdict:
        """Return the position that a reply of a comparing judge prefers, or "unparsed"."""
        value = self.read(reply, cut=cut).value
        return value if value == "first" or value == "second" or value == "tie" else "unparsed"

    def to_run_scale(self, given: float) -> float:
        """Convert a score from the judge's scale to the run's scale, linearly: lowest → 0, highest → 5."""
        lowest, highest = self.scale
        return given if (lowest, highest) == (0.0, HIGHEST_SCORE) else HIGHEST_SCORE * (given - lowest) / (
            highest - lowest
        )  # fmt: skip

    def from_run_scale(self, score: float) -> float:
        """The inverse of :meth:`to_run_scale`."""
        lowest, highest = self.scale
        return lowest + score / HIGHEST_SCORE * (highest - lowest)

    def rationale(self, reply: str) -> str:
        """Return the text of a reply before its conclusion, without thoughts."""
        text = without_thoughts(reply)
        return rationale(text, self.parser.read(text))

    def extract_texts(self, prompt: str) -> dict[str, str] | None:
        """Return the texts of the placeholders in a rendered prompt, by name; ``None`` if it is not this judge's.

        The first occurrence of the fixed text between two placeholders separates them. The beginning and the end of
        the prompt are fixed, so text in the last response that looks like the prompt stays in the response. A
        conversation of several turns is returned as it was written, except for "User: " where the prompt has it too;
        :func:`training.domain.transcripts.last_user_turn` returns the end of it.
        """
        fixed, names, labelled = self._form
        if not (prompt.startswith(fixed[0]) and prompt.endswith(fixed[-1])):
            return None
        if len(prompt) < len(fixed[0]) + len(fixed[-1]):
            return None
        inner = prompt[len(fixed[0]) : len(prompt) - len(fixed[-1])]
        values: list[str] = []
        for divider in fixed[1:-1]:
            if divider not in inner:
                return None
            value, inner = inner.split(divider, 1)
            values.append(value)
        found = dict(zip(names, [*values, inner], strict=True))
        if labelled:
            found["INSTRUCTION_HERE"] = found["INSTRUCTION_HERE"].removeprefix(_LABEL_OF_ASKED)
        return found

    def as_data(self) -> dict[str, Any]:
        """Return the data that :func:`judge_from_data` reads, without the version."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "kind": self.kind,
            "prompt": self.prompt,
            "parser": self.parser.as_data(),
            "examples": [
                {"reply": example.reply, "reads": _SAYS_UNPARSED if example.reads is None else example.reads}
                for example in self.examples
            ],
        }


def split_reference(reference: str) -> tuple[str, int | None]:
    """Split ``name`` or ``name@3`` into name and version (``None``: the newest).

    Raises :class:`ValueError` for an invalid reference.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError("give the name of a judge, such as additive_5, or a version of it, such as additive_5@2")
    return match[1], int(match[2]) if match[2] else None


def judge_from_data(data: Any, *, version: int = 1) -> Judge:
    """Create a judge from plain data. Raises :class:`JudgeError` with all problems, each with its field."""
    if not isinstance(data, Mapping):
        raise JudgeError([("", "a judge is a mapping of fields: name, kind, prompt, parser, examples")])
    problems: list[tuple[str, str]] = [
        (str(key), f"unknown field; a judge has {', '.join(_FIELDS)}") for key in data if key not in _FIELDS
    ]
    name = data.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problems.append(("name", "use 1 to 40 lowercase letters, digits, - and _, starting with a letter"))
    texts = {}
    for field, limit in (("title", 120), ("description", 2000)):
        texts[field] = _short_text(data.get(field, ""), field, limit, problems)
    kind = data.get("kind") if isinstance(data.get("kind"), str) else ""
    if kind not in JUDGE_KINDS:
        problems.append(("kind", "must be score (one response) or comparison (two responses)"))
    prompt = _prompt(data.get("prompt"), kind, problems)
    parser = _parser(data.get("parser"), kind, problems)
    examples = _examples(data.get("examples"), problems)
    if problems or parser is None:
        raise JudgeError(problems)
    judge = Judge(
        name=str(name), kind=cast(JudgeKind, kind), prompt=prompt, parser=parser, version=version,
        title=texts["title"], description=texts["description"], examples=examples,
    )  # fmt: skip
    if failures := _failed_examples(judge):
        raise JudgeError(failures)
    return judge


def with_version(judge: Judge, version: int) -> Judge:
    """Return a copy of the judge with another version."""
    return replace(judge, version=version)


def _short_text(value: Any, field: str, limit: int, problems: list[tuple[str, str]]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value:
        problems.append((field, "must be text"))
        return ""
    if len(value) > limit:
        problems.append((field, f"has {len(value):,} characters; at most {limit:,} are allowed"))
    return value.strip()


def _prompt(value: Any, kind: Any, problems: list[tuple[str, str]]) -> str:
    if not isinstance(value, str) or not value.strip():
        problems.append(("prompt", "is required: the text that is sent to the judge"))
        return ""
    if "\x00" in value or len(value) > MAX_PROMPT:
        problems.append(("prompt", f"must be text of at most {MAX_PROMPT:,} characters, without NUL characters"))
        return ""
    placeholders = [f"<{name}>" for name in _PLACEHOLDER.findall(value)]
    required = ANSWERED.get(kind, ())
    problems += [("prompt", f"must contain {wanted}") for wanted in required if wanted not in placeholders]
    if not set(ASKED) & set(placeholders):
        problems.append(("prompt", f"must contain {' or '.join(ASKED)}"))
    for placeholder in dict.fromkeys(placeholders):
        if required and placeholder not in (*ASKED, *required):
            known = ", ".join((*ASKED, *required))
            problems.append(("prompt", f"contains the unknown placeholder {placeholder}; use {known}"))
        elif (times := placeholders.count(placeholder)) > 1:
            problems.append(("prompt", f"must contain {placeholder} only once, not {times} times"))
    return value.rstrip("\n")


def _parser(value: Any, kind: Any, problems: list[tuple[str, str]]) -> Parser | None:
    fits = {"score": ("number", "choice"), "comparison": ("verdict",)}.get(kind, tuple(_PARSER_FIELDS))
    if not isinstance(value, Mapping):
        problems.append(("parser", "is required: how a reply is parsed, with kind and label"))
        return None
    how = value.get("kind")
    if not isinstance(how, str) or how not in fits:
        problems.append(
            ("parser.kind", f"must be {' or '.join(fits)} for a judge that {JUDGE_KINDS.get(kind, 'judges')}")
        )
        return None
    known = _PARSER_FIELDS[how]
    before = len(problems)
    for key in value:
        if key not in known:
            problems.append((f"parser.{key}", f"unknown field; a parser of kind {how} has {', '.join(known)}"))
    label = value.get("label")
    if not isinstance(label, str) or len(label) > 40 or not _LABEL.fullmatch(label):
        problems.append(("parser.label", "give the words before the conclusion, such as Score"))
    parser: Parser | None = None
    if how == "number":
        low, high = (_number(value.get(field), f"parser.{field}", problems) for field in ("lowest", "highest"))
        if low is not None and high is not None:
            if not 0 <= low < high <= 1000:
                problems.append(
                    ("parser.highest", "must be above the lowest score and at most 1000; the lowest is at least 0")
                )
            parser = NumberParser(str(label), low, high)
    elif how == "choice":
        choices = _choices(value.get("choices"), problems)
        parser = ChoiceParser(str(label), choices)
    else:
        words = [value.get(place, place) for place in ("first", "second", "tie")]
        for place, word in zip(("first", "second", "tie"), words, strict=True):
            _check_word(word, f"parser.{place}", problems)
        if len({str(word).casefold() for word in words}) < 3:
            problems.append(("parser", "first, second and tie must be three different words"))
        parser = VerdictParser(str(label), str(words[0]), str(words[1]), str(words[2]))
    return parser if len(problems) == before else None


def _choices(value: Any, problems: list[tuple[str, str]]) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping) or not 2 <= len(value) <= MAX_CHOICES:
        problems.append(("parser.choices", f"give 2 to {MAX_CHOICES} choices with a score each, such as A: 5"))
        return ()
    choices: list[tuple[str, float]] = []
    for word, worth in value.items():
        field = f"parser.choices.{str(word)[:40]}"
        _check_word(word, field, problems)
        number = _number(worth, field, problems)
        if number is not None:
            choices.append((str(word), number))
    if len({word.casefold() for word, _ in choices}) < len(choices):
        problems.append(("parser.choices", "two choices differ only in upper and lower case"))
    if len({worth for _, worth in choices}) < 2:
        problems.append(("parser.choices", "at least two choices must have different scores"))
    return tuple(choices)


def _check_word(value: Any, field: str, problems: list[tuple[str, str]]) -> None:
    if isinstance(value, bool):
        problems.append((field, "YAML reads this as true or false; put the word in quotation marks"))
    elif not isinstance(value, str) or len(value) > 40 or not _WORD.fullmatch(value):
        problems.append((field, "must be one to four words of letters and digits"))


def _number(value: Any, field: str, problems: list[tuple[str, str]]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e6:
        problems.append((field, "must be a number"))
        return None
    return float(value)


def _examples(value: Any, problems: list[tuple[str, str]]) -> tuple[Example, ...]:
    if not isinstance(value, list) or not value or len(value) > MAX_EXAMPLES:
        problems.append(
            ("examples", f"give 1 to {MAX_EXAMPLES} replies with the expected result; the parser is tested on them")
        )
        return ()
    examples = []
    for number, item in enumerate(value, 1):
        field = f"examples.{number}"
        if not isinstance(item, Mapping) or set(item) != {"reply", "reads"} or not isinstance(item["reply"], str):
            problems.append((field, "must have reply (a text) and reads (a score, a verdict, or unparsed)"))
            continue
        reads = item["reads"]
        if isinstance(reads, bool) or not isinstance(reads, int | float | str):
            problems.append((f"{field}.reads", "must be a score, a verdict (first, second, tie) or unparsed"))
            continue
        examples.append(
            Example(
                item["reply"], None if reads == _SAYS_UNPARSED else reads if isinstance(reads, str) else float(reads)
            )
        )
    return tuple(examples)


def _failed_examples(judge: Judge) -> list[tuple[str, str]]:
    """Return a problem for each example that the parser reads differently, and for a prompt that parses itself."""
    problems: list[tuple[str, str]] = []
    for number, example in enumerate(judge.examples, 1):
        reading = judge.read(example.reply)
        if reading.value != example.reads:
            wanted, got = _result_text(example.reads), _result_text(reading.value)
            problems.append((f"examples.{number}", f"expected {wanted}, but the parser read {got}: {reading.why}"))
    if not any(example.reads is not None for example in judge.examples):
        problems.append(("examples", "give at least one reply that parses, to test the parser"))
    reading = judge.read(judge.prompt)
    if reading.value is not None:
        problems.append(
            ("prompt", f"parses as a conclusion itself ({reading.why}), so a reply that repeats it would get a score")
        )
    return problems


def _result_text(value: float | str | None) -> str:
    return _SAYS_UNPARSED if value is None else f"{value:g}" if isinstance(value, float) else value
