"""Logits of the tokens that are taught, and of no others."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def target_logits(model: Any, input_ids: Tensor, attention_mask: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits that predict the target tokens, (targets, vocabulary), and those tokens, (targets,), row by row.

    ``targets`` (batch, length) is true on the tokens that are taught; a row's first token has nothing before it and is
    never one. The head runs only where some row of the batch has a target: a long prompt costs no logits.
    """
    wanted = targets[:, 1:].bool()
    columns = wanted.any(dim=0).nonzero()[:, 0]
    logits = model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, logits_to_keep=columns).logits
    if logits.shape[1] != len(columns):  # a model that knows no logits_to_keep gave them all
        logits = logits[:, columns]
    wanted = wanted[:, columns]
    return logits[wanted], input_ids[:, 1:][:, columns][wanted]
