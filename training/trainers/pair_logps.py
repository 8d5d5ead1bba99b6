"""Log-probabilities of the two responses of preference pairs: as tokens, as batches, as sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from training.trainers.targets import target_logits


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as tokens. ``augmented_ids`` is the prompt p⊕x (003 section 3.2), empty where no loss asks for it."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    augmented_ids: list[int]

    @property
    def length(self) -> int:
        """Tokens of the longer of the two sequences."""
        prompt = max(len(self.prompt_ids), len(self.augmented_ids))
        return prompt + max(len(self.chosen_ids), len(self.rejected_ids))


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


def summed_logps(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Sums of log π(token) over each response's tokens, in nats: chosen (pairs,) and rejected (pairs,).

    On a GPU by TRL's fused head, which ``model`` must carry (``trl.trainer.utils.add_fused_lm_head``): it never builds
    the logits. On a CPU that head scores the prompt's positions too, so there the logits of the responses are built.
    """
    totals = (fused_totals if batch["input_ids"].device.type == "cuda" else built_totals)(model, batch)
    chosen, rejected = totals.chunk(2, dim=0)
    return chosen, rejected


def fused_totals(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Sum of the completion tokens' log-probabilities of every row, (rows,), by TRL's fused head."""
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    output = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels, fused_lm_head=True
    )
    totals: Tensor = output.log_probs.sum(dim=1)
    return totals


def built_totals(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """The same from logits that are built for the completion tokens alone."""
    ids, mask = batch["input_ids"], batch["completion_mask"]
    logits, tokens = target_logits(model, ids, batch["attention_mask"], mask)
    logps = -F.cross_entropy(logits.float(), tokens, reduction="none")
    rows = torch.arange(len(ids), device=ids.device)[:, None].expand_as(mask)[:, 1:][mask[:, 1:].bool()]
    return logps.new_zeros(len(ids)).index_add(0, rows, logps)
