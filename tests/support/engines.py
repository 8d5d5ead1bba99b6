"""Engines behind a network that retry quickly, and a meter that keeps everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.providers import (
    Provider,
    Reply,
)
from training.domain.secret import Secret
from training.domain.spending import Usage
from training.engines.base import Completion, Request, Sampling
from training.engines.gemini import GeminiEngine
from training.engines.metering import Call
from training.engines.openai_compatible import OpenAICompatibleEngine

QUICK = {"attempts": 4, "base_delay": 0.001, "max_delay": 0.01}
SAMPLING = Sampling(0.5, 0.9, 16)
KEY = Secret("secret-key-1234")
Serve = Callable[[Callable[[str, int], Reply]], Provider]


def gemini(server: Provider, **more: Any) -> GeminiEngine:
    return GeminiEngine("gemini-x", key=KEY, base_url=server.address, **(QUICK | more))


def openai(server: Provider, **more: Any) -> OpenAICompatibleEngine:
    return OpenAICompatibleEngine("m", server.address + "/v1", **(QUICK | more))


def requests(*texts: str) -> list[Request]:
    return [Request(text, ({"role": "user", "content": text},), seed) for seed, text in enumerate(texts)]


class Tally:
    """A meter that writes everything down."""

    def __init__(self, tokens: int = 10**9) -> None:
        self.tokens, self.reserved, self.calls = tokens, 0, list[Call]()
        self.before: dict[str, Completion] = {}

    def known(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [self.before[request.key] for request in requests if request.key in self.before]

    def reserve(self, request: Request, worst: Usage) -> bool:
        if sum(call.usage.tokens for call in self.calls) + self.reserved + worst.tokens > self.tokens:
            return False
        self.reserved += worst.tokens
        return True

    def finalize(self, call: Call, worst: Usage) -> None:
        self.reserved -= worst.tokens
        self.calls.append(call)

    def spent_reason(self) -> str:
        return "nothing is left"
