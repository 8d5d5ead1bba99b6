"""A judge as data: the prompt, how its replies are read, and a version. Pure; files are the business of others.

A prompt holds placeholders such as ``<RESPONSE_HERE>``, each put in once and in one pass: a response that contains a
placeholder, closes a tag or says "Score: 5" is shown to the judge as it is, and nothing in a prompt is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, cast

from training.domain.judging import HIGHEST_SCORE, rationale
from training.domain.parsers import ChoiceParser, NumberParser, Parser, Reading, VerdictParser
from training.domain.rows import Verdict

JudgeKind = Literal["score", "comparison"]
JUDGE_KINDS: Final[dict[JudgeKind, str]] = {
    "score": "scores one response",
    "comparison": "compares two responses",
}
#: What a prompt of each kind must hold, once each.
PLACEHOLDERS: Final[dict[JudgeKind, tuple[str, ...]]] = {
    "score": ("<INSTRUCTION_HERE>", "<RESPONSE_HERE>"),
    "comparison": ("<INSTRUCTION_HERE>", "<FIRST_HERE>", "<SECOND_HERE>"),
}
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_REFERENCE: Final = re.compile(rf"({NAME.pattern})(?:@([1-9][0-9]{{0,5}}))?")
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?: [A-Za-z0-9]+){0,3}")
_WORD: Final = re.compile(r"[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+){0,3}")
_PLACEHOLDER: Final = re.compile(r"<([A-Z]+(?:_[A-Z]+)*_HERE)>")
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
    """A judge that cannot be used. ``problems`` holds (field, sentence) pairs; "" is the whole."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{field}: {text}" if field else text for field, text in problems))


@dataclass(frozen=True, slots=True)
class Example:
    """A reply with what the parser is to read in it: a score, a verdict, or ``None`` for unparsed."""

    reply: str
    reads: float | str | None


