"""Tokenize conversations, separating prompt and completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from training.trainers.results import TrainingError


@dataclass(frozen=True, slots=True)
class Example:
    """Prompt and completion tokens, with one loss weight per completion token."""

    prompt_ids: list[int]
    completion_ids: list[int]
    weights: list[float]


def render(tokenizer: Any, turns: list[dict[str, str]], *, add_generation_prompt: bool = False) -> str:
    """Render the conversation as text. Raises :class:`TrainingError` if the chat template refuses it."""
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt)
    except TemplateError as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise TrainingError(
            f"The model's chat template refuses a conversation of {roles}: {error}. Remove the system turn or merge "
            "the turns in the data set."
        ) from error
    return text


def encode_conversation(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], completion: str, spans: Sequence[Sequence[float]] = ()
) -> Example:
    """Render a conversation with the chat template and split its tokens at the start of the assistant's answer.

    The text is tokenized as a whole, and the completion begins where the tokens of the prompt alone end. Text that the
    template adds after the answer, such as the end token, belongs to the completion. ``spans`` are (start, end, weight)
    in characters of ``completion``; all other tokens have weight 1.
    """
    turns = [dict(message) for message in messages]
    prompt = render(tokenizer, turns, add_generation_prompt=True)
    whole = render(tokenizer, [*turns, {"role": "assistant", "content": completion}])
    prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=bool(spans))
    ids = encoded["input_ids"]
    begin = _common_prefix(prompt_ids, ids)
    weights = [1.0] * (len(ids) - begin)
    if spans:
        shift = whole.find(completion, _common_prefix(prompt, whole))
        for place, (left, right) in enumerate(encoded["offset_mapping"][begin:]):
            for start, end, weight in spans:
                if shift >= 0 and left < end + shift and right > start + shift:
                    weights[place] = float(weight)
    return Example(ids[:begin], ids[begin:], weights)


def encode_text(tokenizer: Any, text: str) -> Example:
    """Encode a raw text as a completion without a prompt: optional begin token, text, end token."""
    start = tokenizer.bos_token or ""
    body = text.removeprefix(start) if start else text
    ids = tokenizer(start + body + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return Example([], ids, [1.0] * len(ids))


def _common_prefix(one: Sequence[Any], other: Sequence[Any]) -> int:
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))
