"""The miniature's oracle behind the interface of every engine: a teacher that is a program.

It tells from a conversation what it is asked: to score a response (by a judge that it knows), to compare two
responses, or, anything else, to answer the instruction itself. It draws nothing at random, so a seed changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training import judges
from training.domain.judges import Judge
from training.engines.base import Completion, EngineError, Request, Sampling
from training.miniature.oracle import demonstrate, grade, judgement_text


def reply(text: str, known: Iterable[Judge] = ()) -> str:
    """The oracle's answer to one user turn: a judgement, a comparison or a demonstration.

    It fills in the forms of the judges that come with the project, and of those in ``known``.
    """
    for judge in (*judges.builtin().values(), *known):
        asked = judge.extract_texts(text)
        if asked is not None:
            return _comparison(judge, asked) if judge.kind == "comparison" else _score(judge, asked)
    return demonstrate(text)


def _score(judge: Judge, asked: dict[str, str]) -> str:
    if judge.content_hash == judges.get(judges.SCORING).content_hash:
        return judgement_text(asked["INSTRUCTION_HERE"], asked["RESPONSE_HERE"])
    result = grade(asked["INSTRUCTION_HERE"], asked["RESPONSE_HERE"])
    return f"{result.reason}\n{judge.parser.conclusion(judge.from_run_scale(result.score))}"


def _comparison(judge: Judge, asked: dict[str, str]) -> str:
    one, other = (grade(asked["INSTRUCTION_HERE"], asked[name]) for name in ("FIRST_HERE", "SECOND_HERE"))
    verdict = "tie" if one.score == other.score else "first" if one.score > other.score else "second"
    told = f"The first answer earns {one.score} of 5, the second {other.score}. {one.reason}"
    return f"{told}\n{judge.parser.conclusion(verdict)}"


class OracleEngine:
    """A teacher without a model. Implements :class:`training.engines.base.Engine`."""

    name = "oracle"
    in_flight = 0  # it answers at once

    def __init__(self) -> None:
        #: Judges whose forms it fills in, beside those that come with the project.
        self.judges: tuple[Judge, ...] = ()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, in order; ``sampling`` is of no account. Tokens are counted as words.

        Raises :class:`EngineError` for a conversation that does not end with a user turn.
        """
        for request in requests:
            if not request.messages or request.messages[-1]["role"] != "user":
                raise EngineError(f"the conversation {request.key!r} must end with a user turn, which is what is asked")
            text = reply(request.messages[-1]["content"], self.judges)
            yield Completion(request.key, text, len(text.split()), "stop", request.seed, logprob=0.0)

    def close(self) -> None:
        """Nothing is held."""
