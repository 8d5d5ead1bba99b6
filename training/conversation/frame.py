"""What a chat template writes around the assistant's answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError

from training.domain.templates import PLAIN_CHAT_TEMPLATE

_ASKED = ({"role": "user", "content": "\U000f0002"},)
_ANSWER = "\U000f0003"  # private use: no template or text contains it


class ConversationRefused(ValueError):
    """A chat template refuses a conversation. The message names the roles and the remedy."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The text around an answer: prompt + ``cue`` + ``opening`` + answer + ``closing`` + end token.

    ``cue`` completes the prompt if the template ignores ``add_generation_prompt``; otherwise it is empty. ``opening``
    and ``closing`` are written by the model: the template has them between the prompt and the answer, and between the
    answer and the end token. ``has_end`` tells whether the template writes the end token ``end_id``; if not, it is the
    tokenizer's end-of-sequence token.
    """

    cue: str
    opening: str
    closing: str
    end_id: int
    has_end: bool


def with_template(tokenizer: Any) -> Any:
    """Return the tokenizer, with :data:`training.domain.templates.PLAIN_CHAT_TEMPLATE` if it has no chat template."""
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
    return tokenizer


def render(tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, generation: bool = True) -> str:
    """Render a conversation with the chat template, up to the answer if ``generation`` is set.

    Raises :class:`ConversationRefused` if the template refuses it.
    """
    try:
        text: str = tokenizer.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=generation
        )
    except (TemplateError, TypeError) as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ConversationRefused(
            f"The model's chat template refuses a conversation of {roles}: {error}. Remove the system turn or merge "
            "the turns in the data set."
        ) from error
    return text


def frame_of(tokenizer: Any) -> Frame:
    """Return what the tokenizer's chat template writes around an answer, by rendering a conversation of two turns.

    A template that refuses this conversation is treated like one that writes nothing around an answer.
    """
    nothing = Frame("", "", "", tokenizer.eos_token_id, has_end=False)
    try:
        prompt, bare = (render(tokenizer, _ASKED, generation=wanted) for wanted in (True, False))
        whole = render(tokenizer, [*_ASKED, {"role": "assistant", "content": _ANSWER}], generation=False)
    except ConversationRefused:
        return nothing
    before, found, after = whole.partition(_ANSWER)
    if not found:
        return nothing
    cue = ""
    if prompt == bare and before.startswith(prompt):
        # The space before the answer stays with the answer: most tokenizers join it to the first word.
        cue = before[len(prompt) :].rstrip(" ")
    opening = before.removeprefix(prompt + cue) if before.startswith(prompt + cue) else ""
    special = special_tokens(tokenizer)
    match = re.search("|".join(map(re.escape, special)), after) if special else None
    if match is None:
        return replace(nothing, cue=cue, opening=opening)
    end_id = tokenizer.convert_tokens_to_ids(match[0])
    return Frame(cue, opening, after[: match.start()], end_id, has_end=True)


def special_tokens(tokenizer: Any) -> list[str]:
    """Return the texts that the tokenizer reads as control tokens, longest first."""
    added = tokenizer.added_tokens_decoder.values()
    texts = {str(token) for token in added if token.special} | set(tokenizer.all_special_tokens)
    return sorted(filter(None, texts), key=len, reverse=True)
