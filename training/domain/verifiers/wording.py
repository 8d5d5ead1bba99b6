"""Verifiers of words: required and forbidden words, counts of a keyword or a letter, the start and the end."""

from __future__ import annotations

from random import Random
from typing import Final

from training.domain.verifiers.base import (
    COUNT_FIELDS,
    CheckField,
    Drawn,
    Outcome,
    Params,
    Verifier,
    occurrences,
    ordered,
    quoted,
    within,
)

#: Common words that fit an answer to almost any instruction.
_FITTING: Final = ("also", "because", "example", "first", "important", "people", "simple", "time", "useful", "work")
_AVOIDABLE: Final = ("and", "but", "can", "many", "more", "other", "that", "this", "very", "with")
_STARTS: Final = ("Sure:", "In short,", "My answer:", "Here it is:")
_ENDS: Final = ("That is all.", "I hope this helps.", "End of answer.", "Any questions?")


def _include(params: Params, response: str) -> Outcome:
    missing = [word for word in params["words"] if not occurrences(word, response)]
    if missing:
        return Outcome(False, f"{quoted(missing)} missing.")
    return Outcome(True, f"{quoted(params['words'])} present.")


def _exclude(params: Params, response: str) -> Outcome:
    found = [word for word in params["words"] if occurrences(word, response)]
    if found:
        return Outcome(False, f"{quoted(found)} present, which is forbidden.")
    return Outcome(True, f"{quoted(params['words'])} not present.")


def _keyword(params: Params, response: str) -> Outcome:
    word = params["word"]
    return within(occurrences(word, response), params, f"occurrence of “{word}”", f"occurrences of “{word}”")


def _letter(params: Params, response: str) -> Outcome:
    letter = params["letter"]
    count = response.casefold().count(letter.casefold())
    return within(count, params, f"occurrence of “{letter}”", f"occurrences of “{letter}”")


def _one_letter(params: Params) -> str:
    return "letter must be a single character" if len(params["letter"]) != 1 else ordered(params)


def _start(params: Params, response: str) -> Outcome:
    passed = response.strip().casefold().startswith(params["text"].strip().casefold())
    return Outcome(passed, f"{'Starts' if passed else 'Does not start'} with “{params['text']}”.")


def _end(params: Params, response: str) -> Outcome:
    passed = response.strip().casefold().endswith(params["text"].strip().casefold())
    return Outcome(passed, f"{'Ends' if passed else 'Does not end'} with “{params['text']}”.")


def _draw_include(rng: Random) -> Drawn:
    words = rng.sample(_FITTING, rng.choice((1, 2)))
    asked = " and ".join(f"“{word}”" for word in words)
    return Drawn({"kind": "include", "words": words}, f"Use the word{'s' if len(words) > 1 else ''} {asked}.")


def _draw_exclude(rng: Random) -> Drawn:
    words = rng.sample(_AVOIDABLE, rng.choice((1, 2)))
    asked = " or ".join(f"“{word}”" for word in words)
    return Drawn({"kind": "exclude", "words": words}, f"Do not use the word{'s' if len(words) > 1 else ''} {asked}.")


def _draw_keyword(rng: Random) -> Drawn:
    word, number = rng.choice(_FITTING), rng.choice((2, 3))
    return Drawn(
        {"kind": "keyword_count", "word": word, "at_least": number}, f"Use the word “{word}” at least {number} times."
    )


def _draw_start(rng: Random) -> Drawn:
    text = rng.choice(_STARTS)
    return Drawn({"kind": "starts_with", "text": text}, f"Start your answer with “{text}”")


def _draw_end(rng: Random) -> Drawn:
    text = rng.choice(_ENDS)
    return Drawn({"kind": "ends_with", "text": text}, f"End your answer with “{text}”")


_WORDS = {"words": CheckField("words", required=True)}
_TEXT = {"text": CheckField("text", required=True)}
VERIFIERS = (
    Verifier("include", "required words", _WORDS, _include, draw=_draw_include, excludes=("json", "keyword_count")),
    Verifier("exclude", "forbidden words", _WORDS, _exclude, draw=_draw_exclude, excludes=("json",)),
    Verifier(
        "keyword_count", "count of a keyword", {"word": CheckField("text", required=True), **COUNT_FIELDS}, _keyword,
        one_of=("at_least", "at_most"), validate=ordered, draw=_draw_keyword, excludes=("json", "include"),
    ),
    Verifier(
        "letter_count", "count of a letter", {"letter": CheckField("text", required=True), **COUNT_FIELDS}, _letter,
        one_of=("at_least", "at_most"), validate=_one_letter,
    ),
    Verifier(
        "starts_with", "start of the answer", _TEXT, _start, draw=_draw_start,
        excludes=("json", "bullets", "quotation", "title", "no_comma"),
    ),
    Verifier(
        "ends_with", "end of the answer", _TEXT, _end, draw=_draw_end,
        excludes=("json", "bullets", "quotation", "sentences"),
    ),
)  # fmt: skip
