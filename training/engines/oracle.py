"""The miniature's oracle behind the interface of every engine: a teacher that is a program.

It tells from a conversation what it is asked: to score a response (a judge template of the project), to compare two
responses, or, anything else, to answer the instruction itself. It draws nothing at random, so a seed changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.domain.templates import PAIRWISE_TEXT, SCORE_TEMPLATES
from training.engines.base import Completion, EngineError, Request, Sampling
from training.miniature.oracle import demonstrate, grade, judgement_text

_INSTRUCTION, _RESPONSE = "<INSTRUCTION_HERE>", "<RESPONSE_HERE>"
_FIRST, _SECOND = "<FIRST_HERE>", "<SECOND_HERE>"


def filled_in(text: str, template: str, placeholders: Sequence[str]) -> tuple[str, ...] | None:
    """The texts that stand in a template's placeholders, or ``None`` where ``text`` is not that template filled in.

    The prompt's beginning and end are fixed, so text inside a response that looks like a part of the prompt stays a
    part of the response. Between two placeholders the first occurrence of the fixed text divides them.
    """
    parts = []
    rest = template
    for placeholder in placeholders:
        before, rest = rest.split(placeholder, 1)
        parts.append(before)
    if not (text.startswith(parts[0]) and text.endswith(rest)) or len(text) < len(parts[0]) + len(rest):
        return None
    inner = text[len(parts[0]) : len(text) - len(rest)]
    values = []
    for divider in parts[1:]:
        if divider not in inner:
            return None
        value, inner = inner.split(divider, 1)
        values.append(value)
    return (*values, inner)


def reply(text: str) -> str:
    """The oracle's answer to one user turn: a judgement, a comparison or a demonstration."""
    for template in SCORE_TEMPLATES.values():
        asked = filled_in(text, template.text, (_INSTRUCTION, _RESPONSE))
        if asked is not None:
            return judgement_text(*asked)
    compared = filled_in(text, PAIRWISE_TEXT, (_INSTRUCTION, _FIRST, _SECOND))
    if compared is not None:
        return _comparison(*compared)
    return demonstrate(text)


def _comparison(instruction: str, first: str, second: str) -> str:
    one, other = grade(instruction, first), grade(instruction, second)
    verdict = "tie" if one.score == other.score else "first" if one.score > other.score else "second"
    return f"The first answer earns {one.score} of 5, the second {other.score}. {one.reason}\nVerdict: {verdict}"


class OracleEngine:
    """A teacher without a model. Implements :class:`training.engines.base.Engine`."""

    name = "oracle"

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, in order; ``sampling`` is of no account. Tokens are counted as words.

        Raises :class:`EngineError` for a conversation that does not end with a user turn.
        """
        for request in requests:
            if not request.messages or request.messages[-1]["role"] != "user":
                raise EngineError(f"the conversation {request.key!r} must end with a user turn, which is what is asked")
            text = reply(request.messages[-1]["content"])
            yield Completion(request.key, text, len(text.split()), "stop", request.seed, logprob=0.0)

    def close(self) -> None:
        """Nothing is held."""
