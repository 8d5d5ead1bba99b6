"""Log-probabilities of the two responses of preference pairs: as tokens, as batches, as sums.

A pair is laid out in one of two ways. As two rows, each with its own copy of the prompt, as TRL has it. Or as one row
of prompt, chosen and rejected response, where the attention mask hides either response from the other and the positions
of both begin after the prompt: the same sums, the prompt computed once. The rejected response is predicted from the
prompt's last token, so that token is set before it once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.trainers.targets import target_logps

PADDING, PROMPT, LAST, CHOSEN, AGAIN, REJECTED = range(6)
"""Parts of a row that holds a whole pair. LAST is the prompt's last token, AGAIN its copy before the rejected one."""
_SIDES = torch.tensor([3, 0, 1, 1, 2, 2])  # of each part: the prompt, the chosen side, the rejected side, padding

SHARE_BELOW = 0.9  # share of the tokens that is left when the prompt is computed once; above, two rows are as good
LONGEST_SHARED = 4096  # tokens; the mask of a longer row takes more memory than the prompt saves
AGREEMENT = {torch.float32: 1e-5}  # nats a token by which the two ways may differ
AGREEMENT_OF_HALVES = 0.02


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as tokens. ``augmented_ids`` is the prompt p⊕x (003 section 3.2), empty where no loss asks for it."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    augmented_ids: list[int]
    pair_id: int = 0

    @property
    def length(self) -> int:
        """Tokens of the longer of the two sequences."""
        prompt = max(len(self.prompt_ids), len(self.augmented_ids))
        return prompt + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        """Tokens of both sequences."""
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def shared_tokens(self) -> int:
        """Tokens of the row that holds the whole pair."""
        return len(self.prompt_ids) + 1 + len(self.chosen_ids) + len(self.rejected_ids)


def pair_batch(
    prompts: Sequence[list[int]], chosen: Sequence[list[int]], rejected: Sequence[list[int]], pad_token_id: int
) -> dict[str, Tensor]:
    """Right-padded rows, all chosen first and then all rejected: input_ids, attention_mask, completion_mask.

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
    """Right-padded rows of one pair each: input_ids, position_ids and parts, each (pairs, longest)."""
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
        parts[row, middle] = AGAIN
        parts[row, middle + 1 : end] = REJECTED
    return {"input_ids": ids, "position_ids": positions, "parts": parts}


def summed_logps(model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Sums of log π(token) over each response's tokens, in nats: chosen (pairs,) and rejected (pairs,).

    ``batch`` is of :func:`pair_batch` or of :func:`shared_batch`. ``model``: see
    :func:`training.trainers.targets.target_logps`.
    """
    ids = batch["input_ids"]
    if "parts" in batch:
        parts = batch["parts"]
        targets = (parts == CHOSEN) | (parts == REJECTED)
        inputs = {"attention_mask": visible(parts), "position_ids": batch["position_ids"]}
        each = _in_place(target_logps(model, ids, targets, **inputs), targets)
        return (each * (parts[:, 1:] == CHOSEN)).sum(dim=1), (each * (parts[:, 1:] == REJECTED)).sum(dim=1)
    # Without an attention mask: rows are padded at their end, where causal attention does not look from any token that
    # counts, and the kernels are quicker.
    targets = batch["completion_mask"].bool()
    chosen, rejected = _in_place(target_logps(model, ids, targets), targets).sum(dim=1).chunk(2, dim=0)
    return chosen, rejected


def _in_place(logps: Tensor, targets: Tensor) -> Tensor:
    """The targets' log-probabilities where the targets are, (rows, length - 1), and 0 elsewhere."""
    return logps.new_zeros(targets[:, 1:].shape).masked_scatter(targets[:, 1:], logps)


def visible(parts: Tensor) -> Tensor:
    """Which token sees which, (pairs, 1, length, length): causal, and neither response sees the other.

    A padding token sees itself alone: a row of the mask with nothing in it would be no number.
    """
    side = _SIDES.to(parts.device)[parts]
    asking, asked = side[:, :, None], side[:, None, :]
    within = (asking == asked) & (asked != 3)
    prompt = (asked == 0) & (asking != 3)
    causal = torch.ones(parts.shape[1], parts.shape[1], dtype=torch.bool, device=parts.device).tril()
    itself = torch.eye(parts.shape[1], dtype=torch.bool, device=parts.device)
    return (((within | prompt) & causal) | itself)[:, None]


def shares_prompts(model: Any, pairs: Sequence[PairTokens], pad_token_id: int) -> bool:
    """Whether the pairs are to be laid out in one row each: it pays, and the model gives the same sums."""
    return _worth_sharing(pairs) and _can_share(model, pairs, pad_token_id)


def _worth_sharing(pairs: Sequence[PairTokens]) -> bool:
    """Whether one row a pair computes clearly fewer tokens than two, and no row is too long for a mask of its own."""
    shared, separate = sum(pair.shared_tokens for pair in pairs), sum(pair.tokens for pair in pairs)
    longest = max(pair.shared_tokens + max(0, len(pair.augmented_ids) - len(pair.prompt_ids)) for pair in pairs)
    return shared <= SHARE_BELOW * separate and longest <= LONGEST_SHARED and all(pair.prompt_ids for pair in pairs)


@torch.no_grad()
def _can_share(model: Any, pairs: Sequence[PairTokens], pad_token_id: int) -> bool:
    """Whether this model gives the same sums for one row a pair as for two, by trying both on two of the pairs.

    Only PyTorch's own attention takes such a mask, and a window of attention that slides would be overruled by it.
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
    except (TypeError, ValueError, RuntimeError, IndexError):  # a model that takes no positions, or no such mask
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
