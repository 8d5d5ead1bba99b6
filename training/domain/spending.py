"""Usage, cost and budget of a paid model. Tokens are counted by the provider; money is in USD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.rows import Message

MILLION = 1_000_000
#: Maximum number of tokens that the provider's chat template adds per message and per request.
TEMPLATE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Usage:
    """Prompt tokens and completion tokens; hidden reasoning counts as completion tokens."""

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
    """Price in USD per million tokens, as stated in the config; ``None`` if not stated."""

    prompt: float | None = None
    completion: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Return the cost in USD, or ``None`` if a price is unknown."""
        if self.prompt is None or self.completion is None:
            return None
        return (usage.prompt_tokens * self.prompt + usage.completion_tokens * self.completion) / MILLION


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits in tokens and in USD; ``None`` for no limit."""

    tokens: int | None = None
    usd: float | None = None

    def allows(self, usage: Usage, usd: float | None) -> bool:
        """Whether the total usage and cost are within both limits. An unknown cost exceeds any limit in USD."""
        if self.tokens is not None and usage.tokens > self.tokens:
            return False
        return self.usd is None or (usd is not None and usd <= self.usd)


def worst_case(messages: Sequence[Message], max_new_tokens: int) -> Usage:
    """Return an upper bound of the usage of one request, for any tokenizer.

    Each token has at least one byte of UTF-8. The bound is about four times too high for English, but it is only
    reserved while the request is in flight.
    """
    text = sum(len(message["content"].encode()) for message in messages)
    return Usage(text + TEMPLATE_TOKENS * (len(messages) + 1), max_new_tokens)
