"""Interface that counts the usage of a paid engine and enforces a budget; see ``training.jobs.paying``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from training.domain.spending import Usage
from training.engines.base import Completion, Request, Sampling

#: answered: received with text. empty, blocked: received without text. failed: an error status, which is not billed.
#: lost: sent, but no readable answer arrived, so the worst-case usage is counted. unsent: never sent.
Outcome = Literal["answered", "empty", "blocked", "failed", "lost", "unsent"]


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt at a request and its outcome. ``usage`` is the provider's count, or the worst case if lost."""

    request: Request
    outcome: Outcome
    usage: Usage
    completion: Completion | None = None


class Meter(Protocol):
    """Budget and usage counter of a remote engine. All methods run in the thread that consumes the completions."""

    def known(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Return stored completions of these requests, which need not be sent again."""
        ...

    def reserve(self, request: Request, worst: Usage) -> bool:
        """Reserve the usage ``worst`` for an attempt. Returns ``False`` if the budget does not allow it."""
        ...

    def finalize(self, call: Call, worst: Usage) -> None:
        """Release the reservation ``worst`` and count the actual usage of the call."""
        ...

    def spent_reason(self) -> str:
        """Return why :meth:`reserve` refused, and the remedy, as a sentence."""
        ...
