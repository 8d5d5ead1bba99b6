"""Ask an engine, and get a refused completion for each prompt that its model cannot take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from training.domain.rows import Refusal
from training.engines.base import Completion, Engine, PromptsRefused, Request, Sampling


def ask(engine: Engine, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
    """Yield one completion per request, those of refused prompts first.

    A prompt that is too long, or that the chat template refuses, is answered by a completion with ``finish_reason``
    "error" and a ``refusal``, as a provider answers a request that it rejects, so that the others are generated.
    """
    reasons: Mapping[str, Refusal] = {}
    try:
        yield from engine.generate(requests, sampling)
    except PromptsRefused as refused:  # raised before anything is generated
        reasons = refused.reasons
    if not reasons:
        return
    for request in requests:
        if refusal := reasons.get(request.key):
            yield Completion(
                request.key, "", 0, "error", request.seed, error=refusal.reason, refused=True, refusal=refusal.code
            )
    if rest := [request for request in requests if request.key not in reasons]:
        yield from engine.generate(rest, sampling)
