"""The miniature's oracle as an engine: a teacher that is a program.

The conversation determines the task: score a response (with a known judge prompt), compare two responses, or
otherwise answer the instruction. Answers are deterministic; the seed has no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training import judges
from training.domain.judges import Judge
from training.domain.transcripts import last_user_turn
from training.engines.base import Completion, EngineError, Request, Sampling
from training.miniature.oracle import demonstrate, grade, judgement_text


def reply(text: str, known: Iterable[Judge] = ()) -> str:
    """Return the oracle's answer to one user turn: a judgement, a comparison or a demonstration.

    Judge prompts are recognized if they belong to a built-in judge or to one of ``known``.
    """
    for judge in (*judges.builtin().values(), *known):
        fields = judge.extract_texts(text)
        if fields is not None:
            asked = last_user_turn(fields.get("INSTRUCTION_HERE") or fields["CONVERSATION_HERE"].removeprefix("User: "))
            return _comparison(judge, asked, fields) if judge.kind == "comparison" else _score(judge, asked, fields)
    return demonstrate(text)


def _score(judge: Judge, asked: str, fields: dict[str, str]) -> str:
    if judge.content_hash == judges.get(judges.SCORING).content_hash:
        return judgement_text(asked, fields["RESPONSE_HERE"])
    result = grade(asked, fields["RESPONSE_HERE"])
    return f"{result.reason}\n{judge.parser.conclusion(judge.from_run_scale(result.score))}"


def _comparison(judge: Judge, asked: str, fields: dict[str, str]) -> str:
    one, other = (grade(asked, fields[name]) for name in ("FIRST_HERE", "SECOND_HERE"))
    verdict = "tie" if one.score == other.score else "first" if one.score > other.score else "second"
    comparison = f"The first answer earns {one.score} of 5, the second {other.score}. {one.reason}"
    return f"{comparison}\n{judge.parser.conclusion(verdict)}"


class OracleEngine:
    """A teacher without a model; implements :class:`training.engines.base.Engine`."""

    name = "oracle"
    in_flight = 0  # answers are immediate

    def __init__(self) -> None:
        #: Known judges in addition to the built-in ones.
        self.judges: tuple[Judge, ...] = ()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per request, in order. ``sampling`` is ignored; words are counted as tokens.

        Raises :class:`EngineError` if a conversation does not end with a user turn.
        """
        for request in requests:
            if not request.messages or request.messages[-1]["role"] != "user":
                raise EngineError(f"the conversation {request.key!r} must end with a user turn")
            text = reply(request.messages[-1]["content"], self.judges)
            yield Completion(request.key, text, len(text.split()), "stop", request.seed, logprob=0.0)

    def close(self) -> None:
        """Do nothing: the engine holds no resources."""
