"""Parsers of a judge's reply, declared as data: a number on a scale, one of several choices, or a verdict.

A parser is defined by plain values (label, scale, words), not by a regular expression. Parsers never raise. Pass only
text that the judge wrote, never its prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, cast

from training.domain.rows import Verdict

ParserKind = Literal["number", "choice", "verdict"]

_MARKUP = r"[*_`\"'\[\]<>($]"
_NUMBER = re.compile(r"(?P<sign>[-−+]?)(?P<digits>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![0-9])")
_SCALE = re.compile(
    rf"{_MARKUP}{{0,4}}\s{{0,3}}(?:/|out\s+of\b|of\b)\s{{0,3}}{_MARKUP}{{0,4}}([0-9]+(?:\.[0-9]+)?)", re.IGNORECASE
)
_NOT_A_NUMBER = re.compile(r"[A-Za-z]|-[A-Za-z]|\.[0-9]")  # 4th, 1e0, 5-point, 4.5.2
_NOT_A_SCORE = re.compile(r"\s?%|,[0-9]|\s?(?:[-–—−]|to\b)\s?[0-9]", re.IGNORECASE)  # 80%, 4,5 and 3-4


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of a parser. ``value`` is a score on the judge's own scale, a verdict, or ``None`` if unparsed.

    ``place`` is the (start, end) of the conclusion in the reply; ``why`` explains the result.
    """

    value: float | Verdict | None
    place: tuple[int, int] | None
    why: str

    @property
    def score(self) -> float | None:
        """The score, for a judge that scores."""
        return self.value if isinstance(self.value, int | float) else None


class Parser(Protocol):
    """A parser of replies."""

    @property
    def kind(self) -> ParserKind: ...

    def read(self, completion: str) -> Reading:
        """Parse the judge's conclusion. Never raises."""
        ...

    def conclusion(self, value: float | str) -> str:
        """Return the line that states ``value``, as :meth:`read` parses it."""
        ...

    def as_data(self) -> dict[str, Any]:
        """Return the declaration of the parser."""
        ...


def _label_pattern(label: str) -> str:
    """Return a pattern of the label as whole words, so that "scoring" and "underscore" do not match."""
    return r"(?<![a-z0-9])" + r"\s{1,3}".join(map(re.escape, label.split())) + r"(?![a-z0-9])"


@dataclass(frozen=True)
class NumberParser:
    """A number from ``lowest`` to ``highest`` after ``label``, by the rules of ``judging.parse_score``."""

    label: str = "Score"
    lowest: float = 0.0
    highest: float = 5.0
    kind: Literal["number"] = "number"

    @cached_property
    def _label(self) -> re.Pattern[str]:
        top = re.escape(f"{self.highest:g}")
        return re.compile(
            _label_pattern(self.label) + rf"{_MARKUP}{{0,4}}"
            rf"(?:\s{{0,3}}\(\s?(?:out of\s|of\s|max\.?\s|[0-9]{{1,3}}\s?(?:-|–|to)\s?){top}\s?(?:points)?\))?"
            rf"\s{{0,3}}{_MARKUP}{{0,4}}"
            r"(?:\s{0,3}(?:[:：=–—]|-(?=\s)|(?:is|of|was)\b))?"  # a hyphen without a space after it is a minus sign
            rf"{_MARKUP}{{0,4}}\s{{0,3}}{_MARKUP}{{0,4}}",
            re.IGNORECASE,
        )

    def read(self, completion: str) -> Reading:
        last = Reading(None, None, f'no "{self.label}" is followed by a number')
        for label in self._label.finditer(completion):
            number = _NUMBER.match(completion, label.end())
            if number is None or _NOT_A_NUMBER.match(completion, number.end()):
                continue
            value, place = float(number["digits"]), (label.start(), number.end())
            scale = _SCALE.match(completion, number.end())
            why = ""
            if number["sign"] in ("-", "−"):
                why = "the last number is negative"
            elif not self.lowest <= value <= self.highest:
                why = f"the last number, {number['digits'][:12]}, is not from {self.lowest:g} to {self.highest:g}"
            elif _NOT_A_SCORE.match(completion, number.end()):
                why = "the last number is a percentage, a range or has a decimal comma"
            elif scale is not None and float(scale[1]) != self.highest:
                why = f"the last number is on another scale, of {scale[1][:12]}"
            last = Reading(None, place, why) if why else Reading(value, place, f"read {value:g} of {self.highest:g}")
        return last

    def conclusion(self, value: float | str) -> str:
        return f"{self.label}: {float(value):g}"

    def as_data(self) -> dict[str, Any]:
        return {"kind": "number", "label": self.label, "lowest": self.lowest, "highest": self.highest}


