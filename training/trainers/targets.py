"""Log-probabilities of the tokens that are taught, and of no others."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def target_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """Natural log-probabilities of the target tokens, (targets,), row by row.

    ``targets`` (batch, length) is true on the tokens that are taught; a row's first token has nothing before it and is
    never one. ``inputs`` go to the model beside the tokens. On a GPU by TRL's fused head, which ``model`` must carry
    (``trl.trainer.utils.add_fused_lm_head``): it never builds the logits. On a CPU that head scores every position, so
    there the logits of the targets are built, and of nothing else.
    """
    return (fused_logps if input_ids.device.type == "cuda" else built_logps)(model, input_ids, targets, **inputs)


def fused_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """:func:`target_logps` by TRL's fused head."""
    labels = input_ids.masked_fill(~targets.bool(), -100)
    output = model(input_ids=input_ids, labels=labels, fused_lm_head=True, **inputs)
    logps: Tensor = output.log_probs[targets[:, 1:].bool()]
    return logps


def built_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """:func:`target_logps` from logits that are built for the targets alone."""
    wanted = targets[:, 1:].bool()
    before = torch.zeros_like(targets, dtype=torch.bool)
    before[:, :-1] = wanted
    taken = False

    def take(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal taken
        taken = given[0].shape[:2] == before.shape
        return (given[0][before][None], *given[1:]) if taken else given

    head = _unwrapped(model).get_output_embeddings()
    hook = head.register_forward_pre_hook(take) if head is not None else None
    try:
        logits = model(input_ids=input_ids, use_cache=False, **inputs).logits
    finally:
        if hook is not None:
            hook.remove()
    logits = logits[0] if taken else logits[before]
    return -F.cross_entropy(logits.float(), input_ids[:, 1:][wanted], reduction="none")


def _unwrapped(model: Any) -> Any:
    while hasattr(model, "module"):
        model = model.module
    return model
