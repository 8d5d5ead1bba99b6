"""Log-probabilities of target tokens only."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def target_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """Return the log-probabilities of the target tokens in nats, shape (targets,), row by row.

    ``targets`` (batch, length) marks the target tokens; the first token of a row cannot be one. ``inputs`` are further
    model inputs. On a GPU this uses TRL's fused head, which never materializes the logits and must be attached to
    ``model`` (``trl.trainer.utils.add_fused_lm_head``). On a CPU that head computes every position, so the logits of
    the targets alone are computed instead.
    """
    return (fused_logps if input_ids.device.type == "cuda" else built_logps)(model, input_ids, targets, **inputs)


def fused_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """:func:`target_logps` with TRL's fused head."""
    labels = input_ids.masked_fill(~targets.bool(), -100)
    output = model(input_ids=input_ids, labels=labels, fused_lm_head=True, **inputs)
    logps: Tensor = output.log_probs[targets[:, 1:].bool()]
    return logps


def built_logps(model: Any, input_ids: Tensor, targets: Tensor, **inputs: Any) -> Tensor:
    """:func:`target_logps` from the logits of the targets alone."""
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
