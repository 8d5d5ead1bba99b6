"""What a paid model's answers cost, and what may still be spent. Tokens are the provider's own count; money is USD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.rows import Message

MILLION = 1_000_000
#: Tokens that a provider's own template may add to a message, and to a request.
TEMPLATE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and tokens written (a model's unseen thoughts are written, too)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens - other.prompt_tokens, self.completion_tokens - other.completion_tokens)

    def __mul__(self, times: int) -> Usage:
        return Usage(self.prompt_tokens * times, self.completion_tokens * times)


@dataclass(frozen=True, slots=True)
class Price:
    """USD a million tokens, as whoever launched the run stated it. ``None``: not stated."""

    prompt: float | None = None
    completion: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """USD, or ``None`` where a price is not known."""
        if self.prompt is None or self.completion is None:
            return None
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / MILLION


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be spent; ``None``: no limit."""

    tokens: int | None = None
    usd: float | None = None

    def allows(self, usage: Usage, usd: float | None) -> bool:
        """Whether this much in all is within both limits. With a limit in money, an unknown cost is not."""
        if self.tokens is not None and usage.tokens > self.tokens:
            return False
        return self.usd is None or (usd is not None and usd <= self.usd)


def worst_case(messages: Sequence[Message], max_new_tokens: int) -> Usage:
    """The most that one request can use, whatever the provider's tokenizer is.

    Every token of a text stands for at least one byte of its UTF-8 form. That is some four times too many for English,
    which costs nothing: it is only held back while the request is in flight.
    """
    text = sum(len(message["content"].encode()) for message in messages)
    return Usage(text + TEMPLATE_TOKENS * (len(messages) + 1), max_new_tokens)
