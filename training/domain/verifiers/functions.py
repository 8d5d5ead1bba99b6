"""Verifier of a user's own Python function, by dotted name, on the worker."""

from __future__ import annotations

import re
from typing import Final

from training.domain.verifiers.base import CheckField, Outcome, Params, Verifier
from training.domain.verifiers.helper import FUNCTION_LIMIT_SECONDS, HelperError, TimedOut, call

_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def _function(params: Params, response: str, prompt: str) -> Outcome:
    name = params["name"]
    try:
        passed, reason = call(name, prompt, response, dict(params.get("arguments", {})))
    except TimedOut:
        return Outcome(False, f"{name} took longer than {FUNCTION_LIMIT_SECONDS:g} seconds.")
    except HelperError as error:
        return Outcome(False, f"{name} could not be called: {error}")
    return Outcome(passed, reason or f"{name}: {'passed' if passed else 'not passed'}.")


def _is_dotted(params: Params) -> str:
    return "" if _NAME.fullmatch(params["name"]) else "name must be a dotted name such as my_checks.is_polite"


VERIFIERS = (
    Verifier(
        "function",
        "a Python function",
        {"name": CheckField("text", required=True), "arguments": CheckField("data")},
        _function,
        validate=_is_dotted,
        needs_prompt=True,
    ),
)
