"""Tokens, batches and summed log-probabilities of preference pairs.

There are two batch layouts. In the first, as in TRL, a pair takes two rows, each with its own copy of the prompt. In
the second, a pair takes one row: prompt, chosen and rejected response, where an attention mask hides the responses from
each other and the positions of both start after the prompt. The sums are the same, but the prompt is computed once. The
rejected response is predicted from the prompt's last token, so a copy of that token precedes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.trainers.targets import target_logps

PADDING, PROMPT, LAST, CHOSEN, COPY, REJECTED = range(6)
"""Parts of a row with a whole pair. LAST is the prompt's last token, COPY its copy before the rejected response."""
_SIDES = torch.tensor([3, 0, 1, 1, 2, 2])  # side of each part: prompt, chosen, rejected, padding

SHARE_BELOW = 0.9  # maximum ratio of shared to separate tokens; above it, sharing does not pay
LONGEST_SHARED = 4096  # tokens; the mask of a longer row needs more memory than sharing saves
AGREEMENT = {torch.float32: 1e-5}  # tolerated difference between the layouts, in nats per token
AGREEMENT_OF_HALVES = 0.02


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A tokenized pair. ``augmented_ids`` is the prompt p⊕x (Yu et al., 2024, section 3.2), empty if unused."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    augmented_ids: list[int]
    pair_id: int = 0

    @property
    def length(self) -> int:
        """Length of the longer sequence in tokens."""
        prompt = max(len(self.prompt_ids), len(self.augmented_ids))
        return prompt + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        """Number of tokens in both sequences."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def shared_tokens(self) -> int:
        """Number of tokens in the shared row of the pair."""
        return len(self.prompt_ids) + 1 + len(self.chosen_ids) + len(self.rejected_ids)


def pair_batch(
    prompts: Sequence[list[int]], chosen: Sequence[list[int]], rejected: Sequence[list[int]], pad_token_id: int
) -> dict[str, Tensor]:
    """Build right-padded rows, first all chosen, then all rejected: input_ids, attention_mask, completion_mask.

    Each has shape (2 · pairs, longest); the completion mask is 1 on the response's tokens.
    """
    sequences = [
        (prompt, completion)
        for completions in (chosen, rejected)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    width = max(len(prompt) + len(completion) for prompt, completion in sequences)
    ids = torch.full((len(sequences), width), pad_token_id, dtype=torch.long)
    attention = torch.zeros((len(sequences), width), dtype=torch.long)
    completion_mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, (prompt, completion) in enumerate(sequences):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion)
        attention[row, :end] = 1
        completion_mask[row, len(prompt) : end] = 1
    return {"input_ids": ids, "attention_mask": attention, "completion_mask": completion_mask}


def shared_batch(
    prompts: Sequence[list[int]], chosen: Sequence[list[int]], rejected: Sequence[list[int]], pad_token_id: int
) -> dict[str, Tensor]:
    """Build right-padded rows of one pair each: input_ids, position_ids and parts, each (pairs, longest)."""
    width = max(
        len(prompt) + 1 + len(one) + len(other) for prompt, one, other in zip(prompts, chosen, rejected, strict=True)
    )
    ids = torch.full((len(prompts), width), pad_token_id, dtype=torch.long)
    positions = torch.zeros((len(prompts), width), dtype=torch.long)
    parts = torch.full((len(prompts), width), PADDING, dtype=torch.long)
    for row, (prompt, one, other) in enumerate(zip(prompts, chosen, rejected, strict=True)):
        begin, middle = len(prompt), len(prompt) + len(one)
        end = middle + 1 + len(other)
        ids[row, :end] = torch.tensor([*prompt, *one, prompt[-1], *other])
        positions[row, :middle] = torch.arange(middle)
        positions[row, middle:end] = torch.arange(begin - 1, begin + len(other))
        parts[row, : begin - 1] = PROMPT
        parts[row, begin - 1] = LAST
        parts[row, begin:middle] = CHOSEN
        parts[row, middle] = COPY
        parts[row, middle + 1 : end] = REJECTED
    return {"input_ids": ids, "position_ids": positions, "parts": parts}


def summed_logps(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of both responses, summed over tokens, in nats: chosen and rejected, (pairs,).

    ``batch`` comes from :func:`pair_batch` or :func:`shared_batch`. For ``model`` see
    :func:`training.trainers.targets.target_logps`.
    """
    ids = batch["input_ids"]
    if "parts" in batch:
        parts = batch["parts"]
        targets = (parts == CHOSEN) | (parts == REJECTED)
        inputs = {"attention_mask": visible(parts), "position_ids": batch["position_ids"]}
        each = _in_place(target_logps(model, ids, targets, **inputs), targets)
        return (each * (parts[:, 1:] == CHOSEN)).sum(dim=1), (each * (parts[:, 1:] == REJECTED)).sum(dim=1)
    # No attention mask is needed: causal attention never sees right padding from a real token, and kernels without a
    # mask are faster.
    targets = batch["completion_mask"].bool()
    chosen, rejected = _in_place(target_logps(model, ids, targets), targets).sum(dim=1).chunk(2, dim=0)
    return chosen, rejected


