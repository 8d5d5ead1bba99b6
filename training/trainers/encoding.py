"""Tokenize preference pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.domain.templates import augment_query
from training.trainers.pair_logps import PairTokens
from training.trainers.results import TrainingError
from training.trainers.tokens import encode_conversation, render


def encode_pairs(
    tokenizer: Any, pairs: Sequence[Mapping[str, Any]], *, max_length: int, augment: bool
) -> tuple[list[PairTokens], tuple[str, ...]]:
    """Tokenize pairs. Returns them, and notes on truncated and skipped pairs.

    Responses are truncated so that prompt and response have at most ``max_length`` tokens. A pair is skipped if the
    prompt alone is that long, if a response is empty, or if both responses are equal.
    """
    kept: list[PairTokens] = []
    cut = too_long = empty = 0
    for pair in pairs:
        chosen = encode_conversation(tokenizer, pair["prompt"], pair["chosen"][0]["content"])
        rejected = encode_conversation(tokenizer, pair["prompt"], pair["rejected"][0]["content"])
        begin = min(len(chosen.prompt_ids), len(rejected.prompt_ids))
        first = chosen.prompt_ids[begin:] + chosen.completion_ids
        second = rejected.prompt_ids[begin:] + rejected.completion_ids
        room = max_length - begin
        if room < 1:
            too_long += 1
        elif not first or not second or first[:room] == second[:room]:
            empty += 1
        else:
            cut += max(len(first), len(second)) > room
            augmented = _augmented_prompt(tokenizer, pair["prompt"]) if augment else []
            prompt_ids, pair_id = chosen.prompt_ids[:begin], int(pair.get("pair_id") or 0)
            kept.append(PairTokens(prompt_ids, first[:room], second[:room], augmented, pair_id))
    notes = []
    if cut:
        notes.append(f"{cut} of {len(pairs)} pairs were longer than {max_length} tokens and were truncated.")
    if too_long:
        notes.append(f"{too_long} of {len(pairs)} pairs had a prompt of {max_length} tokens or more and were skipped.")
    if empty:
        notes.append(f"{empty} of {len(pairs)} pairs had an empty response or two equal ones and were skipped.")
    if not kept:
        raise TrainingError(
            "There are no preference pairs to train on: "
            + (" ".join(notes) if notes else "no prompt gave one. The run page shows the reasons.")
        )
    return kept, tuple(notes)


def _augmented_prompt(tokenizer: Any, prompt: Sequence[Mapping[str, str]]) -> list[int]:
    """Return the tokens of p⊕x: the refinement prompt precedes the last user turn."""
    turns = [dict(message) for message in prompt]
    turns[-1]["content"] = augment_query(turns[-1]["content"])
    text = render(tokenizer, turns, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
