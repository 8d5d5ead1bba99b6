"""Tokenize preference pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from training.conversation.encoder import ConversationEncoder
from training.conversation.frame import ConversationRefused
from training.domain.templates import REFINEMENT_PROMPT, augment_query
from training.trainers.pair_logps import PairTokens
from training.trainers.results import TrainingError


class Skip(Enum):
    """Causes why a pair cannot be trained on."""

    TOO_LONG = "prompt too long"
    NOTHING_TO_LEARN = "an empty response, or two equal ones"
    REFUSED = "the chat template refuses the prompt"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A pair that cannot be trained on; ``reason`` is the template's if it refuses the prompt."""

    cause: Skip
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """The tokens of a pair, and whether a response was truncated to the maximum length."""

    tokens: PairTokens
    was_truncated: bool


def encode_pairs(
    tokenizer: Any,
    pairs: Sequence[Mapping[str, Any]],
    *,
    max_length: int,
    augment: bool,
    refinement_prompt: str = REFINEMENT_PROMPT,
) -> tuple[list[PairTokens], tuple[str, ...]]:
    """Tokenize pairs. Returns them, and notes on truncated and skipped pairs.

    Responses are truncated so that prompt and response have at most ``max_length`` tokens. A response that generation
    cut (``chosen_cut``, ``rejected_cut``) gets no end token. A pair is skipped if the prompt alone has ``max_length``
    tokens, if the chat template refuses it, if a response is empty, or if both responses are equal. Raises
    :class:`TrainingError` if no pair is left.
    """
    encoder = ConversationEncoder(tokenizer)
    kept: list[PairTokens] = []
    skipped: list[Skipped] = []
    cut = 0
    for pair in pairs:
        encoded = encode_pair(
            encoder, pair, max_length=max_length, augment=augment, refinement_prompt=refinement_prompt
        )
        if isinstance(encoded, Skipped):
            skipped.append(encoded)
        else:
            kept.append(encoded.tokens)
            cut += encoded.was_truncated
    causes = Counter(one.cause for one in skipped)
    notes = []
    if cut:
        notes.append(f"{cut} of {len(pairs)} pairs were longer than {max_length} tokens and were truncated.")
    if too_long := causes[Skip.TOO_LONG]:
        notes.append(f"{too_long} of {len(pairs)} pairs had a prompt of {max_length} tokens or more and were skipped.")
    if empty := causes[Skip.NOTHING_TO_LEARN]:
        notes.append(f"{empty} of {len(pairs)} pairs had an empty response or two equal ones and were skipped.")
    notes += refused_notes([one.reason for one in skipped if one.cause is Skip.REFUSED], len(pairs), "pairs")
    if not kept:
        raise TrainingError(
            "There are no preference pairs to train on: "
            + (" ".join(notes) if notes else "no prompt gave one. The run page shows the reasons.")
        )
    return kept, tuple(notes)


def encode_pair(
    encoder: ConversationEncoder,
    pair: Mapping[str, Any],
    *,
    max_length: int,
    augment: bool,
    refinement_prompt: str = REFINEMENT_PROMPT,
) -> EncodedPair | Skipped:
    """Tokenize one pair as :func:`encode_pairs` does."""
    try:
        prompt = encoder.prompt(pair["prompt"])
        augmented = encoder.prompt(_augmented(pair["prompt"], refinement_prompt)).ids if augment else []
    except ConversationRefused as error:
        return Skipped(Skip.REFUSED, str(error))
    room = max_length - len(prompt.ids)
    if room < 1:
        return Skipped(Skip.TOO_LONG)
    chosen, rejected = (
        encoder.completion(prompt, pair[side][0]["content"], ended=not pair.get(f"{side}_cut"))[0]
        for side in ("chosen", "rejected")
    )
    if not chosen or not rejected or chosen[:room] == rejected[:room]:
        return Skipped(Skip.NOTHING_TO_LEARN)
    tokens = PairTokens(prompt.ids, chosen[:room], rejected[:room], augmented, int(pair.get("pair_id") or 0))
    return EncodedPair(tokens, was_truncated=max(len(chosen), len(rejected)) > room)


def refused_notes(reasons: Sequence[str], total: int, rows: str) -> list[str]:
    """Return a note on the rows that the chat template refuses, with the first reason; none without reasons."""
    return [f"{len(reasons)} of {total} {rows} were skipped. {reasons[0]}"] if reasons else []


def _augmented(prompt: Sequence[Mapping[str, str]], refinement_prompt: str) -> list[dict[str, str]]:
    """Return p⊕x: the refinement prompt precedes the last user turn."""
    turns = [dict(message) for message in prompt]
    turns[-1]["content"] = augment_query(turns[-1]["content"], refinement_prompt)
    return turns
