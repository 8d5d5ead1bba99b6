"""The one interface of everything that generates text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from training.domain.rows import FinishReason, Message


@dataclass(frozen=True, slots=True)
class Sampling:
    """Decoding parameters. ``temperature`` 0 is greedy; ``max_new_tokens`` is a limit a completion."""

    temperature: float = 0.7
    top_p: float = 0.9
    max_new_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One completion asked for. ``key`` comes back on its completion; ``seed`` alone decides the sampling noise."""

    key: str
    messages: tuple[Message, ...]
    seed: int


#: Requests that become known by and by: each call gives those that came since the last (maybe none), or ``None`` where
#: no more will come.
Inflow = Callable[[], Sequence[Request] | None]


@dataclass(frozen=True, slots=True)
class Completion:
    """One completion. ``logprob`` is the sum over its tokens in nats under the sampling model, where known.

    ``finish_reason`` "error" means that nothing came back: ``text`` is empty and ``error`` says why in words.
    ``refused``: asking again would bring nothing either.
    """

    key: str
    text: str
    token_count: int
    finish_reason: FinishReason
    seed: int
    logprob: float | None = None
    error: str = ""
    refused: bool = False


class EngineError(Exception):
    """An engine could not start or go on; the message names the remedy."""


class Unanswered(EngineError):
    """The engine did not answer some requests, and may answer them later. What came back is good and is kept."""

    @classmethod
    def of(cls, lost: Sequence[Completion]) -> Self:
        """The error for completions that did not come; ``lost`` is not empty."""
        what = "One request was" if len(lost) == 1 else f"{len(lost)} requests were"
        return cls(f"{what} not answered: {lost[-1].error}. What came is kept; resume to ask for the rest.")


class BudgetReached(EngineError):
    """The next request might cost more than is left. Everything that was in flight has come in and is kept."""


class PromptTooLong(EngineError):
    """A prompt does not fit the model's context with the completion asked for. Never cut silently.

    ``keys`` are those of all the requests that do not fit; it is raised before anything is generated.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = frozenset(keys)


class Engine(Protocol):
    """Conversations and sampling in, completions out as they finish (in any order).

    The same request with the same seed, sampling and weights gives the same text, whatever else is in the batch,
    so a stage that was killed goes on with only what is missing.
    """

    name: str

    @property
    def in_flight(self) -> int:
        """Requests that are being worked on at this moment."""
        ...

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request. Raises :class:`EngineError` or :class:`PromptTooLong`."""
        ...

    def close(self) -> None:
        """Give back memory. The engine is not used afterwards."""
        ...


class FollowingEngine(Engine, Protocol):
    """An engine that can begin before all its requests are known."""

    def follow(self, inflow: Inflow, sampling: Sampling) -> Iterator[Completion]:
        """Yield one completion a request, as :meth:`Engine.generate` does."""
        ...


@runtime_checkable
class TellsOfSilence(Protocol):
    """An engine that says, while somebody draws from it, when nothing more will come for a while."""

    before_silence: Callable[[], None]
