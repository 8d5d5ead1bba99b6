"""Counts what a paid engine uses, and may refuse that it goes on. The record's side is ``training.jobs.paying``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from training.domain.spending import Usage
from training.engines.base import Completion, Request, Sampling

#: answered, an answer came. empty or blocked: one came without text. failed: an error status, which nobody bills.
#: lost: it was sent and nothing that could be read came back, so that only the worst case is known. unsent: it was not.
Outcome = Literal["answered", "empty", "blocked", "failed", "lost", "unsent"]


@dataclass(frozen=True, slots=True)
class Call:
    """One try at one request, and how it ended. ``usage`` is the provider's count; of a lost call, the worst case."""

    request: Request
    outcome: Outcome
    usage: Usage
    completion: Completion | None = None


class Meter(Protocol):
    """Asked before each try and told after it, both from the thread that draws the completions."""

    def known(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """What was answered and paid for already, of requests that are about to be asked."""
        ...

    def reserve(self, request: Request, worst: Usage) -> bool:
        """Set ``worst`` aside for a try that is about to begin. False: there is not so much left."""
        ...

    def settle(self, call: Call, worst: Usage) -> None:
        """Give ``worst`` back and count what the try used."""
        ...

    def spent_reason(self) -> str:
        """Why :meth:`reserve` says no, and what to do, in words."""
        ...