def _in_place(logps: Tensor, targets: Tensor) -> Tensor:
    """Scatter the targets' log-probabilities to (rows, length - 1), with 0 elsewhere."""
    return logps.new_zeros(targets[:, 1:].shape).masked_scatter(targets[:, 1:], logps)


def visible(parts: Tensor) -> Tensor:
    """Return the attention mask (pairs, 1, length, length): causal, with the responses hidden from each other.

    A padding token attends to itself, because an empty mask row would give NaN.
    """
    side = _SIDES.to(parts.device)[parts]
    asking, asked = side[:, :, None], side[:, None, :]
    within = (asking == asked) & (asked != 3)
    prompt = (asked == 0) & (asking != 3)
    causal = torch.ones(parts.shape[1], parts.shape[1], dtype=torch.bool, device=parts.device).tril()
    itself = torch.eye(parts.shape[1], dtype=torch.bool, device=parts.device)
    return (((within | prompt) & causal) | itself)[:, None]


def shares_prompts(model: Any, pairs: Sequence[PairTokens], pad_token_id: int) -> bool:
    """Return whether to use shared rows: they save tokens, and the model gives the same sums."""
    return _worth_sharing(pairs) and _can_share(model, pairs, pad_token_id)


def _worth_sharing(pairs: Sequence[PairTokens]) -> bool:
    """Return whether shared rows have clearly fewer tokens, and none is too long for an explicit mask."""
    shared, separate = sum(pair.shared_tokens for pair in pairs), sum(pair.tokens for pair in pairs)
    longest = max(pair.shared_tokens + max(0, len(pair.augmented_ids) - len(pair.prompt_ids)) for pair in pairs)
    return shared <= SHARE_BELOW * separate and longest <= LONGEST_SHARED and all(pair.prompt_ids for pair in pairs)


@torch.no_grad()
def _can_share(model: Any, pairs: Sequence[PairTokens], pad_token_id: int) -> bool:
    """Return whether the model gives the same sums with both layouts, tested on two of the pairs.

    Only PyTorch's own attention supports such a mask, and the mask would override a sliding attention window.
    """
    text = model.config.get_text_config()
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    longest = max(pair.length for pair in pairs)
    if getattr(text, "_attn_implementation", "") != "sdpa" or (window and longest > window):
        return False
    by_length = sorted(pairs, key=lambda pair: pair.length)
    tried = [by_length[0], by_length[len(by_length) // 2]]
    was_training = model.training
    model.eval()
    try:
        return all(_agree(model, pair, pad_token_id) for pair in tried)
    except (TypeError, ValueError, RuntimeError, IndexError):  # the model does not accept positions or such a mask
        return False
    finally:
        model.train(was_training)


def _agree(model: Any, pair: PairTokens, pad_token_id: int) -> bool:
    columns = [pair.prompt_ids], [pair.chosen_ids], [pair.rejected_ids]
    sums = []
    for layout in (pair_batch, shared_batch):
        batch = {name: tensor.to(model.device) for name, tensor in layout(*columns, pad_token_id).items()}
        sums.append(torch.cat(summed_logps(model, batch)).double())
    each = torch.tensor([len(pair.chosen_ids), len(pair.rejected_ids)], device=sums[0].device)
    apart = ((sums[0] - sums[1]).abs() / each).max()
    return bool(apart <= AGREEMENT.get(model.dtype, AGREEMENT_OF_HALVES))
