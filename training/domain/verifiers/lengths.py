"""Verifiers of lengths: words, characters, sentences, paragraphs, lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Final

from training.domain.verifiers.base import COUNT_FIELDS, Drawn, Outcome, Params, Verifier, ordered, within

_SENTENCE_END: Final = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?:\s+|$)")


def count_words(text: str) -> int:
    """Return the number of parts between white space that have a letter or a digit."""
    return sum(any(character.isalnum() for character in part) for part in text.split())


def count_sentences(text: str) -> int:
    """Return the number of sentences: parts that end with . ! ? or … before white space or the end of the text.

    A line without such an end also counts as one. An abbreviation such as "e.g. this" counts as an end.
    """
    parts = (part for line in text.splitlines() for part in _SENTENCE_END.split(line))
    return sum(any(character.isalnum() for character in part) for part in parts)


def count_paragraphs(text: str) -> int:
    """Return the number of blocks of text between empty lines."""
    return sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text))


def count_lines(text: str) -> int:
    """Return the number of lines that are not empty."""
    return sum(bool(line.strip()) for line in text.splitlines())


def count_characters(text: str) -> int:
    """Return the number of characters, without white space at both ends."""
    return len(text.strip())


def _checker(count: Callable[[str], int], unit: str) -> Callable[[Params, str], Outcome]:
    def check(params: Params, response: str) -> Outcome:
        return within(count(response), params, unit)

    return check


def _draw_words(rng: Random) -> Drawn:
    number = rng.choice((20, 25, 30, 40, 50, 60))
    if rng.random() < 0.5:
        return Drawn({"kind": "words", "at_most": number}, f"Use at most {number} words.")
    return Drawn({"kind": "words", "at_least": number}, f"Use at least {number} words.")


def _draw_sentences(rng: Random) -> Drawn:
    number = rng.choice((1, 2, 3, 4))
    sentence = "sentence" if number == 1 else "sentences"
    return Drawn(
        {"kind": "sentences", "at_least": number, "at_most": number}, f"Answer in exactly {number} {sentence}."
    )


def _draw_paragraphs(rng: Random) -> Drawn:
    number = rng.choice((2, 3))
    return Drawn(
        {"kind": "paragraphs", "at_least": number, "at_most": number},
        f"Write exactly {number} paragraphs, separated by an empty line.",
    )


def _draw_characters(rng: Random) -> Drawn:
    number = rng.choice((120, 160, 200, 240))
    return Drawn({"kind": "characters", "at_most": number}, f"Use at most {number} characters.")


_DRAWS = {
    "words": _draw_words,
    "sentences": _draw_sentences,
    "paragraphs": _draw_paragraphs,
    "characters": _draw_characters,
}
_SIZES = ("words", "characters", "sentences", "paragraphs", "lines", "bullets", "json")
VERIFIERS = tuple(
    Verifier(
        name=f"{unit}s",
        label=f"number of {unit}s",
        fields=COUNT_FIELDS,
        check=_checker(count, unit),
        one_of=("at_least", "at_most"),
        validate=ordered,
        draw=_DRAWS.get(f"{unit}s"),
        excludes=tuple(name for name in _SIZES if name != f"{unit}s"),
    )
    for unit, count in (
        ("word", count_words),
        ("character", count_characters),
        ("sentence", count_sentences),
        ("paragraph", count_paragraphs),
        ("line", count_lines),
    )
)