@dataclass(frozen=True)
class Judge:
    """A judge of one version. Equal data make equal judges."""

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
        """Name and version in one word, as a config may name it."""
        return f"{self.name}@{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over what decides a judgement: kind, prompt and parser. Name, version and words about it do not."""
        data = {"kind": self.kind, "prompt": self.prompt, "parser": self.parser.as_data()}
        return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest score on the judge's own scale. Raises :class:`TypeError` for one that compares."""
        if isinstance(self.parser, NumberParser | ChoiceParser):
            return self.parser.lowest, self.parser.highest
        raise TypeError(f"the judge {self.name} compares and has no scale")

    def render(self, instruction: str, response: str) -> str:
        """The prompt for one response."""
        return self._filled({"INSTRUCTION_HERE": instruction, "RESPONSE_HERE": response})

    def render_pair(self, instruction: str, first: str, second: str) -> str:
        """The prompt for two responses, shown in that order."""
        return self._filled({"INSTRUCTION_HERE": instruction, "FIRST_HERE": first, "SECOND_HERE": second})

    def _filled(self, values: Mapping[str, str]) -> str:
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.prompt)

    def read(self, reply: str) -> Reading:
        """What a reply concludes, on the judge's own scale. Only what the judge wrote may be given. Never raises."""
        return self.parser.read(reply)

    def verdict(self, reply: str) -> Verdict:
        """The position that a reply of a comparing judge prefers, or "unparsed"."""
        value = self.read(reply).value
        return value if value == "first" or value == "second" or value == "tie" else "unparsed"

    def to_run_scale(self, given: float) -> float:
        """A score of the judge's own scale on the run's scale of 0 to 5, linearly: lowest → 0, highest → 5."""
        lowest, highest = self.scale
        return given if (lowest, highest) == (0.0, HIGHEST_SCORE) else HIGHEST_SCORE * (given - lowest) / (
            highest - lowest
        )  # fmt: skip

    def from_run_scale(self, score: float) -> float:
        """The inverse of :meth:`to_run_scale`."""
        lowest, highest = self.scale
        return lowest + score / HIGHEST_SCORE * (highest - lowest)

    def rationale(self, reply: str) -> str:
        """What a reply says before it concludes."""
        return rationale(reply, self.read(reply))

    def extract_texts(self, prompt: str) -> dict[str, str] | None:
        """The texts that stand in the placeholders, by name, or ``None`` where ``prompt`` is not this one filled in.

        The prompt's beginning and end are fixed, so text inside a response that looks like a part of the prompt stays
        a part of the response. Between two placeholders the first occurrence of the fixed text divides them.
        """
        parts = _PLACEHOLDER.split(self.prompt)
        fixed, names = parts[::2], parts[1::2]
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
        return dict(zip(names, [*values, inner], strict=True))

    def as_data(self) -> dict[str, Any]:
        """Plain data that :func:`judge_from_data` reads back; the version stands beside it."""
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
    """(name, version or ``None`` for the newest) of ``name`` or ``name@3``. Raises :class:`ValueError`."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ValueError("give a judge's name, such as additive_5, or name@2 for one of its versions")
    return match[1], int(match[2]) if match[2] else None


def judge_from_data(data: Any, *, version: int = 1) -> Judge:
    """A judge from plain data. Raises :class:`JudgeError` with every problem at once, each on its field."""
    if not isinstance(data, Mapping):
        raise JudgeError([("", "a judge is a mapping of fields: name, kind, prompt, parser, examples")])
    problems: list[tuple[str, str]] = [
        (str(key), f"there is no such field; a judge has {', '.join(_FIELDS)}") for key in data if key not in _FIELDS
    ]
    name = data.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problems.append(("name", "give 1 to 40 small letters, digits, - and _, beginning with a letter"))
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
    if found := _disagreements(judge):
        raise JudgeError(found)
    return judge


def with_version(judge: Judge, version: int) -> Judge:
    """The same judge as that version."""
    return replace(judge, version=version)


def _short_text(value: Any, field: str, limit: int, problems: list[tuple[str, str]]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value:
        problems.append((field, "must be text"))
        return ""
    if len(value) > limit:
        problems.append((field, f"has {len(value):,} characters; at most {limit:,} are taken"))
    return value.strip()


def _prompt(value: Any, kind: Any, problems: list[tuple[str, str]]) -> str:
    if not isinstance(value, str) or not value.strip():
        problems.append(("prompt", "is missing: the text that the judge is sent"))
        return ""
    if "\x00" in value or len(value) > MAX_PROMPT:
        problems.append(("prompt", f"must be text of at most {MAX_PROMPT:,} characters, without NUL"))
        return ""
    found = [f"<{name}>" for name in _PLACEHOLDER.findall(value)]
    wanted = PLACEHOLDERS.get(kind, ())
    for placeholder in wanted:
        if placeholder not in found:
            problems.append(("prompt", f"holds no {placeholder}: the judge would not see it"))
        elif found.count(placeholder) > 1:
            problems.append(("prompt", f"holds {placeholder} {found.count(placeholder)} times; once is enough"))
    for placeholder in dict.fromkeys(found):
        if wanted and placeholder not in wanted:
            problems.append(("prompt", f"holds {placeholder}, which nothing fills; known are {', '.join(wanted)}"))
    return value.rstrip("\n")


def _parser(value: Any, kind: Any, problems: list[tuple[str, str]]) -> Parser | None:
    fits = {"score": ("number", "choice"), "comparison": ("verdict",)}.get(kind, tuple(_PARSER_FIELDS))
    if not isinstance(value, Mapping):
        problems.append(("parser", "is missing: how a reply is read, with kind and label"))
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
            problems.append((f"parser.{key}", f"there is no such field; a parser of kind {how} has {', '.join(known)}"))
    label = value.get("label")
    if not isinstance(label, str) or len(label) > 40 or not _LABEL.fullmatch(label):
        problems.append(("parser.label", "give the word or words that stand before the conclusion, such as Score"))
    parser: Parser | None = None
    if how == "number":
        low, high = (_number(value.get(field), f"parser.{field}", problems) for field in ("lowest", "highest"))
        if low is not None and high is not None:
            if not 0 <= low < high <= 1000:
                problems.append(
                    ("parser.highest", "the scale must begin at 0 or above and end above that, at most 1000")
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
        problems.append(("parser.choices", f"give 2 to {MAX_CHOICES} choices with what each is worth, such as A: 5"))
        return ()
    found: list[tuple[str, float]] = []
    for word, worth in value.items():
        field = f"parser.choices.{str(word)[:40]}"
        _check_word(word, field, problems)
        number = _number(worth, field, problems)
        if number is not None:
            found.append((str(word), number))
    if len({word.casefold() for word, _ in found}) < len(found):
        problems.append(("parser.choices", "two choices differ only in capital letters"))
    if len({worth for _, worth in found}) < 2:
        problems.append(("parser.choices", "all choices are worth the same; nothing could be compared"))
    return tuple(found)


def _check_word(value: Any, field: str, problems: list[tuple[str, str]]) -> None:
    if isinstance(value, bool):
        problems.append((field, "YAML reads this as true or false; put the word in quotation marks"))
    elif not isinstance(value, str) or len(value) > 40 or not _WORD.fullmatch(value):
        problems.append((field, "must be one to four words of letters and digits, in quotation marks if in doubt"))


def _number(value: Any, field: str, problems: list[tuple[str, str]]) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e6:
        problems.append((field, "must be a number"))
        return None
    return float(value)


def _examples(value: Any, problems: list[tuple[str, str]]) -> tuple[Example, ...]:
    if not isinstance(value, list) or not value or len(value) > MAX_EXAMPLES:
        problems.append(
            ("examples", f"give 1 to {MAX_EXAMPLES} replies with what is to be read in each: they are tried at once")
        )
        return ()
    found = []
    for number, item in enumerate(value, 1):
        field = f"examples.{number}"
        if not isinstance(item, Mapping) or set(item) != {"reply", "reads"} or not isinstance(item["reply"], str):
            problems.append((field, "must hold reply (a text) and reads (a score, a verdict, or unparsed)"))
            continue
        reads = item["reads"]
        if isinstance(reads, bool) or not isinstance(reads, int | float | str):
            problems.append((f"{field}.reads", "must be a score, a verdict (first, second, tie) or unparsed"))
            continue
        found.append(
            Example(
                item["reply"], None if reads == _SAYS_UNPARSED else reads if isinstance(reads, str) else float(reads)
            )
        )
    return tuple(found)


def _disagreements(judge: Judge) -> list[tuple[str, str]]:
    """Where the parser does not do what the judge's own examples say, or reads a conclusion in the prompt itself."""
    found: list[tuple[str, str]] = []
    for number, example in enumerate(judge.examples, 1):
        reading = judge.read(example.reply)
        if reading.value != example.reads:
            wanted, got = _said(example.reads), _said(reading.value)
            found.append((f"examples.{number}", f"should be read as {wanted} and is read as {got}: {reading.why}"))
    if not any(example.reads is not None for example in judge.examples):
        found.append(("examples", "give at least one reply that can be read, so that the parser is seen to work"))
    said_back = judge.read(judge.prompt)
    if said_back.value is not None:
        found.append(
            ("prompt", f"is itself read as a conclusion ({said_back.why}): a judge that repeats it would seem to score")
        )
    return found


def _said(value: float | str | None) -> str:
    return _SAYS_UNPARSED if value is None else f"{value:g}" if isinstance(value, float) else value