class _Words:
    """Finds the last of several words after a label and a colon, for choices and verdicts."""

    def __init__(self, label: str, words: Mapping[str, Any]) -> None:
        self.label = label
        self.values = {word.casefold(): value for word, value in words.items()}
        any_word = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        # A list of the choices repeats the prompt. A single letter before another word is an article, not a choice:
        # "Grade: A good answer".
        article = r"(?!(?<=[:：=\s*_`\"'\[(<][A-Za-z])[ \t]+[A-Za-z0-9])"
        self.pattern = re.compile(
            _label_pattern(label) + r"[*_`\"'\s]{0,4}[:：=][*_`\"'\[(<\s]{0,6}"
            rf"(?P<word>{any_word})(?![A-Za-z0-9]){article}(?!\s*[,|/]?\s*(?:or\s+)?(?:{any_word})\b)",
            re.IGNORECASE,
        )

    def last(self, completion: str) -> tuple[Any, tuple[int, int], str] | None:
        last_match = None
        for match in self.pattern.finditer(completion):
            last_match = self.values[match["word"].casefold()], match.span(), match["word"]
        return last_match

    def absent(self) -> str:
        return f'no "{self.label}:" is followed by one of {", ".join(self.values)}'


@dataclass(frozen=True)
class ChoiceParser:
    """One of several choices after ``label`` and a colon, each with a score. The last one counts."""

    label: str
    choices: tuple[tuple[str, float], ...]
    kind: Literal["choice"] = "choice"

    @cached_property
    def _words(self) -> _Words:
        return _Words(self.label, dict(self.choices))

    @property
    def lowest(self) -> float:
        return min(value for _, value in self.choices)

    @property
    def highest(self) -> float:
        return max(value for _, value in self.choices)

    def read(self, completion: str) -> Reading:
        match = self._words.last(completion)
        if match is None:
            return Reading(None, None, self._words.absent())
        value, place, word = match
        return Reading(float(value), place, f"read the choice {word}, worth {value:g}")

    def conclusion(self, value: float | str) -> str:
        wanted = float(value)
        return f"{self.label}: {min(self.choices, key=lambda choice: abs(choice[1] - wanted))[0]}"

    def as_data(self) -> dict[str, Any]:
        return {"kind": "choice", "label": self.label, "choices": dict(self.choices)}


@dataclass(frozen=True)
class VerdictParser:
    """The preferred answer of two: a word for first, second or tie after ``label`` and a colon."""

    label: str = "Verdict"
    first: str = "first"
    second: str = "second"
    tie: str = "tie"
    kind: Literal["verdict"] = "verdict"

    @cached_property
    def _words(self) -> _Words:
        return _Words(self.label, {self.first: "first", self.second: "second", self.tie: "tie"})

    def read(self, completion: str) -> Reading:
        match = self._words.last(completion)
        if match is None:
            return Reading(None, None, self._words.absent())
        value, place, _ = match
        return Reading(cast(Verdict, value), place, f"read {value}")

    def conclusion(self, value: float | str) -> str:
        return f"{self.label}: { {'first': self.first, 'second': self.second}.get(str(value), self.tie) }"

    def as_data(self) -> dict[str, Any]:
        return {
            "kind": "verdict", "label": self.label, "first": self.first, "second": self.second, "tie": self.tie,
        }  # fmt: skip
