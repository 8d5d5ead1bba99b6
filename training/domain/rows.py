"""The frozen rows that stages take and yield.

Rows carry the record's primary keys where they came from the record, and never a Django object.
A row named ``...Draft`` does not exist in the record yet: ``training.jobs`` saves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypedDict

FinishReason = Literal["stop", "length", "error"]
Verdict = Literal["first", "second", "tie", "unparsed"]
ComparisonOutcome = Literal["win", "tie", "lose"]


class PromptOutcome(StrEnum):
    """What became of a prompt: the code that is stored beside the sentence."""

    PAIR = "pair"
    TOO_FEW_SCORES = "too_few_scores"
    SAME_SCORE = "same_score"
    SAME_TEXT = "same_text"
    BELOW_MARGIN = "below_margin"
    NO_DEMONSTRATION = "no_demonstration"
    NO_RESPONSE = "no_response"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    EXCLUDED = "excluded"  # people took the pair out
    RANKING_TRAINS = "ranking_trains"
    RANKING_HELD_OUT = "ranking_held_out"
    RANKING_DIFFERS = "ranking_differs"
    RANKING_UNKNOWN = "ranking_unknown"


#: Of prompts whose judgements are ranked as people ranked them.
AGREEING = (PromptOutcome.RANKING_TRAINS, PromptOutcome.RANKING_HELD_OUT)


def storable(text: str) -> str:
    """A model's text as every database takes it.

    PostgreSQL has no NUL and UTF-8 no half of a surrogate pair, which a server's JSON may hold: the replacement sign
    stands for either.
    """
    text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Message(TypedDict):
    """One turn of a conversation, in the field's usual form."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt of the record. ``messages`` ends with a user turn."""

    id: int
    messages: tuple[Message, ...]

    @property
    def text(self) -> str:
        """The last user turn: what a judge sees as the instruction."""
        return self.messages[-1]["content"]

    @property
    def words(self) -> str:
        """The whole conversation in one text: what a seed is derived from. Of a single turn, the turn itself."""
        return "\x1e".join(message["content"] for message in self.messages)


@dataclass(frozen=True, slots=True)
class PromptDraft:
    """A prompt that self-instruct wrote, with where it came from."""

    text: str
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RejectedDraft:
    """What self-instruct wrote and a filter removed: why, by which word or known prompt, and at what place."""

    text: str
    reason: str
    detail: str = ""
    rouge_l: float | None = None
    round: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """A response of the record."""

    id: int
    prompt_id: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ResponseDraft:
    """A response just generated: the ``index``-th of its prompt, from its own ``seed``."""

    prompt_id: int
    index: int
    text: str
    seed: int
    token_count: int
    finish_reason: FinishReason
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class JudgementSample:
    """One raw reply of a judge. ``score`` is ``None`` where the reply held no score: *unparsed*, never a number.

    ``score`` is on the run's scale of 0 to 5, ``given`` as the judge wrote it, on the judge's own.
    """

    raw: str
    score: float | None
    seed: int
    given: float | None = None


@dataclass(frozen=True, slots=True)
class JudgementDraft:
    """k sampled replies on one response; ``mean`` and ``spread`` (population s.d.) are over those that parsed."""

    response_id: int
    samples: tuple[JudgementSample, ...]
    mean: float | None
    spread: float | None
    rationale: str


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """A response with the score in force (``None``: unparsed or not judged)."""

    id: int
    prompt_id: int
    index: int
    text: str
    score: float | None


@dataclass(frozen=True, slots=True)
class PairDraft:
    """A preference pair by record ids. ``margin`` = chosen - rejected score, ``None`` where there are no scores."""

    prompt_id: int
    chosen_id: int
    rejected_id: int
    chosen_score: float | None
    rejected_score: float | None
    margin: float | None
    reason: str

    @property
    def code(self) -> PromptOutcome:
        """What became of the prompt."""
        return PromptOutcome.PAIR


@dataclass(frozen=True, slots=True)
class NoPair:
    """Why a prompt made no pair: ``code`` to count and to decide by, ``reason`` in words for the screen."""

    prompt_id: int
    code: PromptOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class ComparisonDraft:
    """One prompt answered by two checkpoints and judged in both orders.

    ``verdict_ab`` was asked with A first, ``verdict_ba`` with B first; both name the *position* preferred.
    ``outcome`` is A's: a win or a loss only where both orders agree, else a tie (001 section 3.1.2).
    """

    prompt_id: int
    response_a_id: int
    response_b_id: int
    verdict_ab: Verdict
    verdict_ba: Verdict
    outcome: ComparisonOutcome
    raw_ab: str = ""
    raw_ba: str = ""
