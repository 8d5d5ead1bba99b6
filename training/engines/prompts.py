"""Tokenize conversations for local models, and report prompts that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from training.domain.templates import PLAIN_CHAT_TEMPLATE
from training.engines.base import EngineError, PromptTooLong, Request, Sampling


def with_template(tokenizer: Any) -> Any:
    """Return the tokenizer, with :data:`PLAIN_CHAT_TEMPLATE` if it has no chat template."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    return tokenizer


def render(tokenizer: Any, request: Request) -> str:
    """Render the conversation up to the answer. Raises :class:`EngineError` if the chat template refuses it."""
    try:
        text: str = tokenizer.apply_chat_template(
            [dict(message) for message in request.messages], tokenize=False, add_generation_prompt=True
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in request.messages)
        raise EngineError(
            f"The model's chat template refuses a conversation of {roles} ({request.key!r}): {error}. Remove the "
            "system turn or merge the turns."
        ) from error
    return text


def encode(tokenizer: Any, requests: Sequence[Request], sampling: Sampling, *, max_length: int) -> list[list[int]]:
    """Return the prompt tokens, one list per request; a shared prompt is tokenized once.

    Raises :class:`PromptTooLong` if a prompt and its completion together exceed ``max_length`` tokens.
    """
    if not requests:
        return []
    words = [tuple((message["role"], message["content"]) for message in request.messages) for request in requests]
    first = dict(zip(reversed(words), reversed(requests), strict=True))
    texts = {key: render(tokenizer, request) for key, request in first.items()}
    tokens = tokenizer(list(texts.values()), add_special_tokens=False)["input_ids"]
    known = {key: list(ids) for key, ids in zip(texts, tokens, strict=True)}
    room = max_length - sampling.max_new_tokens
    if long := [key for key, ids in known.items() if len(ids) > room]:
        said = _too_long(first[long[0]], len(known[long[0]]), sampling, max_length)
        more = f" {len(long) - 1} more do not fit either." if len(long) > 1 else ""
        none_fit = set(long)
        raise PromptTooLong(said + more, [r.key for r, key in zip(requests, words, strict=True) if key in none_fit])
    return [known[key] for key in words]


def _too_long(request: Request, length: int, sampling: Sampling, max_length: int) -> str:
    beginning = " ".join(request.messages[-1]["content"].split())[:60]
    left = max_length - length
    fewer = f"ask for at most {left} new tokens, " if left > 0 else ""
    return (
        f"A prompt of {length} tokens with {sampling.max_new_tokens} new ones does not fit the limit of "
        f"{max_length}; it begins {beginning!r}. Shorten or remove it, {fewer}or raise student.max_length "
        "where the model's context allows it."
    )
