"""The interface of all text generation engines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from training.domain.rows import FinishReason, LeftOut, Message, PromptOutcome, Refusal


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding parameters. ``temperature`` 0 is greedy; ``max_new_tokens`` is the limit per completion."""

    temperature: float = 0.7
    top_p: float = 0.9
    max_new_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one completion, which carries the same ``key``. ``seed`` alone determines the sampling noise."""

    key: str
    messages: tuple[Message, ...]
    seed: int


#: Source of requests that arrive over time: each call returns the new ones (possibly none), or ``None`` at the end.
Inflow = Callable[[], Sequence[Request] | None]


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion. ``logprob`` is the sum over its tokens in nats under the sampling model, if known.

    With ``finish_reason`` "error", ``text`` is empty and ``error`` gives the reason. ``refused`` means that a retry
    would fail too; ``refusal`` is then the outcome of the prompt.
    """

    key: str
    text: str
    token_count: int
    finish_reason: FinishReason
    seed: int
    logprob: float | None = None
    error: str = ""
    refused: bool = False
    refusal: PromptOutcome = PromptOutcome.REQUEST_REFUSED


class EngineError(Exception):
    """An engine could not start or continue. The message names the remedy."""


class Unanswered(EngineError):
    """Some requests were not answered but may be later. Completions that were yielded are valid."""

    @classmethod
    def of(cls, lost: Sequence[Completion]) -> Self:
        """Create the error for the unanswered requests in ``lost``, which must not be empty."""
        what = "One request was" if len(lost) == 1 else f"{len(lost)} requests were"
        return cls(
            f"{what} not answered: {lost[-1].error}. The answers received are saved; resume to request the others."
        )


class BudgetReached(EngineError):
    """The next request could exceed the budget. All requests in flight were awaited before this is raised."""


class PromptsRefused(EngineError):
    """The model cannot take some prompts: they do not fit with their completions, or the chat template refuses them.

    Prompts are never truncated. Raised before anything is generated. ``reasons`` are by the keys of these requests,
    and must not be empty. :func:`training.engines.asking.ask` answers the other requests.
    """

    def __init__(self, reasons: Mapping[str, Refusal]) -> None:
        texts = list(dict.fromkeys(refusal.reason for refusal in reasons.values()))
        super().__init__(texts[0] + (f" Other reasons: {len(texts) - 1}." if texts[1:] else ""))
        self.reasons = dict(reasons)


class AllRefused(EngineError):
    """Every prompt of a stage was refused, so that it made no row."""

    @classmethod
    def of(cls, left_out: Sequence[LeftOut]) -> Self:
        """Create the error for rows that were left out, at least one."""
        reason, times = Counter(one.refusal.reason for one in left_out).most_common(1)[0]
        more = f" {len(left_out) - times} have other reasons." if times < len(left_out) else ""
        return cls(f"No row could be made: all {len(left_out)} were refused. {reason}{more}")


class Engine(Protocol):
    """Generates completions of conversations and yields them as they finish, in any order.

    The same request with the same seed, sampling and weights gives the same text regardless of the rest of the batch,
    so a restarted stage requests only the missing rows.
    """

    name: str

    @property
    def in_flight(self) -> int:
        """Number of requests being processed."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per request. Raises :class:`EngineError` or :class:`PromptsRefused`."""
        ...

    def close(self) -> None:
        """Free memory. The engine must not be used afterwards."""
        ...


class FollowingEngine(Engine, Protocol):
    """An engine that accepts requests over time."""

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion per request, as :meth:`Engine.generate` does."""
        ...


@runtime_checkable
class ReportsIdle(Protocol):
    """An engine that calls ``on_idle`` when no completion is expected for a while."""

    on_idle: Callable[[], None]
