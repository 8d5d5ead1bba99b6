"""Verifiers of form: case, bullets, JSON, commas, titles, quotation marks, placeholders, highlights."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Final

from training.domain.verifiers.base import COUNT_FIELDS, Drawn, Outcome, Params, Verifier, ordered, within

_BULLET: Final = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_TITLE: Final = re.compile(r"<<[^\n<>]+>>")
_PLACEHOLDER: Final = re.compile(r"\[[^\[\]\n]+\]")
_HIGHLIGHT: Final = re.compile(r"\*\*[^*\n]+\*\*|(?<!\*)\*[^*\n]+\*(?!\*)")
_FENCE: Final = re.compile(r"^```(?:json)?\s*\n(.*)\n```$", re.DOTALL)


def _upper(params: Params, response: str) -> Outcome:
    letters = [character for character in response if character.isalpha()]
    lower = sum(character.islower() for character in letters)
    if not letters:
        return Outcome(False, "No letters.")
    return Outcome(not lower, f"{lower:,} of {len(letters):,} letters are lowercase." if lower else "All capitals.")


def _lower(params: Params, response: str) -> Outcome:
    letters = [character for character in response if character.isalpha()]
    upper = sum(character.isupper() for character in letters)
    if not letters:
        return Outcome(False, "No letters.")
    return Outcome(not upper, f"{upper:,} of {len(letters):,} letters are capitals." if upper else "All lowercase.")


def _capital_words(params: Params, response: str) -> Outcome:
    words = re.findall(r"[^\W\d_]{2,}", response)
    return within(sum(word.isupper() for word in words), params, "word in capitals", "words in capitals")


def _bullets(params: Params, response: str) -> Outcome:
    return within(len(_BULLET.findall(response)), params, "bullet point")


def _json(params: Params, response: str) -> Outcome:
    text = response.strip()
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return Outcome(False, f"Not JSON: {str(error)[:120]}.")
    return Outcome(True, "Valid JSON.")


def _no_comma(params: Params, response: str) -> Outcome:
    commas = response.count(",")
    return Outcome(
        not commas, f"{commas:,} comma{'s' if commas != 1 else ''}; none allowed." if commas else "No comma."
    )


def _title(params: Params, response: str) -> Outcome:
    passed = _TITLE.search(response) is not None
    return Outcome(passed, "Has a title in <<…>>." if passed else "No title in <<…>>.")


def _quotation(params: Params, response: str) -> Outcome:
    text = response.strip()
    passed = len(text) > 1 and text[0] in '"“' and text[-1] in '"”'
    return Outcome(passed, "In quotation marks." if passed else "Not in quotation marks from start to end.")


def _placeholders(params: Params, response: str) -> Outcome:
    return within(len(_PLACEHOLDER.findall(response)), params, "placeholder in brackets", "placeholders in brackets")


def _highlights(params: Params, response: str) -> Outcome:
    return within(len(_HIGHLIGHT.findall(response)), params, "highlighted part")


def _draw_upper(rng: Random) -> Drawn:
    return Drawn({"kind": "uppercase"}, "Write everything in capital letters.")


def _draw_lower(rng: Random) -> Drawn:
    return Drawn({"kind": "lowercase"}, "Write everything in lowercase letters, without any capital letter.")


def _draw_bullets(rng: Random) -> Drawn:
    number = rng.choice((2, 3, 4))
    return Drawn(
        {"kind": "bullets", "at_least": number, "at_most": number},
        f"Answer with exactly {number} bullet points, each on a line that starts with “- ”.",
    )


def _draw_json(rng: Random) -> Drawn:
    return Drawn({"kind": "json"}, "Answer with valid JSON only.")


def _draw_no_comma(rng: Random) -> Drawn:
    return Drawn({"kind": "no_comma"}, "Do not use any comma.")


def _draw_title(rng: Random) -> Drawn:
    return Drawn({"kind": "title"}, "Give your answer a title in double angle brackets, such as <<title>>.")


def _draw_quotation(rng: Random) -> Drawn:
    return Drawn({"kind": "quotation"}, "Put your whole answer in double quotation marks.")


_CASES = ("uppercase", "lowercase", "capital_words", "json")
_WHOLE = ("json", "bullets", "quotation", "title", "starts_with", "ends_with")
_LIMITS = ("at_least", "at_most")
VERIFIERS = (
    Verifier("uppercase", "capital letters only", {}, _upper, draw=_draw_upper, excludes=_CASES),
    Verifier("lowercase", "lowercase letters only", {}, _lower, draw=_draw_lower, excludes=_CASES),
    Verifier(
        "capital_words", "count of words in capitals", COUNT_FIELDS, _capital_words, one_of=_LIMITS, validate=ordered
    ),
    Verifier(
        "bullets", "count of bullet points", COUNT_FIELDS, _bullets, one_of=_LIMITS, validate=ordered,
        draw=_draw_bullets, excludes=("sentences", "paragraphs", "lines", "characters", *_WHOLE),
    ),
    Verifier(
        "json", "valid JSON", {}, _json, draw=_draw_json,
        excludes=("words", "characters", "sentences", "paragraphs", "lines", "uppercase", "lowercase", "include",
                  "exclude", "keyword_count", "no_comma", *_WHOLE),
    ),
    Verifier("no_comma", "no comma", {}, _no_comma, draw=_draw_no_comma, excludes=("json", "starts_with")),
    Verifier("title", "a title in <<…>>", {}, _title, draw=_draw_title, excludes=("sentences", *_WHOLE)),
    Verifier("quotation", "in quotation marks", {}, _quotation, draw=_draw_quotation, excludes=_WHOLE),
    Verifier(
        "placeholders", "count of [placeholders]", COUNT_FIELDS, _placeholders, one_of=_LIMITS, validate=ordered
    ),
    Verifier("highlights", "count of *highlighted* parts", COUNT_FIELDS, _highlights, one_of=_LIMITS, validate=ordered),
)  # fmt: skip
