"""Frozen rows, the input and output of the stages.

Rows that come from the database have its primary keys; no row holds a Django object. A row named ``...Draft`` is not
stored yet: ``training.jobs`` saves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypedDict

FinishReason = Literal["stop", "length", "error"]
Verdict = Literal["first", "second", "tie", "unparsed"]
ComparisonOutcome = Literal["win", "tie", "lose"]


class PromptOutcome(StrEnum):
    """The outcome of a prompt, stored together with a sentence for people."""

    PAIR = "pair"
    TOO_FEW_SCORES = "too_few_scores"
    SAME_SCORE = "same_score"
    SAME_TEXT = "same_text"
    BELOW_MARGIN = "below_margin"
    CUT = "cut"  # the response to choose was cut by the token limit
    NO_DEMONSTRATION = "no_demonstration"
    NO_RESPONSE = "no_response"
    TIE = "tie"
    BOTH_BAD = "both_bad"
    EXCLUDED = "excluded"  # removed by people
    RANKING_TRAINS = "ranking_trains"
    RANKING_HELD_OUT = "ranking_held_out"
    RANKING_DIFFERS = "ranking_differs"
    RANKING_UNKNOWN = "ranking_unknown"
    TOO_LONG = "too_long"
    TEMPLATE_REFUSED = "template_refused"
    REQUEST_REFUSED = "request_refused"


#: Outcomes of prompts whose judgements agree with people's ranking.
AGREEING = (PromptOutcome.RANKING_TRAINS, PromptOutcome.RANKING_HELD_OUT)
#: Outcomes of prompts for which a model refused a row.
LEFT_OUT = (PromptOutcome.TOO_LONG, PromptOutcome.TEMPLATE_REFUSED, PromptOutcome.REQUEST_REFUSED)


def storable(text: str) -> str:
    """Replace characters that a database cannot store by U+FFFD.

    PostgreSQL rejects NUL, and UTF-8 cannot encode a lone surrogate, which a server's JSON may contain.
    """
    text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class Message(TypedDict):
    """One turn of a conversation, in the common chat format."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A stored prompt. ``messages`` ends with a user turn; ``checks`` are those of a verifier."""

    id: int
    messages: tuple[Message, ...]
    checks: tuple[dict[str, Any], ...] = field(default=(), hash=False, compare=False)

    @property
    def last_turn(self) -> str:
        """The last user turn, for programs that check an answer to it. Judges get all turns."""
        return self.messages[-1]["content"]

    @property
    def words(self) -> str:
        """All turns joined, from which seeds are derived; for a single turn, the turn itself."""
        return "\x1e".join(message["content"] for message in self.messages)


@dataclass(frozen=True, slots=True)
class PromptDraft:
    """A prompt written by self-instruct, with metadata on its origin."""

    text: str
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RejectedDraft:
    """A self-instruct prompt that a filter removed.

    ``detail`` is the word or the known prompt that matched; ``round`` and ``place`` are its position.
    """

    text: str
    reason: str
    detail: str = ""
    rouge_l: float | None = None
    round: int = 0
    place: int = 0


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """A stored response. ``cut``: the token limit ended it, not the model."""

    id: int
    prompt_id: int
    index: int
    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class ResponseDraft:
    """A generated response, the ``index``-th of its prompt, sampled with ``seed``."""

    prompt_id: int
    index: int
    text: str
    seed: int
    token_count: int
    finish_reason: FinishReason
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a model cannot take a prompt: ``code`` for programs, ``reason`` with the remedy for people."""

    code: PromptOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that a stage left out, because a model refused the prompt: a response, a judgement or a comparison."""

    prompt_id: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class JudgementSample:
    """One raw reply of a judge.

    ``score`` is on the run's scale of 0 to 5, ``given`` on the judge's own scale; both are ``None`` if unparsed.
    ``cut`` says that the reply ended at the token limit, so that it has no conclusion.
    """

    raw: str
    score: float | None
    seed: int
    given: float | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class JudgementDraft:
    """k sampled replies on one response, with mean and population standard deviation of the parsed ones.

    ``checks`` are the results of a verifier, one per check of the prompt.
    """

    response_id: int
    samples: tuple[JudgementSample, ...]
    mean: float | None
    spread: float | None
    rationale: str
    checks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """A response with its score in force; ``None`` if unparsed or not judged.

    ``cut``: the token limit ended the response, not the model.
    """

    id: int
    prompt_id: int
    index: int
    text: str
    score: float | None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class PairDraft:
    """A preference pair by response ids. ``margin`` is chosen minus rejected score; ``None`` without scores."""

    prompt_id: int
    chosen_id: int
    rejected_id: int
    chosen_score: float | None
    rejected_score: float | None
    margin: float | None
    reason: str

    @property
    def code(self) -> PromptOutcome:
        """The outcome of the prompt."""
        return PromptOutcome.PAIR


@dataclass(frozen=True, slots=True)
class NoPair:
    """A prompt without a pair: ``code`` for programs, ``reason`` for people."""

    prompt_id: int
    code: PromptOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class ComparisonItem:
    """A prompt with the newer checkpoint's answer (A) and the older one's (B), to be compared."""

    prompt: PromptRow
    a: ResponseRow
    b: ResponseRow
    seed: int


@dataclass(frozen=True, slots=True)
class ComparisonDraft:
    """Responses of two checkpoints to one prompt, judged in both orders.

    Each verdict names the preferred *position*, with A first in ``verdict_ab`` and B first in ``verdict_ba``.
    ``outcome`` is that of A; see :func:`training.domain.metrics.both_orders_outcome`.
    """

    prompt_id: int
    response_a_id: int
    response_b_id: int
    verdict_ab: Verdict
    verdict_ba: Verdict
    outcome: ComparisonOutcome
    raw_ab: str = ""
    raw_ba: str = ""
