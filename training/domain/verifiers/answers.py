"""Verifiers of a known answer: exact match, a number, a regular expression."""

from __future__ import annotations

import re
from typing import Final

from training.domain.verifiers.base import CheckField, Outcome, Params, Verifier, quoted
from training.domain.verifiers.helper import TIME_LIMIT_SECONDS, HelperError, TimedOut, search

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
#: Relative difference of two numbers that count as equal, without a tolerance.
ROUNDING: Final = 1e-9
_MARKED: Final = re.compile(r"####\s*([^\n]*)")


def _normalized(text: str, *, ignore_case: bool) -> str:
    text = " ".join(text.split()).rstrip(".!")
    return text.casefold() if ignore_case else text


def _exact(params: Params, response: str) -> Outcome:
    ignore_case = params.get("ignore_case", True)
    wanted = {_normalized(answer, ignore_case=ignore_case) for answer in params["answers"]}
    passed = _normalized(response, ignore_case=ignore_case) in wanted
    return Outcome(passed, f"{'Equals' if passed else 'Differs from'} {quoted(params['answers'])}.")


def final_number(text: str) -> float | None:
    """Return the number that an answer ends with: after ``####`` if there is one, else the last number in the text.

    Commas between thousands are ignored. GSM8K marks its answers with ``####``.
    """
    marked = _MARKED.findall(text)
    found = (_NUMBER.findall(marked[-1]) if marked else []) or _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def _number(params: Params, response: str) -> Outcome:
    found, wanted = final_number(response), params["value"]
    if found is None:
        return Outcome(False, f"No number; {wanted:g} asked.")
    passed = abs(found - wanted) <= params.get("tolerance", ROUNDING * max(1.0, abs(wanted)))
    return Outcome(passed, f"The last number is {found:g}; {wanted:g} asked.")


def _pattern(params: Params, response: str) -> Outcome:
    try:
        found = search(
            params["pattern"],
            response,
            whole=params.get("whole", False),
            ignore_case=params.get("ignore_case", False),
        )
    except TimedOut:
        return Outcome(False, f"The pattern took longer than {TIME_LIMIT_SECONDS:g} seconds, which counts as no match.")
    except HelperError as error:
        return Outcome(False, f"The pattern could not be matched: {error}")
    return Outcome(found, f"{'Matches' if found else 'Does not match'} {params['pattern']}")


def _compiles(params: Params) -> str:
    try:
        re.compile(params["pattern"])
    except (re.error, RecursionError, OverflowError) as error:
        return f"pattern is not a regular expression: {error}"
    return ""


VERIFIERS = (
    Verifier(
        "exact",
        "exact answer",
        {"answers": CheckField("words", required=True), "ignore_case": CheckField("flag")},
        _exact,
    ),
    Verifier(
        "number",
        "numeric answer",
        {"value": CheckField("number", required=True), "tolerance": CheckField("number")},
        _number,
        validate=lambda params: "tolerance must not be negative" if params.get("tolerance", 0) < 0 else "",
    ),
    Verifier(
        "pattern",
        "regular expression",
        {"pattern": CheckField("text", required=True), "whole": CheckField("flag"), "ignore_case": CheckField("flag")},
        _pattern,
        validate=_compiles,
    ),
)
