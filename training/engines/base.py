"""The interface of all text generation engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from training.domain.rows import FinishReason, Message


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
    would fail too.
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


class PromptUnusable(EngineError):
    """The model cannot be asked some prompts. Raised before anything is generated.

    ``keys`` are the keys of all requests with such a prompt.
    """

    def __init__(self, message: str, keys: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.keys = frozenset(keys)


class PromptTooLong(PromptUnusable):
    """A prompt and its completion do not fit into the model's context; prompts are never truncated."""


class PromptRefused(PromptUnusable):
    """The model's chat template refuses the prompt's conversation, for example its system turn."""


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
        """Yield one completion per request. Raises :class:`EngineError` or :class:`PromptTooLong`."""
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
