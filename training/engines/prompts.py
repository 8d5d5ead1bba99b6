"""Tokenize prompts for local models, and report prompts that a model cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.conversation.encoder import ConversationEncoder
from training.conversation.frame import ConversationRefused
from training.domain.rows import Message
from training.engines.base import PromptRefused, PromptTooLong, Request, Sampling

Words = tuple[tuple[str, str], ...]


def encode(
    encoder: ConversationEncoder, requests: Sequence[Request], sampling: Sampling, *, max_length: int
) -> list[list[int]]:
    """Return the prompt tokens, one list per request; a shared prompt is tokenized once.

    Raises :class:`PromptTooLong` if a prompt and its completion together exceed ``max_length`` tokens, and
    :class:`PromptRefused` if the model's chat template refuses a prompt.
    """
    if not requests:
        return []
    words = [tuple((message["role"], message["content"]) for message in request.messages) for request in requests]
    first = dict(zip(reversed(words), reversed(requests), strict=True))
    try:
        tokens = encoder.prompts([request.messages for request in first.values()])
    except ConversationRefused as refusal:
        refused = _refused(encoder, {key: request.messages for key, request in first.items()})
        raise PromptRefused(str(refusal), _keys_of(requests, words, refused)) from refusal
    known = dict(zip(first, tokens, strict=True))
    room = max_length - sampling.max_new_tokens
    if long := [key for key, ids in known.items() if len(ids) > room]:
        said = _too_long(first[long[0]], len(known[long[0]]), sampling, max_length)
        more = f" {len(long) - 1} more do not fit either." if len(long) > 1 else ""
        raise PromptTooLong(said + more, _keys_of(requests, words, set(long)))
    return [known[key] for key in words]


def _refused(encoder: ConversationEncoder, conversations: Mapping[Words, Sequence[Message]]) -> set[Words]:
    refused = set()
    for key, messages in conversations.items():
        try:
            encoder.prompt(messages)
        except ConversationRefused:
            refused.add(key)
    return refused


def _keys_of(requests: Sequence[Request], words: Sequence[Words], which: set[Words]) -> list[str]:
    return [request.key for request, key in zip(requests, words, strict=True) if key in which]


def _too_long(request: Request, length: int, sampling: Sampling, max_length: int) -> str:
    beginning = " ".join(request.messages[-1]["content"].split())[:60]
    left = max_length - length
    fewer = f"ask for at most {left} new tokens, " if left > 0 else ""
    return (
        f"A prompt of {length} tokens with {sampling.max_new_tokens} new ones does not fit the limit of "
        f"{max_length}; it begins {beginning!r}. Shorten or remove it, {fewer}or raise student.max_length "
        "where the model's context allows it."
    )
