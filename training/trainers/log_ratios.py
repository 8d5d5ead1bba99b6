"""Log-ratios of preference pairs under a trained model and its reference, given x and given p⊕x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from training.conversation.encoder import ConversationEncoder
from training.domain.margins import MeasuredPair
from training.domain.templates import REFINEMENT_PROMPT
from training.trainers import loading
from training.trainers.encoding import EncodedPair, encode_pair
from training.trainers.pair_logps import PairTokens
from training.trainers.reference import LogpsModel, pair_logps
from training.trainers.results import ShouldStop


def measure_pairs(
    pairs: Sequence[Mapping[str, Any]],
    *,
    model: str,
    reference: str,
    batch_size: int,
    max_length: int,
    dtype: str,
    trust_remote_code: bool,
    should_stop: ShouldStop,
    refinement_prompt: str = REFINEMENT_PROMPT,
    store: Path | None = None,
) -> list[MeasuredPair | None]:
    """Measure each pair under ``model`` and ``reference``; ``None`` for a pair that training would skip.

    Pairs have the format of :func:`training.trainers.preference.train_preference` and are truncated likewise; the
    ``refinement_prompt`` is p of p⊕x. The
    score difference is that of ``chosen_score`` and ``rejected_score``. One model is loaded at a time. The reference's
    log-probabilities are cached in ``store``. Raises :class:`Stopped` between two batches.
    """
    tokenizer = loading.load_tokenizer(model, trust_remote_code=trust_remote_code)
    encoder = ConversationEncoder(tokenizer)
    encoded = [_encode(encoder, pair, max_length, refinement_prompt) for pair in pairs]
    kept = [tokens for tokens in encoded if tokens is not None]
    if not kept:
        return [None] * len(pairs)

    def logps(which: str, where: Path | None) -> tuple[torch.Tensor, torch.Tensor]:
        settings = LogpsModel(which, dtype, tokenizer.pad_token_id, batch_size, trust_remote_code)
        sums = pair_logps(settings, kept, augment=True, store=where, should_stop=should_stop)
        plain, augmented = (torch.tensor(column, dtype=torch.float64) for column in sums)
        return plain, augmented

    (policy, augmented_policy), (before, augmented_before) = logps(model, None), logps(reference, store)
    ratios = (policy - before).tolist()
    augmented = (augmented_policy - augmented_before).tolist()
    measured = iter(zip(ratios, augmented, strict=True))
    results: list[MeasuredPair | None] = []
    for pair, tokens in zip(pairs, encoded, strict=True):
        if tokens is None:
            results.append(None)
            continue
        (chosen, rejected), (augmented_chosen, augmented_rejected) = next(measured)
        results.append(MeasuredPair(chosen, rejected, augmented_chosen - augmented_rejected, _difference(pair)))
    return results


def _encode(
    encoder: ConversationEncoder, pair: Mapping[str, Any], max_length: int, refinement_prompt: str
) -> PairTokens | None:
    encoded = encode_pair(encoder, pair, max_length=max_length, augment=True, refinement_prompt=refinement_prompt)
    return encoded.tokens if isinstance(encoded, EncodedPair) else None


def _difference(pair: Mapping[str, Any]) -> float | None:
    chosen, rejected = pair.get("chosen_score"), pair.get("rejected_score")
    return None if chosen is None or rejected is None else chosen - rejected
