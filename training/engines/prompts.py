"""Tokenize prompts for local models, and report prompts that a model cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence

from training.conversation.encoder import ConversationEncoder
from training.conversation.frame import ConversationRefused
from training.domain.rows import PromptOutcome, Refusal
from training.engines.base import PromptsRefused, Request, Sampling

Words = tuple[tuple[str, str], ...]


def encode(
    encoder: ConversationEncoder, requests: Sequence[Request], sampling: Sampling, *, max_length: int
) -> list[list[int]]:
    """Return the prompt tokens, one list per request; a shared prompt is tokenized once.

    Raises :class:`PromptsRefused` with every prompt that the model's chat template refuses, and every one that exceeds
    ``max_length`` tokens together with its completion.
    """
    if not requests:
        return []
    words: list[Words] = [tuple((turn["role"], turn["content"]) for turn in request.messages) for request in requests]
    first = dict(zip(reversed(words), reversed(requests), strict=True))
    known, refused = _tokens(encoder, first)
    room = max_length - sampling.max_new_tokens
    for key, ids in known.items():
        if len(ids) > room:
            refused[key] = Refusal(PromptOutcome.TOO_LONG, _too_long(first[key], len(ids), sampling, max_length))
    if refused:
        raise PromptsRefused(
            {request.key: refused[key] for request, key in zip(requests, words, strict=True) if key in refused}
        )
    return [known[key] for key in words]


def _tokens(
    encoder: ConversationEncoder, requests: dict[Words, Request]
) -> tuple[dict[Words, list[int]], dict[Words, Refusal]]:
    """Return the tokens of each prompt, and the prompts that the chat template refuses."""
    try:
        together = encoder.prompts([request.messages for request in requests.values()])
        return dict(zip(requests, together, strict=True)), {}
    except ConversationRefused:
        known: dict[Words, list[int]] = {}
        refused: dict[Words, Refusal] = {}
    for key, request in requests.items():
        try:
            known[key] = encoder.prompt(request.messages).ids
        except ConversationRefused as error:
            said = f"{error} The last turn begins {_beginning(request)!r}."
            refused[key] = Refusal(PromptOutcome.TEMPLATE_REFUSED, said)
    return known, refused


def _beginning(request: Request) -> str:
    return " ".join(request.messages[-1]["content"].split())[:60]


def _too_long(request: Request, length: int, sampling: Sampling, max_length: int) -> str:
    left = max_length - length
    fewer = f"ask for at most {left} new tokens, " if left > 0 else ""
    return (
        f"A prompt of {length} tokens with {sampling.max_new_tokens} new ones does not fit the limit of "
        f"{max_length}; it begins {_beginning(request)!r}. Shorten or remove it, {fewer}or raise student.max_length "
        "where the model's context allows it."
    )
